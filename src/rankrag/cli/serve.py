"""`rankrag serve` and `rankrag mcp`: what `ask` does, for clients of many kinds."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FailureError, InvalidInputError, MissingExtraError, NotFoundError
from ..system import SystemSpec
from . import console, resident
from .options import INDEX_VARIABLE, arguments, takes_system
from .served import app_of, default_index, make_index

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..server import ServerSettings

RERANK_S = 4.5
"""Seconds after which a rerank is answered with what is ranked: many clients give up after five."""

MIB = 2**20

BODIES, UPLOADS = 8, 4
"""The largest bodies, and the largest uploads, that may come in at the same time."""

SHORTEST_KEY = 16
"""Characters of an API key: fewer can be guessed."""

Index = Annotated[
    Path | None,
    typer.Option(
        "--index",
        "-i",
        metavar="DIR",
        envvar=INDEX_VARIABLE,
        help="Folder of the index. Without one only passages that are sent are ranked.",
    ),
]
ServedIndex = Annotated[
    Path | None,
    typer.Option(
        "--index",
        "-i",
        metavar="DIR",
        help="Folder of the index; an empty folder becomes one. Default: RANKRAG_INDEX, or ./rankrag.index "
        "if it is there, or one in your data folder.",
        show_default=False,
    ),
]
NoIndex = Annotated[
    bool, typer.Option("--no-index", help="No index: only passages that are sent are ranked.")
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one.")]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keys that let in, one a line; # begins a comment.")
]
NoKey = Annotated[bool, typer.Option("--no-key", help="Let anyone in, also from other machines.")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="A name under which clients reach the server, such as host.docker.internal; * is any.",
    ),
]
Origins = Annotated[
    list[str] | None,
    typer.Option("--allow-origin", metavar="URL", help="A site whose scripts may call the server."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="No uploads, no deletions.")]
Running = Annotated[int, typer.Option(min=1, metavar="N", help="Requests at work at the same time.")]
Waiting = Annotated[int, typer.Option(min=0, metavar="N", help="Requests in line; the next gets 429.")]
Passages = Annotated[int, typer.Option(min=1, metavar="N", help="Passages in a request.")]
BodyMB = Annotated[int, typer.Option(min=1, metavar="MIB", help="Size of a JSON body.")]
UploadMB = Annotated[int, typer.Option(min=1, metavar="MIB", help="Size of an upload.")]
Timeout = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time of a request.")]
Deadline = Annotated[
    float,
    typer.Option(
        "--rerank-deadline",
        min=0,
        metavar="SECONDS",
        help="Answer a rerank then, the rest marked as unscored; 0 waits.",
    ),
]
Grace = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Time that requests have to finish at the end.")
]


@takes_system()
def serve(
    index: ServedIndex = None,
    no_index: NoIndex = False,
    *,
    spec: SystemSpec,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key_file: KeyFile = None,
    no_key: NoKey = False,
    allow_host: Hosts = None,
    allow_origin: Origins = None,
    read_only: ReadOnly = False,
    max_running: Running = 8,
    max_waiting: Waiting = 32,
    max_passages: Passages = 1000,
    max_body_mb: BodyMB = 8,
    max_upload_mb: UploadMB = 64,
    timeout: Timeout = 300,
    rerank_deadline: Deadline = RERANK_S,
    grace: Grace = 30,
) -> None:
    """Serve chat, rerank and search over HTTP, with a page.

    The page is at /, MCP at /mcp. Speaks as OpenAI's chat, as Cohere's, Jina's, Voyage's and vLLM's rerank,
    and its own /v1/ask, from one model. Listens on this machine only, unless --host says otherwise; then it
    wants keys.
    """
    with arguments():
        if no_index and index is not None:
            raise InvalidInputError("found --index beside --no-index, wanted one of them: leave one out")
        index = None if no_index else index or default_index()
        spec = replace(spec, index=index)
        spec.check()
        _check_open(host, keys := _keys(api_key_file), no_key)
    _check_extra()
    from ..server import Access, Limits, ServerSettings

    limits = Limits(
        running=max_running,
        waiting=max_waiting,
        seconds=timeout,
        body_bytes=max_body_mb * MIB,
        bodies_bytes=BODIES * max_body_mb * MIB,
        upload_bytes=max_upload_mb * MIB,
        uploads_bytes=UPLOADS * max_upload_mb * MIB,
        passages=max_passages,
    )
    access = Access(keys, hosts(host, allow_host or ()), tuple(allow_origin or ()))
    settings = ServerSettings(limits, access, rerank_s=rerank_deadline or None)
    _run(spec, settings, read_only, (host, port), grace)


@takes_system()
def mcp(
    index: Index = None,
    *,
    spec: SystemSpec,
) -> None:
    """Give an assistant search, rerank and ask as tools (MCP).

    This is the Model Context Protocol over standard input and output; `rankrag serve` has the same at /mcp.
    """
    with arguments():
        spec = replace(spec, index=index)
        spec.check()
    _check_extra()
    from ..server import ServerSettings, speak

    app = app_of(spec, ServerSettings(), read_only=True)
    speak(app.state.rankrag)


# ── who may come in ──────────────────────────────────────────────────────────────────────────────────


def _keys(path: Path | None) -> tuple[str, ...]:
    """Return the keys of a file; raises NotFoundError or InvalidInputError for a file without any."""
    if path is None:
        return ()
    if not path.is_file():
        raise NotFoundError(f"found no file of keys at {path}: make one, a key a line")
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    keys = tuple(line for line in lines if line)
    if not keys or any(len(key) < SHORTEST_KEY or not key.isascii() for key in keys):
        raise InvalidInputError(
            f"found a file of keys at {path} with {'a weak one' if keys else 'none'}, wanted keys of "
            f'{SHORTEST_KEY} letters or more: python3 -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return keys


def _check_open(host: str, keys: tuple[str, ...], no_key: bool) -> None:
    """Raise InvalidInputError where others could reach the server and nothing keeps them out."""
    if not _is_loopback(host) and not keys and not no_key:
        raise InvalidInputError(
            f"found --host {host}, which others can reach, and no keys, wanted keys: give --api-key-file, or "
            "--no-key to let anyone in"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def hosts(host: str, more: Sequence[str]) -> frozenset[str] | None:
    """Return the names under which clients may come: any, where the server is open to other machines."""
    if "*" in more or (not _is_loopback(host) and not more):
        return None
    name = f"[{host}]" if ":" in host else host
    return frozenset({"localhost", "127.0.0.1", "[::1]", name, *(host.lower() for host in more)})


# ── running ──────────────────────────────────────────────────────────────────────────────────────────


def _check_extra() -> None:
    """Raise MissingExtraError where what a server needs is not installed."""
    for package in ("fastapi", "uvicorn", "prometheus_client", "multipart", "mcp"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "serve")


def _run(
    spec: SystemSpec, settings: ServerSettings, read_only: bool, at: tuple[str, int], grace_s: float
) -> None:
    """Load what is served, holding its address meanwhile, and serve it."""
    with bound(*at) as listener:
        with console.working(f"loading {spec.names()}"):
            if spec.index is not None and make_index(spec.index):
                console.note("new", f"an empty index at {spec.index}: drop documents on the page", "green")
            app = app_of(spec, settings, read_only)
        url = _url(at[0], listener)
        # Where a key is wanted `ask` and `search` could not show one.
        announced = resident.announced(spec, url, settings.limits.passages)
        told = contextlib.nullcontext() if settings.access.keys else announced
        _listen(app, url, listener, grace_s, told)


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _listen(
    app: FastAPI, url: str, listener: socket.socket, grace_s: float, told: AbstractContextManager[None]
) -> None:
    from ..server import listen, log_lines

    console.note("ready", f"{app.state.rankrag.about.model} at {url}, Ctrl-C ends it", "green")
    log_lines()
    code = 0
    try:
        with told:
            listen(app, listener, grace_s)
    except KeyboardInterrupt:
        console.note("ended", "nobody is served any more", "green")  # as `ready` said, so no error
        code = 130
    sys.stderr.flush()
    # Everything is written and nobody is served any more: to take a process with a model apart takes seconds.
    os._exit(code)


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the address to listen at; raises FailureError where it cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _not_had(host, port, error) from error
    with socket.socket(family, kind, proto) as listener:
        # On Windows SO_REUSEADDR would let two servers have one port, and nobody knew who answers.
        reuse = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        listener.setsockopt(socket.SOL_SOCKET, reuse, 1)
        try:
            listener.bind(address)
            listener.listen()  # two may have bound it, and only one can listen: better said before loading
        except OSError as error:
            raise _not_had(host, port, error) from error
        yield listener


def _not_had(host: str, port: int, error: OSError) -> FailureError:
    return FailureError(
        f"found {host}:{port} refused ({error.strerror or error}), wanted a free port of this machine: "
        "give another --port, or 0 for any"
    )
