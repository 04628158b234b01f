"""The files of the index as resources of the Model Context Protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity

from ...types import Document
from ..state import State

SOURCES = "rankrag://sources"
"""The resource that lists the files of the index; below it stands each of them, by its path."""


def add_sources(server: MCPServer, state: State) -> None:
    """Offer the list of the files of the index, and each of them as it lies on the disk."""

    @server.resource(
        SOURCES, title="Sources", description="The files of the index.", mime_type="application/json"
    )
    async def sources() -> list[dict[str, object]]:
        n_passages = Counter[str]()
        for document in await to_thread.run_sync(_documents, state):
            n_passages[document.path] += document.n_passages
        return [{"path": path, "uri": uri(path), "passages": n} for path, n in n_passages.items()]

    @server.resource(
        f"{SOURCES}/{{+path}}",
        title="Source",
        description="A file of the index, whole, if it is text.",
        security=ResourceSecurity(exempt_params={"path"}),  # it is only compared with those of the index
    )
    async def source(path: str) -> str:
        return await to_thread.run_sync(_content, state, path)


def _documents(state: State) -> Sequence[Document]:
    return state.documents.list() if state.documents is not None else ()


def _content(state: State, path: str) -> str:
    """Return the text of a file of the index; raises ResourceError where it cannot be had."""
    document = next((document for document in _documents(state) if document.path == path), None)
    if document is None or state.documents is None:
        raise ResourceNotFoundError(f"found no source {path[:200]!r}, wanted one of {SOURCES}")
    file, most = state.documents.place(document), state.limits.upload_bytes
    try:
        if (size := file.stat().st_size) > most:
            raise ResourceError(f"{path}: found {size:,} bytes, wanted at most {most:,}: search in it")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ResourceNotFoundError(f"{path}: found no such file any more, wanted it: index again") from error
    except UnicodeDecodeError as error:
        raise ResourceError(f"{path}: found no text in UTF-8, wanted some: search in it") from error


def uri(path: str) -> str:
    """Return the resource that holds a file of the index."""
    return f"{SOURCES}/{quote(path)}"
