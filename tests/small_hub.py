"""A small model hub, and a package index beside it, on a loopback port: what a pull asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Repos = dict[str, dict[str, dict[str, bytes]]]
"""Repository -> revision -> file -> content."""

_PIECE = 64 * 1024


@dataclass(frozen=True)
class SmallHub:
    """A running hub: what it has, and its address."""

    url: str
    repos: Repos = field(default_factory=dict)

    @property
    def constants(self) -> dict[str, str]:
        """What HF_ENDPOINT sets in `huggingface_hub.constants`, which is read once, at its import."""
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        return {"ENDPOINT": self.url, "HUGGINGFACE_CO_URL_TEMPLATE": template}


@contextlib.contextmanager
def small_hub(wheels: Path | None = None, pause_s: float = 0.0) -> Iterator[SmallHub]:
    """Run a hub; `wheels` are on an index at `/simple/`, and `pause_s` lie between pieces of 64 KiB."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if wheels and self.path.startswith("/simple/"):
                status, body, sha = *_indexed(wheels, self.path), ""
            else:
                status, body, sha = answer(hub.repos, self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/json")
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            if sha:
                self.send_header("X-Repo-Commit", sha)
                self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                with contextlib.suppress(OSError):  # the client may be gone
                    for at in range(0, len(body), _PIECE):
                        self.wfile.write(body[at : at + _PIECE])
                        time.sleep(pause_s)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            """Keep the tests' output clean."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that were killed."""

    server = Server(("127.0.0.1", 0), Handler)
    hub = SmallHub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def _indexed(wheels: Path, path: str) -> tuple[int, bytes]:
    """Say what a package index says: a page of links, or a wheel."""
    name = path.rpartition("/")[2]
    if not name:
        links = (f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in wheels.glob("*.whl"))
        return 200, ("<!DOCTYPE html>\n" + "\n".join(links)).encode()
    return (200, (wheels / name).read_bytes()) if (wheels / name).is_file() else (404, b"")


def answer(repos: Repos, path: str) -> tuple[int, bytes, str]:
    """Say what a hub says: status, body, and the commit a file belongs to."""
    parts = path.partition("?")[0].strip("/").split("/")
    api = parts[:2] == ["api", "models"]
    repo = "/".join(parts[2:4] if api else parts[:2])
    if repo not in repos:
        return 404, b"", ""
    rest = parts[4:] if api else parts[2:]
    if api and rest[:1] == ["discussions"]:
        numbers = [int(name.rpartition("/")[2]) for name in repos[repo] if name.startswith("refs/pr/")]
        who = {"author": {"name": "SFconvertbot"}, "repo": {"name": repo, "type": "model"}}
        what = {
            "title": "Adding `safetensors` variant of this model",
            "status": "open",
            "isPullRequest": True,
        }
        listed = [who | what | {"num": n, "createdAt": "2024-01-01T00:00:00.000Z"} for n in numbers]
        return 200, json.dumps({"discussions": listed, "count": len(listed), "start": 0}).encode(), ""
    revision = rest[1].replace("%2F", "/") if len(rest) > 1 else "main"
    revision = next((name for name in repos[repo] if commit(repo, name) == revision), revision)
    files = repos[repo][revision]
    if api:
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        if rest[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            return 200, json.dumps(tree).encode(), ""
        said = {"id": repo, "sha": commit(repo, revision), "siblings": siblings, "tags": []}
        return 200, json.dumps(said).encode(), ""
    name = "/".join(rest[2:])
    return (200, files[name], commit(repo, revision)) if name in files else (404, b"", "")


def commit(repo: str, revision: str) -> str:
    return hashlib.sha1(f"{repo} {revision}".encode()).hexdigest()
