"""A running `rankrag serve` of the same user: what has the same things loaded is used by `ask` and `search`.

Events are read over http.client: one request to this machine wants neither the retries nor the proxies that
httpx, which models behind servers are asked through, brings with it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import FailureError
from ..files import locked, user_folder
from ..formats import answer_of, hit_of
from ..system import SystemSpec
from ..types import Answer, Filters, Hit, Passage, Question
from .version import __version__

PATIENCE_S = 600.0
"""Seconds without a word from a server after which it is given up."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the hits as they are shown, and the passages as the retriever had them.

    `calibrated` says whether levels of relevance were measured for what ordered the hits.
    """

    retriever: str
    query: str
    hits: Sequence[Hit]
    retrieved: Sequence[Passage]
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class ResidentServer:
    """A server that has loaded what a spec names; how much is retrieved and read goes with each request."""

    url: str
    spec: SystemSpec

    def stream(self, question: Question, filters: Filters) -> Iterator[Answer]:
        """Yield the answer as it grows; closing the iterator stops it. Raises FailureError."""
        with self._posted("/v1/ask", self._body(question, filters)) as response:
            yield from self._answers(response, question)

    def search(self, question: Question, filters: Filters) -> Found:
        """Return what the server finds; it ranks that where the spec does. Raises FailureError."""
        spec = self.spec
        body = {
            "question": question.text,
            "k": spec.retrieve_k,
            "filters": dict(filters) or None,
            "rank": spec.ranking,
        }
        with self._posted("/v1/search", body) as response:
            told = json.load(response)
        hits = [hit_of(record) for record in told["data"]]
        passages = {hit.passage.id: hit.passage for hit in hits}
        retrieved = [passages[name] for name in told["retrieved"]]
        return Found(told["retriever"], told["query"], hits, retrieved, told["calibrated"])

    @contextlib.contextmanager
    def _posted(self, path: str, body: Mapping[str, object]) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give what is answered; raises FailureError where that is no success."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise FailureError(f"found {self._fault(response.read())}")
            yield response
        except (OSError, http.client.HTTPException) as trouble:
            raise FailureError(
                f"found no whole answer from the server at {self.url} ({trouble}), wanted one: ask again"
            ) from trouble
        finally:
            connection.close()

    def _body(self, question: Question, filters: Filters) -> dict[str, object]:
        spec = self.spec
        return {
            "question": question.text,
            "history": [{"role": turn.role, "content": turn.text} for turn in question.history],
            "style": question.style,
            "retrieve_k": spec.retrieve_k,
            "read_k": spec.read_k,
            "filters": dict(filters) or None,
            "min_relevance": spec.min_relevance,
            "rank": spec.ranking,
            "stream": True,
        }

    def _answers(self, response: http.client.HTTPResponse, question: Question) -> Iterator[Answer]:
        record: dict[str, object] = {}
        name = b""
        for line in response:
            kind, _, value = line.strip().partition(b": ")
            if kind == b"event":
                name = value
            elif kind == b"data" and name == b"answer":
                record |= json.loads(value)
                yield answer_of(record, question)
            elif kind == b"data":
                raise FailureError(f"found {self._fault(value)}")
        if not record.get("done"):
            raise http.client.IncompleteRead(b"")

    def _fault(self, content: bytes) -> str:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return f"{json.loads(content)['error']['message']} (said the server at {self.url})"
        return f"no answer from the server at {self.url}, wanted one: look at its log"


@contextlib.contextmanager
def announced(spec: SystemSpec, url: str, passages: int) -> Iterator[None]:
    """Let `ask` and `search` know of a server while the block runs; what cannot be written down is not known.

    `passages` is how many of them a request may ask it for.
    """
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4().hex}.json"
        stream = path.open("x", encoding="utf-8")
    except OSError:
        yield
        return
    with stream:
        locked(stream.fileno())  # held for as long as the process lives, however it ends
        json.dump({"url": url, "passages": passages, "loaded": _loaded(spec)}, stream)
        stream.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find(spec: SystemSpec) -> ResidentServer | None:
    """Return a server of this user that runs and has loaded what a spec names.

    What servers left that have ended is cleared away.
    """
    if spec.budget is not None:
        return None
    for path in _folder().glob("*.json"):
        with contextlib.suppress(OSError, ValueError), path.open("r+", encoding="utf-8") as stream:
            if locked(stream.fileno()):
                path.unlink()
                continue
            told = json.load(stream)
            if _loaded(spec).items() <= told["loaded"].items() and spec.retrieve_k <= told["passages"]:
                return ResidentServer(told["url"], spec)
    return None


def _folder() -> Path:
    return user_folder("DATA") / "serving"


def _loaded(spec: SystemSpec) -> dict[str, str]:
    """Return which index and models a spec wants loaded, and how, in words that two processes compare."""
    parts: dict[str, object] = {
        "version": __version__,
        "index": spec.index,
        "retriever": spec.retriever,
    }
    if spec.ranking:
        parts |= {
            "ranker": spec.ranks_with,
            "query_likelihood": spec.query_likelihood,
            "budget": spec.budget,
        }
    if spec.generating:
        parts |= {"generator": spec.answers_with, "reading": spec.reading, "rewrite": spec.rewrite}
    if spec.ranking or spec.generating:
        parts["precision"] = spec.loading.precision
    return {name: _placed(part) for name, part in parts.items()}


def _placed(part: object) -> str:
    """Return a part as text, a folder by its absolute path."""
    is_folder = isinstance(part, str | Path) and Path(part).expanduser().is_dir()
    return str(Path(str(part)).expanduser().resolve()) if is_folder else str(part)
