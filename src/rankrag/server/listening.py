"""The process that listens: how many connections it has, how long they may be silent, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import begin_closing
from .safety.error_responses import INVALID, SERVER, ErrorKind, shape

HEAD_S = 10.0
"""Seconds that a connection has for the first line and the headers of a request."""

LINGER_S = 5.0
"""Seconds that the rest of a body may still come in, unread, after its request was answered."""

BACKLOG = 64
"""Connections that are accepted at a time. Some 200 may be open before the first of them counts."""

MOST = 4096
"""Connections where the system would let us have more files."""

FILES = 1024
"""Open files that a process may have where the system does not say."""

SPARE_S = 1.0
"""Seconds after the grace period for what requests that ended by it still say."""

OVERTIME_S = 4.0
"""Seconds after the grace period after which the process ends, whatever still runs."""

_log = logging.getLogger("rankrag.server")


def most_connections() -> int:
    """Return how many connections may be open: half of the files that the process may have.

    The other half is for the index, the model, uploads, and connections that are about to be refused.
    """
    try:
        import resource
    except ImportError:
        return FILES // 2
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2))


class Connection(H11Protocol):
    """A connection that is closed when it says nothing for too long, or to make room for one that speaks."""

    most = 0
    """Connections at the same time, of all; 0 is any number."""

    silent_since: float = 0.0
    """When it was opened, or its last answer ended, by the loop's clock."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in, in place of the one that is idle for the longest where there are too many."""
        super().connection_made(transport)
        self.silent_since = self.loop.time()
        self._wait(HEAD_S)
        if self.most and len(self.connections) > self.most and not self._make_room():
            self._refuse(503, "found too many connections, wanted fewer: try again in a moment", SERVER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Do what has come in, and see to it that what is still to come comes in time."""
        super().handle_events()
        if self.is_idle:
            if self._timer is None:
                self._wait(HEAD_S)
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the end of a body that nobody reads."""
        is_unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        self.silent_since = self.loop.time()
        if is_unread and not self.transport.is_closing():
            self._stop_waiting()
            self._wait(LINGER_S)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the shape of all our errors."""
        self._refuse(400, f"found no request that can be read ({msg}), wanted HTTP/1.1", INVALID)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> bool:
        others = [peer for peer in self.connections if peer is not self and isinstance(peer, Connection)]
        idle = [peer for peer in others if peer.is_idle and not peer.transport.is_closing()]
        if not idle:
            return False
        oldest = min(idle, key=lambda peer: peer.silent_since)
        oldest.transport.abort()
        self.connections.discard(oldest)
        return True

    def _wait(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._out_of_time)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_time(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, message: str, kind: str) -> None:
        body = json.dumps(shape(message, ErrorKind(status, kind))).encode()
        head = (
            f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Service Unavailable'}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Tells the app at once that it closes, not only when its requests are through."""

    def __init__(self, config: uvicorn.Config, begin: Callable[[], None]) -> None:
        super().__init__(config)
        self._begin = begin

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, after what is running has ended."""
        self._begin()
        await super().shutdown(sockets)


def make_server(app: FastAPI, grace_s: float, begin: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """Return a server that gives its requests `grace_s` seconds once it ends; `begin` is called then."""

    class Limited(Connection):
        most = most_connections()

    def close() -> None:
        begin()
        begin_closing(app, grace_s)

    config = uvicorn.Config(
        app,
        http=Limited,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=round(grace_s + SPARE_S),
    )
    return _Server(config, close)


def listen(app: FastAPI, listener: socket.socket, grace_s: float) -> None:
    """Serve an app until the process is told to end; a loop that ends by itself ends the process with 1.

    After SIGINT or SIGTERM requests have `grace_s` seconds to finish; a signal then goes on to whoever else
    handles it. The process ends soon after that time, whatever still runs.
    """
    overtime = threading.Timer(grace_s + OVERTIME_S, _end)
    overtime.daemon = True
    server = make_server(app, grace_s, overtime.start)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_note)
    try:
        loop.run_until_complete(server.serve([listener]))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Threads of the model would keep a process alive that answers nobody, and nobody would restart it.
        _log.critical("the loop that answers requests ended", exc_info=error)
        os._exit(1)
    finally:
        overtime.cancel()
    if not server.should_exit:
        _log.critical("the server ended by itself")
        os._exit(1)


def _end() -> None:
    _log.error("ended with work that did not end in time")
    os._exit(1)


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG001
    """Write a line about what went wrong in a loop; it needs no file and raises nothing."""
    error = context.get("exception")
    _log.error("%s%s", context.get("message"), f": {error!r}" if error else "")
