"""`rankrag index`: make documents searchable."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import FailureError, InUseError, NotFoundError, PartialError, amount
from ..system import retrieval
from . import completion, console, progress
from .options import (
    DEFAULT_INDEX,
    Collection,
    IndexFolder,
    Output,
    RayAddress,
    StoreOption,
    StoreURL,
    arguments,
)

if TYPE_CHECKING:
    from ..index import BuildEstimate, BuildReport, Settings

LONG_S, VERY_LONG_S = 60, 900
"""Estimated seconds from which the cost of a build is said, and from which a person is asked first."""

NOTES_SHOWN = 20
"""Lines of each list of the report that a person is shown."""

CHANGES = ("added", "replaced", "unchanged", "removed", "failed")

Paths = Annotated[list[str], typer.Argument(help="Files, folders and globs.", metavar="PATH")]
EncoderName = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        autocompletion=completion.encoders,
        help="A name from `rankrag model list`, a folder or a hub id; none is BM25 alone. Default: what the "
        "index has; for a new one minilm-l6 if it was pulled.",
    ),
]
Words = Annotated[
    int | None,
    typer.Option(
        "--passage-words", metavar="N", min=0, help="Words in a passage; 0 does not cut. Default: 100."
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="For stemming words in its script; those of others go by their script. any stems none. Default: "
        "English.",
    ),
]


def index(
    paths: Paths,
    index: IndexFolder = DEFAULT_INDEX,
    encoder: EncoderName = None,
    words: Words = None,
    language: Language = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what is gone from the paths.")] = False,
    store: StoreOption = None,
    store_url: StoreURL = None,
    collection: Collection = None,
    ray: RayAddress = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and bring the index up to date whenever files change.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a collection for its first broken line.")
    ] = False,
    ocr: Annotated[bool, typer.Option("--ocr", help="Read the scanned pages of PDFs too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a very long build.")] = False,
    output: Output = "text",
) -> None:
    """Make documents searchable, or bring an index up to date.

    What is unchanged is skipped, what changed is replaced.

    Reads text, Markdown, reStructuredText, HTML, PDF, Word, PowerPoint, Excel, EPUB, mail, notebooks,
    source code, CSV, TSV and JSON lines; text of any kind also as .gz and .xz. What was not read is listed
    at the end. May be interrupted at any time: the index opens, and running it again goes on where it
    stopped.
    """
    from ..index import Settings, changing, estimate, older_kind, read_manifest

    with arguments():
        place = retrieval.store_place(index, store, store_url, collection)
    with console.working("loading"):
        chosen = retrieval.encoder_for(index, encoder)
        settings = Settings(words, language, chosen, prune, place, strict, ocr)
        cost = estimate(paths, index, settings)
    _announce(cost, yes, ray is not None)
    changes = changing(paths, index) if watch else None
    _build(paths, index, settings, ray, output, may_fail=watch)
    if old := older_kind(index, read_manifest(index)):
        console.warn(old)
    if changes is not None:
        console.err().print(Text(f"Watching {', '.join(paths)}; Ctrl-C ends it.", console.QUIET))
        waiting: set[str] = set()
        for changed in changes:
            waiting.update(changed)
            if waiting:
                with contextlib.suppress(InUseError):  # another build runs: again in a moment
                    _build(sorted(waiting), index, replace(settings, prune=True), ray, output, may_fail=True)
                    waiting.clear()


def _build(
    paths: list[str], index: Path, settings: Settings, ray: str | None, output: str, may_fail: bool
) -> None:
    """Build and report. Raises PartialError if files cannot be read; `may_fail` warns of it and goes on."""
    from ..index import build

    try:
        with progress.reporting() as report:
            done = build(paths, index, settings, report, ray)
        if output == "json":
            console.emit(_record(index, settings, done))
        else:
            _show(index, settings, done)
        if done.failed:
            raise PartialError(
                f"found {amount(len(done.failed), 'file')} that cannot be read, the rest is in: mend or "
                "remove what the report names and run the same command again"
            )
    except (PartialError, FailureError, NotFoundError) as error:
        if not may_fail or isinstance(error, InUseError):
            raise
        console.warn(str(error))


def _announce(cost: BuildEstimate, yes: bool, spread: bool) -> None:
    """Say before a long build what it takes, on this machine alone; ask a person before a very long one."""
    if cost.seconds < LONG_S:
        return
    err = console.err()
    err.print(Text(_cost(cost) + (" Workers share the time." if spread else ""), console.QUIET))
    if cost.seconds >= VERY_LONG_S and not yes and not spread and sys.stdin.isatty() and err.is_terminal:
        typer.confirm("Go on?", default=True, abort=True, err=True)


def _cost(cost: BuildEstimate) -> str:
    minutes = cost.seconds / 60
    time = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
    return (
        f"About {amount(cost.n_passages, 'passage')}: from nothing that takes about {time}, "
        f"{_size(cost.memory_bytes)} of memory and {_size(cost.disk_bytes)} of disk; what is in the index "
        "already is not done again."
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _record(folder: Path, settings: Settings, report: BuildReport) -> dict[str, object]:
    lists = {
        what: [{"path": path, key: words} for path, words in pairs]
        for what, pairs, key in (
            ("failed", report.failed, "reason"),
            ("passed_over", report.passed_over, "reason"),
            ("notes", report.notes, "note"),
        )
    }
    encoder = settings.encoder.name if settings.encoder else None
    return {"index": str(folder), "encoder": encoder, **asdict(report), **lists}


def _show(folder: Path, settings: Settings, report: BuildReport) -> None:
    vectors = f"vectors by {settings.encoder.name}" if settings.encoder else "no vectors"
    total = f"{amount(report.n_files, 'file')}, {amount(report.n_passages, 'passage')}, {vectors}"
    console.say(f"{folder}: {total}")
    counts = ((len(getattr(report, what)), what) for what in CHANGES)
    console.say("  " + " · ".join(f"{count:,} {what}" for count, what in counts if count))
    if set(report.scripts) - {"Latin"}:
        console.say(
            "  written in " + " · ".join(f"{name} {count:,}" for name, count in report.scripts.items())
        )
    if report.n_records or report.n_skipped:
        read = f"{amount(report.n_records, 'record')} read, {amount(report.n_skipped, 'record')} passed over"
        console.say(f"  {read}, {amount(report.n_made, 'passage')} made")
    if report.failed:
        console.table(
            (Text(f"  {path}", "yellow"), Text(reason, console.QUIET)) for path, reason in report.failed
        )
    show_list("read, but note", report.notes)
    show_list("not read", _grouped(report.passed_over))


def show_list(words: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Write what there is to tell about files, the first ones; JSON output has all of them."""
    if not pairs:
        return
    console.say(f"  {words}:")
    console.table((Text(f"    {name}"), Text(what, console.QUIET)) for name, what in pairs[:NOTES_SHOWN])
    if len(pairs) > NOTES_SHOWN:
        console.say(f"    and {len(pairs) - NOTES_SHOWN:,} more (--output json lists all)")


def _grouped(passed_over: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what was passed over, files of one ending and one reason together with their number."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in passed_over:
        groups.setdefault((PurePath(name).suffix, reason), []).append(name)
    return [
        (names[0] if len(names) == 1 else f"{len(names):,} files {suffix or 'without an ending'}", reason)
        for (suffix, reason), names in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
