"""Talking with one HTTP server: JSON in and out, server-sent events, patience, and plain refusals."""

from __future__ import annotations

import contextlib
import email.utils
import json
import random
import ssl
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from ...errors import FailureError, InvalidInputError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 300.0
"""Default longest silence of a server: a large model on a CPU reads five passages for minutes."""

ATTEMPTS = 6
"""Requests in all: the pauses between them add up to about 15 s, unless the server asks for longer."""

ATTEMPTS_AWAY = 3
"""Requests in all where nobody listens: more often a server that was not started than one that restarts."""

LONGEST_PAUSE_S = 60.0
"""A server that asks for a longer pause is not waited for: the failure says how long it wants."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that may be another at the next attempt."""

_READ = 100_000
"""Bytes of an error's body that are read."""

_SAID = 300
"""Characters of a server's own words that a message repeats."""

_REMEDIES = {
    **dict.fromkeys((301, 302, 303, 307, 308), "set the URL to where it points (redirects are not followed)"),
    400: "mend what it names (RANKRAG_CONTEXT_LENGTH limits the prompts)",
    401: "set OPENAI_API_KEY to a key of this server",
    403: "set OPENAI_API_KEY to a key that may use this model",
    404: "check the model's name, and that the URL ends as the server's API does, mostly in /v1",
    413: "set RANKRAG_CONTEXT_LENGTH to what it takes",
    429: "wait, or ask its owner for a higher limit",
}

_T = TypeVar("_T")


class RefusedError(FailureError):
    """The server answered with a status that asking again does not change; `said` is its own words."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class _PassingError(FailureError):
    """A failure that may pass, after `wait_s` seconds if the server said so; `away`: nobody listens."""

    def __init__(self, message: str, wait_s: float = 0.0, away: bool = False) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.away = away


class Endpoint:
    """A server whose API begins at `url`, such as `http://127.0.0.1:8000/v1`.

    Proxies and certificates are those of the environment, as httpx reads it. Redirects are not followed:
    they would take documents and key to a server that nobody named. Safe to use from several threads. The
    key stands in no message, not even where the server repeats it.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        pause_s: float = 0.5,
    ) -> None:
        """Check the URL and the key; nothing is sent yet.

        `timeout_s` limits the silence between two parts of an answer, `attempts` the requests in all;
        `pause_s` stands before the second and doubles after that. Raises InvalidInputError.
        """
        self.url = checked_url(url)
        self.host = urlsplit(url).netloc
        self._key = _checked_key(key)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._pause_s = pause_s

    def get(self, path: str) -> Mapping[str, object]:
        """Return the JSON object at a path; see `post` for the errors."""
        return self._patiently(lambda: self._whole(path, None))

    def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Return the JSON object with which the server answers.

        Busy servers and broken connections are tried again. Raises RefusedError for a status that will
        not change, FailureError for everything else, each saying host, status and the server's words.
        """
        return self._patiently(lambda: self._whole(path, body))

    def events(self, path: str, body: Mapping[str, object]) -> Generator[Mapping[str, object]]:
        """Yield the JSON objects of a stream of server-sent events up to its end mark `[DONE]`.

        A stream that breaks before its first event is asked for again; later that is a FailureError,
        since a second answer need not begin like the first. Closing the iterator closes the connection.
        A server that does not stream yields its one object.
        """
        response, first, rest = self._patiently(lambda: self._begun(path, body))
        with contextlib.closing(response):
            yield first
            yield from rest

    # ── one attempt ──────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        headers = {"User-Agent": "rankrag"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        limits = httpx.Limits(max_connections=None)  # who calls says how many requests are under way
        client = httpx.Client(headers=headers, timeout=self._timeout_s, limits=limits)
        weakref.finalize(self, client.close)  # connections outlive requests, and end with their user
        return client

    def _whole(self, path: str, body: Mapping[str, object] | None) -> Mapping[str, object]:
        with self._failures(), contextlib.closing(self._open(path, body)) as response:
            return self._object(response.read())

    def _begun(
        self, path: str, body: Mapping[str, object]
    ) -> tuple[httpx.Response, Mapping[str, object], Iterator[Mapping[str, object]]]:
        """Return an open response, its first event, and the events that follow."""
        with self._failures():
            response = self._open(path, body)
        try:
            rest = self._parsed(response)
            return response, next(rest, {}), rest
        except BaseException:
            response.close()
            raise

    def _open(self, path: str, body: Mapping[str, object] | None) -> httpx.Response:
        """Return a response whose content is still to be read; raises for a status that is no success."""
        method = "GET" if body is None else "POST"
        request = self._client.build_request(method, self.url + path, json=body)
        response = self._client.send(request, stream=True)
        if response.is_success:
            return response
        with contextlib.closing(response):
            raise self._status(response)

    def _parsed(self, response: httpx.Response) -> Iterator[Mapping[str, object]]:
        """Yield the events of a response; a line `data:` is one, as every such server writes them."""
        finished = False
        with self._failures():
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                yield self._object(response.read())
                return
            for line in response.iter_lines():
                name, _, data = line.strip().partition(":")
                if name != "data":
                    continue
                if data.strip() == "[DONE]":
                    return
                event = self._object(data.encode())
                finished = finished or _finishes(event)
                yield event
        if not finished:
            raise _PassingError(
                f"found an answer of {self.host} that breaks off, wanted it to its end: ask again"
            )

    def _object(self, content: bytes) -> Mapping[str, object]:
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise FailureError(
                f"found no JSON object in what {self.host} answered ({self._words(content)}), wanted one: "
                "check that the URL is that of an OpenAI-compatible API, mostly ending in /v1"
            )
        if value.get("error"):
            raise FailureError(
                f"found an error in the answer of {self.host} ({self._words(content)}), wanted none: "
                "look at the server's log"
            )
        return value

    # ── what goes wrong ──────────────────────────────────────────────────────────────────────────────

    def _patiently(self, step: Callable[[], _T]) -> _T:
        attempt = 1
        while True:
            try:
                return step()
            except _PassingError as trouble:
                most = min(self._attempts, ATTEMPTS_AWAY) if trouble.away else self._attempts
                if attempt >= most or trouble.wait_s > LONGEST_PAUSE_S:
                    raise FailureError(str(trouble)) from trouble
                # Callers that failed together should not all come back together.
                pause = self._pause_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                time.sleep(min(max(pause, trouble.wait_s), LONGEST_PAUSE_S))
            attempt += 1

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what httpx raises into one line each."""
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            if untrusted := _untrusted(error):
                raise FailureError(
                    f"found a certificate of {self.host} that cannot be trusted ({untrusted}), "
                    "wanted a valid one: set SSL_CERT_FILE to its authority's"
                ) from error
            raise _PassingError(
                f"found no answer from {self.host} ({self._words(str(error) or type(error).__name__)}), "
                "wanted one: start the server, or mend the URL (OPENAI_BASE_URL)",
                away=isinstance(error, httpx.ConnectError),
            ) from error

    def _status(self, response: httpx.Response) -> FailureError:
        said = self._words(_beginning(response))
        wait_s = _wait_s(response.headers.get("Retry-After"))
        status = response.status_code
        remedy = _REMEDIES.get(status, "look at the server's log")
        asked = f"; it asks to wait {wait_s:.0f} s" if wait_s else ""
        message = f"found status {status} from {self.host} ({said or response.reason_phrase}{asked}), "
        message += f"wanted an answer: {remedy}"
        return _PassingError(message, wait_s) if status in _BUSY else RefusedError(message, status, said)

    def _words(self, content: bytes | str) -> str:
        """Return the beginning of what a server said, on one line and without the key."""
        text = content if isinstance(content, str) else _message(content)
        text = text.replace(self._key, "***") if self._key else text
        text = " ".join(text.split())
        return text if len(text) <= _SAID else text[:_SAID] + "…"


