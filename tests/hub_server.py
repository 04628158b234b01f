"""A stand-in for the Hugging Face hub on the loopback: as much of it as reading datasets needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub


@dataclass(frozen=True)
class Repository:
    """A dataset of the hub: its only commit, and the bytes of its files by path."""

    commit: str
    files: Mapping[str, bytes]


class Hub(ThreadingHTTPServer):
    """Serves repositories by OWNER/NAME; `asked` are the paths of all requests."""

    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.repositories = repositories
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def serving(repositories: Mapping[str, Repository]) -> Iterator[Hub]:
    """Serve repositories while the block runs."""
    with Hub(repositories) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        huggingface_hub.close_session()  # else its connections are found open by whatever test comes next
        hub.shutdown()


_PATH = re.compile(
    r"/(?P<api>api/)?datasets/(?P<name>[^/]+/[^/]+)"
    r"(?:/(?P<verb>revision|tree|resolve)/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?$"
)


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments: object) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        asked = _PATH.match(path)
        repository = self.server.repositories.get(asked["name"]) if asked else None
        if asked is None or repository is None:
            return self._refuse("RepoNotFound")
        if asked["revision"] not in (None, "main", repository.commit):
            return self._refuse("RevisionNotFound")
        if asked["verb"] == "resolve":
            return self._file(repository, asked["path"])
        if asked["verb"] == "tree":
            return self._json(_entries(repository, (asked["path"] or "").strip("/")))
        names = [{"rfilename": path} for path in repository.files]
        return self._json({"id": asked["name"], "sha": repository.commit, "siblings": names, "tags": []})

    def _file(self, repository: Repository, path: str) -> None:
        if path not in repository.files:
            self._refuse("EntryNotFound")
            return
        whole = repository.files[path]
        head = {"ETag": f'"{_oid(whole)}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        span = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span is None:
            self._send(200, whole, head)
            return
        start, end = int(span[1]), min(int(span[2] or len(whole)), len(whole) - 1)
        self._send(206, whole[start : end + 1], head | {"Content-Range": f"bytes {start}-{end}/{len(whole)}"})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, head: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**head, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entries(repository: Repository, folder: str) -> list[dict[str, object]]:
    """Return the files and folders below a folder."""
    below = {
        path: data
        for path, data in repository.files.items()
        if path.startswith(f"{folder}/" if folder else "")
    }
    folders = {path.rpartition("/")[0] for path in below} - {""}
    files = [
        {"type": "file", "path": path, "size": len(data), "oid": _oid(data)} for path, data in below.items()
    ]
    return files + [{"type": "directory", "path": path, "oid": _oid(path.encode())} for path in folders]


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
