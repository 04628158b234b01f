"""`manifest.json` in the folder of an index: what it was built with and what it holds."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FailureError, InUseError, InvalidInputError, NotFoundError
from ..files import locked, summed, typed, unsummed, write_json
from .place import LANCEDB, StorePlace, check_place
from .settings import LANGUAGE, LANGUAGES, WORDS, Settings, Similarity
from .sums import SUMS, TABLES, boot, take_back, unsealed

if TYPE_CHECKING:
    import numpy as np

FORMAT = 3
"""The layout of an index folder that this code writes, and the newest that it reads."""

_OWN_WORDS = 3
"""The format from which on an index holds words as `words.py` has them; before, LanceDB split the texts."""

MANIFEST = "manifest.json"
_LOCK = "lock"
UPLOADS = "uploads"
"""The folder in an index where a server keeps the files that it was sent."""

COPYING = "copying.json"
"""The file in a folder that a copy was begun in; it goes when the copy is whole."""

_OURS = {MANIFEST, _LOCK, UPLOADS, COPYING, SUMS, *TABLES}


@dataclass(frozen=True, slots=True)
class EncoderUsed:
    """The encoder that an index's vectors come from."""

    name: str
    fingerprint: str
    dimension: int
    similarity: Similarity


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """What an index was built with and what it holds.

    `root` is the folder from which documents are named: where the first build was started. It is kept
    relative to the index if that lies within it, so both can be moved together. `scripts` are those that
    builds have seen in passages, by the names of `words.scripts`; they stay when the passages go.
    """

    words: int
    language: str
    encoder: EncoderUsed | None
    root: str
    created: str
    updated: str
    n_files: int = 0
    n_passages: int = 0
    format: int = FORMAT
    store: StorePlace = LANCEDB
    scripts: tuple[str, ...] = ()

    @property
    def own_words(self) -> bool:
        """Whether the index holds words as `words.py` has them; one of the older kind does not."""
        return self.format >= _OWN_WORDS

    def root_of(self, folder: Path) -> Path:
        """Return the root as an absolute path; `folder` is where the index lies."""
        return Path(os.path.normpath(folder.resolve() / self.root))


def read_manifest(folder: Path) -> IndexManifest:
    """Return the manifest of an index.

    Raises NotFoundError if there is no such folder, InvalidInputError if it is no index, a broken one,
    or one of a newer format.
    """
    make = f"rankrag index PATH --index {folder}"
    if not folder.exists():
        raise NotFoundError(f"found no index at {folder}: make one with `{make}`")
    if not (folder / MANIFEST).is_file():
        raise InvalidInputError(
            f"found {folder}, which is no index (no {MANIFEST}): give the folder of an index, "
            f"or make one with `{make}`"
        )
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = values["format"]
        if type(version) is not int:
            raise ValueError(f"format {version!r}")
        if version > FORMAT:
            raise InvalidInputError(
                f"found an index of format {version} at {folder}, wanted at most {FORMAT}: update rankrag"
            )
        manifest = typed(IndexManifest, unsummed(values), "manifest")
    except OSError as error:
        raise FailureError(
            f"found that {folder / MANIFEST} cannot be read ({error.strerror}), wanted rights and a sound "
            "disk: mend that, the index stays"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(
            f"found a broken {MANIFEST} in {folder} ({error or type(error).__name__}): restore it, or take "
            "its sha256 out if you changed it, or build another with `rankrag index PATH --index NEW`"
        ) from error
    check_place(manifest.store)
    return manifest


def write_manifest(folder: Path, manifest: IndexManifest) -> None:
    """Write the manifest; a reader sees the old one or the new one."""
    values = asdict(manifest)
    if not manifest.own_words:  # as the version that made it wrote it, which goes on reading it
        del values["scripts"]
    if manifest.store == LANCEDB:
        del values["store"]
    write_json(folder / MANIFEST, summed(values) if manifest.own_words else values, durable=True)


def plan(folder: Path, settings: Settings) -> IndexManifest:
    """Return the manifest of the index in the folder, or the one that a new index there would get.

    Writes nothing. Raises InvalidInputError if the index was built with other settings, the folder
    holds other things, or a setting is none that there is.
    """
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        _check(folder, manifest, settings)
        return manifest
    vacant(folder)
    return _new(folder, settings)


def vacant(folder: Path) -> None:
    """Raise InvalidInputError unless a new index can be made in the folder."""
    if (folder / MANIFEST).exists():
        raise InvalidInputError(f"found an index at {folder}, wanted a new folder: give another")
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"found a file at {folder}, wanted a folder: give another --index")
    inside = folder.iterdir() if folder.exists() else iter(())
    if foreign := sorted(path.name for path in inside if path.name not in _OURS and path.name[0] != "."):
        raise InvalidInputError(
            f"found {folder} with other files in it ({foreign[0]}, ...), wanted an index or an empty folder: "
            "give another --index"
        )


def updated(
    manifest: IndexManifest, n_files: int, n_passages: int, scripts: Iterable[str] = ()
) -> IndexManifest:
    """Return the manifest with new counts, further scripts and the time of now."""
    seen = tuple(sorted({*manifest.scripts, *scripts}))
    return replace(manifest, n_files=n_files, n_passages=n_passages, scripts=seen, updated=_now())