def checked_url(url: str) -> str:
    """Return a base URL without the slash at its end; raises InvalidInputError for what is none."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url or set(url) & set("?#"):
        raise InvalidInputError(
            f"found base URL {url.rpartition('@')[2]!r}, wanted http://HOST:PORT/v1 or https://HOST/v1: "
            "mend it"
        )
    if "@" in parts.netloc:
        raise InvalidInputError(
            f"found a password in the base URL of {parts.hostname}, wanted none: set OPENAI_API_KEY"
        )
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    key = key.strip()
    if not key.isascii() or not key.isprintable():
        raise InvalidInputError(
            "found characters in OPENAI_API_KEY that no header can carry, wanted one line of ASCII: set it "
            "again"
        )
    return key


def _finishes(event: Mapping[str, object]) -> bool:
    choices = event.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


def _untrusted(error: BaseException | None) -> str:
    """Return what is wrong with a certificate, empty where the failure is another."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""


def _beginning(response: httpx.Response) -> bytes:
    """Return the beginning of an error's body; a body that breaks off says nothing."""
    import httpx

    content = b""
    with contextlib.suppress(httpx.TransportError, httpx.DecodingError):
        for part in response.iter_bytes():
            content += part
            if len(content) > _READ:
                break
    return content[:_READ]


def _message(content: bytes) -> str:
    """Return the words of an error: OpenAI's `error.message`, FastAPI's `detail`, or the body itself."""
    text = content.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    while isinstance(found, dict):
        found = next((found[name] for name in ("error", "message", "detail") if found.get(name)), text)
    return found if isinstance(found, str) else text


def _wait_s(header: str | None) -> float:
    """Return the seconds of a `Retry-After` header: a number or a date (RFC 9110, section 10.2.3)."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
