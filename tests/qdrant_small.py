"""A small Qdrant server for tests: its REST paths on a loopback port, answered by the client's imitation.

What crosses the wire is the real client's: paths, bodies, headers and statuses. What a real server does with
it (its indexes, its limits, its shards) is not here.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models  # nearly a second, which modules of tests must not cost

Json = dict[str, Any]
Handler = Callable[["QdrantClient", str, Json], object]


def _models(kind: str, values: Sequence[object]) -> list[Any]:
    from qdrant_client import models

    adapter: TypeAdapter[Any] = TypeAdapter(getattr(models, kind))
    return [adapter.validate_python(value) for value in values]


def _filter(body: Json) -> models.Filter | None:
    from qdrant_client import models

    return models.Filter(**body["filter"]) if body.get("filter") else None


def _create(client: QdrantClient, name: str, body: Json) -> object:
    from qdrant_client import models

    kind = models.CreateCollection(**body)
    vectors = kind.vectors if kind.vectors is not None else {}
    return client.create_collection(name, vectors, sparse_vectors_config=kind.sparse_vectors)


def _scroll(client: QdrantClient, name: str, body: Json) -> object:
    from qdrant_client import models

    asked = models.ScrollRequest(**body)
    order = models.OrderBy(**body["order_by"]) if body.get("order_by") else None
    points, offset = client.scroll(
        name,
        _filter(body),
        asked.limit or 10,
        order,
        asked.offset,
        with_payload=asked.with_payload if asked.with_payload is not None else True,
        with_vectors=asked.with_vector or False,
    )
    return {"points": points, "next_page_offset": offset}


def _query(client: QdrantClient, name: str, body: Json) -> object:
    from qdrant_client import models

    asked = models.QueryRequest(**body)
    query = asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query
    return client.query_points(
        name,
        query,
        using=asked.using,
        query_filter=asked.filter,
        limit=asked.limit or 10,
        with_payload=asked.with_payload if asked.with_payload is not None else False,
    )


def _retrieve(client: QdrantClient, name: str, body: Json) -> object:
    return client.retrieve(name, body["ids"], with_payload=body.get("with_payload", True))


def _selector(body: Json) -> Any:
    from qdrant_client import models

    return TypeAdapter(models.PointsSelector).validate_python(body)


def _done(*_: object) -> object:
    return {"operation_id": 1, "status": "completed"}


PATHS: dict[tuple[str, str], Handler] = {
    ("GET", "/exists"): lambda c, n, _: {"exists": c.collection_exists(n)},
    ("GET", ""): lambda c, n, _: c.get_collection(n),
    ("PUT", ""): _create,
    ("DELETE", ""): lambda c, n, _: c.delete_collection(n),
    ("PUT", "/index"): _done,
    ("PUT", "/points"): lambda c, n, b: c.upsert(n, _models("PointStruct", b["points"])),
    ("PUT", "/points/vectors"): lambda c, n, b: c.update_vectors(n, _models("PointVectors", b["points"])),
    ("POST", "/points"): _retrieve,
    ("POST", "/points/scroll"): _scroll,
    ("POST", "/points/count"): lambda c, n, b: c.count(n, _filter(b)),
    ("POST", "/points/delete"): lambda c, n, b: c.delete(n, _selector(b)),
    ("POST", "/points/query"): _query,
}


@dataclass
class SmallQdrant:
    """The address of a running server, and what can be made to go wrong with it."""

    url: str = ""
    key: str = ""
    largest: int = 32 * 2**20
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def small_qdrant() -> Iterator[SmallQdrant]:
    """Run a server on a free port of this machine."""
    from qdrant_client import QdrantClient

    state, client, lock = SmallQdrant(), QdrantClient(":memory:"), threading.Lock()

    class Requests(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append(f"{self.command} {self.path}")
            if state.key and self.headers.get("api-key") != state.key:
                return self._send(401, b"Must provide an API key or an Authorization bearer token")
            if len(body) > state.largest:
                return self._send(413, b'{"status": {"error": "Payload error: JSON payload is too large"}}')
            found = re.fullmatch(r"/collections/([^/?]+)([^?]*)(\?.*)?", self.path)
            assert found, self.path
            try:
                with lock:
                    result = PATHS[self.command, found[2]](client, found[1], json.loads(body) if body else {})
            except ValueError as error:
                status = 404 if "not found" in str(error) else 400
                return self._send(status, json.dumps({"status": {"error": str(error)}}).encode())
            answer = {
                "result": TypeAdapter(Any).dump_python(result, mode="json"),
                "status": "ok",
                "time": 0.0,
            }
            return self._send(200, json.dumps(answer).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
    client.close()