def check_encoder(folder: Path, used: EncoderUsed | None, name: str, fingerprint: str) -> None:
    """Refuse to compare vectors of two encoders, or to search vectors that are not there."""
    if used is None:
        raise InvalidInputError(
            f"found an index without vectors at {folder}, wanted vectors by {name}: search it with "
            "--retriever bm25, or build another with vectors"
        )
    if used.fingerprint != fingerprint:
        raise InvalidInputError(
            f"found an index at {folder} with vectors by {used.name} ({used.fingerprint}), wanted {name} "
            f"({fingerprint}): load that encoder, or build another index"
        )


def check_vectors(folder: Path, used: EncoderUsed | None, n_rows: int, vectors: np.ndarray | None) -> None:
    """Refuse vectors of another shape than passages in the index have."""
    wanted = (n_rows, used.dimension) if used else None
    found = None if vectors is None else vectors.shape
    if found != wanted:
        raise InvalidInputError(
            f"found vectors of shape {found} for passages in the index at {folder}, wanted {wanted}: encode "
            "them with the encoder of the index"
        )


def searched_by(folder: Path, used: EncoderUsed | None, vector: np.ndarray) -> EncoderUsed:
    """Return the encoder of an index that is searched with a vector, which has to be one of its."""
    if used is None:
        raise InvalidInputError(f"found no vectors in the index at {folder}: search it with bm25")
    if vector.shape != (used.dimension,):
        raise InvalidInputError(
            f"found a vector of shape {vector.shape}, wanted ({used.dimension},) as in the index at "
            f"{folder}: encode the query with {used.name}"
        )
    return used


@contextlib.contextmanager
def building(folder: Path) -> Iterator[None]:
    """Hold the index for one builder; the system frees it when the process ends, however it ends.

    What a power cut may have left of a commit is taken back. Raises InUseError if another process builds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+", encoding="ascii") as stream:
        if not locked(stream.fileno()):
            stream.seek(0)
            process = stream.readline().strip() or "unknown"
            raise InUseError(
                f"found another build of {folder} running (process {process}), "
                "wanted one at a time: wait for it or end it"
            )
        if _was_cut_off(folder):
            take_back(folder)
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n{boot()}\n")
        stream.flush()
        yield


def _was_cut_off(folder: Path) -> bool:
    """Say whether the machine was started anew since the last builder held the index."""
    try:
        held = (folder / _LOCK).read_text(encoding="ascii")
    except (OSError, ValueError):
        held = ""
    return bool(boot()) and held.splitlines()[1:2] != [boot()]


def recover(folder: Path) -> None:
    """Take back what a power cut may have left of a commit, unless another process does, or nobody may."""
    if _was_cut_off(folder) and unsealed(folder):
        with contextlib.suppress(InUseError, OSError), building(folder):
            pass


@contextlib.contextmanager
def unchanging(folder: Path) -> Iterator[None]:
    """Keep builders out of an index that is read whole, without writing there or needing the right to.

    Raises FailureError if another process builds it. Where there is no lock to hold nothing is held.
    """
    try:
        stream = (folder / _LOCK).open("rb")
    except OSError:
        yield
        return
    with stream:
        if not locked(stream.fileno(), shared=True):
            raise FailureError(
                f"found a build of {folder} running, wanted an index that stays as it is: wait for it or end "
                "it"
            )
        yield


def _new(folder: Path, settings: Settings) -> IndexManifest:
    if settings.language not in (None, *LANGUAGES):
        raise InvalidInputError(
            f"found language {settings.language!r}, wanted one of {', '.join(LANGUAGES)}: choose one of them"
        )
    if settings.words is not None and settings.words < 0:
        raise InvalidInputError(f"found {settings.words} words, wanted 0 (do not cut) or more: give another")
    store = settings.store or LANCEDB
    check_place(store)
    encoder = settings.encoder
    return IndexManifest(
        words=WORDS if settings.words is None else settings.words,
        language=LANGUAGE if settings.language is None else settings.language,
        encoder=None
        if encoder is None
        else EncoderUsed(encoder.name, encoder.fingerprint, encoder.dimension, encoder.similarity),
        root=root_from(Path.cwd(), folder),
        created=moment() if store != LANCEDB else _now(),
        updated=_now(),
        store=store,
    )


def root_from(root: Path, folder: Path) -> str:
    """Return how the manifest of an index in the folder writes down its root."""
    resolved = folder.resolve()
    return Path(os.path.relpath(root, resolved) if resolved.is_relative_to(root) else root).as_posix()


def _check(folder: Path, manifest: IndexManifest, settings: Settings) -> None:
    for name, option in (("words", "--passage-words"), ("language", "--language")):
        wanted, found = getattr(settings, name), getattr(manifest, name)
        if wanted is not None and wanted != found:
            raise InvalidInputError(
                f"found an index at {folder} built with {name} {found}, wanted {wanted}: leave {option} out, "
                "or build another index"
            )
    if settings.store not in (None, manifest.store):
        raise InvalidInputError(
            f"found an index at {folder} in {manifest.store}, wanted {settings.store}: leave --store out, or "
            f"move it with `rankrag documents copy TO --index {folder} --store ...`"
        )
    encoder = settings.encoder
    if encoder is not None:
        check_encoder(folder, manifest.encoder, encoder.name, encoder.fingerprint)
    elif manifest.encoder is not None:
        raise InvalidInputError(
            f"found an index at {folder} with vectors by {manifest.encoder.name}, wanted that encoder to add "
            f"documents: give --encoder {manifest.encoder.name}"
        )


def moment() -> str:
    """Return the time of now, so exact that it tells the indexes on one server apart."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
