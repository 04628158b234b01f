"""The tables of an index on disk: their columns, how they are made and opened, and what breaks them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ...errors import FailureError, InvalidInputError, RankRAGError
from ..manifest import IndexManifest
from ..older import tokenizer_before
from ..sums import SUMS, begin

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb import DBConnection, Session
    from lancedb.table import Table

CACHE_MB = 1024
"""MB of parts of indexes that a process keeps in memory; `RANKRAG_INDEX_CACHE_MB` says otherwise."""

_CLOUD = "lance_namespace_urllib3_client"

_METADATA_SHARE = 8
"""A part of the same size as that divided by this is kept for lists of files and columns."""


def connect(folder: Path, interval: timedelta | None = None) -> DBConnection:
    """Return a connection to the tables of a folder; all of a process share one bounded cache.

    Every commit leaves parts of an older index in it until they are pushed out: by the store's own limits
    (6 GB) a server that takes uploads grows by about half a megabyte with each of them.
    """
    # Where nobody chose, LanceDB warns that statistics hold centroids, which are not read here.
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
    prepare_lancedb()
    import lancedb

    return lancedb.connect(str(folder), read_consistency_interval=interval, session=_session())


@cache
def _session() -> Session:
    import lancedb

    given = os.environ.get("RANKRAG_INDEX_CACHE_MB", str(CACHE_MB))
    if not given.isdecimal() or int(given) < 1:
        raise InvalidInputError(f"found RANKRAG_INDEX_CACHE_MB={given!r}, wanted a number of megabytes")
    size = int(given) * 10**6
    return lancedb.Session(index_cache_size_bytes=size, metadata_cache_size_bytes=size // _METADATA_SHARE)


@cache
def prepare_lancedb() -> None:
    """Load LanceDB without what nothing here needs; call it before `lancedb` is imported."""
    postpone_cloud()
    with without_pandas():
        import_module("pyarrow.dataset")
    with quick_classes():
        import_module("lancedb")


@contextlib.contextmanager
def quick_classes() -> Iterator[None]:
    """Have classes that are made while the block runs made without what is of no use before they are used.

    That is the validators of pydantic's models, built when a model is first used; LanceDB has two hundred for
    its cloud. Before Python 3.12 it is a look at byte code for each `override`, too. Both are a third of its
    import.
    """
    from pydantic import BaseModel

    settings = BaseModel.model_config
    BaseModel.model_config = settings | {"defer_build": True}
    try:
        with contextlib.nullcontext() if sys.version_info >= (3, 12) else _unchecked_overrides():
            yield
    finally:
        BaseModel.model_config = settings


@contextlib.contextmanager
def _unchecked_overrides() -> Iterator[None]:
    overrides: Any = import_module("overrides")
    checked = overrides.override
    overrides.override = _marked
    try:
        yield
    finally:
        overrides.override = checked


def _marked(method: FunctionType) -> FunctionType:
    method.__dict__["__override__"] = True
    return method


@contextlib.contextmanager
def without_pandas() -> Iterator[None]:
    """Have the imports of this thread find no pandas while the block runs.

    Where it is installed `import pyarrow.dataset`, which LanceDB does, loads it to see whether it is there:
    0.3 seconds of a processor. Whoever makes a frame later still finds it.
    """
    hiding = _NoPandas(threading.get_ident())
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)


@dataclass(frozen=True, slots=True)
class _NoPandas:
    """Finds no pandas, in one thread."""

    thread: int

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name == "pandas" and threading.get_ident() == self.thread:
            raise ModuleNotFoundError("pandas is left out", name=name)
        return None


def postpone_cloud() -> None:
    """Have the client of LanceDB's cloud loaded only when something asks for it; call it before `lancedb`.

    As it is imported it builds a validator for each of its few hundred functions, which is 0.6 of the 1.5
    seconds that `import lancedb` takes a processor, and nothing here calls them.
    """
    spec = None if _CLOUD in sys.modules else find_spec(_CLOUD)
    if spec is None or spec.loader is None:
        return
    loader, package = spec.loader, module_from_spec(spec)

    def load(name: str) -> object:
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = load  # what a module asks for what it does not have (PEP 562)
    sys.modules[_CLOUD] = package


def make_tables(folder: Path, manifest: IndexManifest) -> None:
    """Make the tables that are not there yet, with an index for words, so that any later kill leaves both."""
    database = connect(folder)
    with reading(folder):
        if not (is_there(folder, "files") and is_there(folder, "passages")):
            begin(folder)
            for name in ("files", "passages"):
                shutil.rmtree(folder / f"{name}.lance", ignore_errors=True)
            dimension = manifest.encoder.dimension if manifest.encoder else None
            database.create_table("passages", schema=_passages_schema(dimension, manifest.own_words))
            database.create_table("files", schema=files_schema())
        passages = database.open_table("passages")
        if not passages.list_indices():
            index_words(passages, manifest)


def drop_tables(folder: Path, _manifest: IndexManifest) -> None:
    """Remove the tables."""
    for name in ("files", "passages"):
        shutil.rmtree(folder / f"{name}.lance", ignore_errors=True)
    (folder / SUMS).unlink(missing_ok=True)


def files_schema() -> pa.Schema:
    """Return the columns of the table of files."""
    import pyarrow as pa

    return pa.schema({"path": pa.string(), "sha256": pa.string(), "complete": pa.bool_()})


def _passages_schema(dimension: int | None, own_words: bool) -> pa.Schema:
    import pyarrow as pa

    names = ("id", "document", "path", "title", "content", *(("words",) if own_words else ()))
    words = {name: pa.string() for name in names}
    numbers = {"record": pa.int64(), "page": pa.int32(), "start": pa.int64(), "end": pa.int64()}
    vector = {} if dimension is None else {"vector": pa.list_(pa.float32(), dimension)}
    return pa.schema({**words, **numbers, "attributes": pa.list_(pa.string()), **vector})


def is_there(folder: Path, name: str) -> bool:
    """Say whether a table was committed; a kill may leave its folder without a version."""
    return any((folder / f"{name}.lance" / "_versions").glob("*.manifest"))


def open_table(folder: Path, name: str) -> Table:
    """Return a table that sees what others commit."""
    # An interval of zero makes every read look for the newest version: a running server sees what a
    # build next to it has committed. It costs a look into one folder.
    return connect(folder, timedelta(0)).open_table(name)


def open_version(folder: Path, name: str) -> Table:
    """Return a table as it is now, whatever others commit after: for what takes several reads."""
    return connect(folder).open_table(name)


def index_words(passages: Table, manifest: IndexManifest) -> None:
    """Make the BM25 index of a table of passages anew."""
    from lancedb.index import FTS

    how = _AS_THEY_ARE if manifest.own_words else tokenizer_before(manifest.language)
    config = FTS(**how, num_workers=os.cpu_count())
    passages.create_index(words_column(manifest), config=config, replace=True)


def words_column(manifest: IndexManifest) -> str:
    """Return the column that BM25 searches; an index of the older kind had LanceDB split its texts."""
    return "words" if manifest.own_words else "content"


_AS_THEY_ARE: dict[str, Any] = {
    "base_tokenizer": "whitespace",
    "max_token_length": None,
    "lower_case": False,
    "stem": False,
    "remove_stop_words": False,
    "ascii_folding": False,
}


@contextlib.contextmanager
def committing(folder: Path) -> Iterator[None]:
    """Raise FailureError, saying why, where a change cannot be written."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise FailureError(
            f"found that the index at {folder} cannot be written ({_reason(error)}), wanted room and rights "
            "there: mend that and run the same command again, what was committed stays"
        ) from error


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raise one of our errors, saying why, where an index cannot be read."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise broken(folder, error) from error
    except Exception as error:
        if type(error).__name__ != "RustPanic":  # which LanceDB raises and does not export
            raise
        raise broken(folder, error) from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _why(error: Exception) -> str:
    """Return what the system said, which may stand far behind the store's own words."""
    said = str(error)
    start = min((at for reason in _NOT_BROKEN if (at := said.lower().find(reason)) >= 0), default=0)
    return said[start : start + 60].splitlines()[0]


_NOT_BROKEN = (
    "no space left",
    "disk quota",
    "permission denied",
    "too many open files",
    "read-only file system",
    "file too large",
    "input/output error",
)
"""What the system says where the index itself is whole."""


def broken(folder: Path, error: Exception) -> RankRAGError:
    """Return the error for an index that cannot be read: it is broken, or the system does not let it be."""
    if any(reason in str(error).lower() for reason in _NOT_BROKEN):
        return FailureError(
            f"found that the system does not let the index at {folder} be used ({_why(error)}), wanted room, "
            "rights and a sound disk: mend that and run the same command again, what was committed stays"
        )
    return InvalidInputError(
        f"found a broken index at {folder} ({_reason(error)}): restore what `rankrag documents check --index "
        f"{folder}` names, or build another with `rankrag index PATH --index NEW`"
    )
