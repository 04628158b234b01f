"""`rankrag documents`: what is in an index, is it as its files are, deleting from it and copying it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ..errors import FailureError, NotFoundError, PartialError, amount
from ..system import retrieval
from ..types import Document
from . import console, progress
from .index import show_list
from .options import DEFAULT_INDEX, Collection, IndexFolder, Output, StoreOption, StoreURL, arguments

app = typer.Typer(help="See, check, delete and copy the documents of an index.", no_args_is_help=True)


@app.command("list")
def list_documents(index: IndexFolder = DEFAULT_INDEX, output: Output = "text") -> None:
    """List the documents of an index, ordered by id."""
    from ..index import IndexDocuments

    documents = IndexDocuments(index).list()
    if output == "json":
        console.emit({"index": str(index), "documents": [asdict(document) for document in documents]})
        return
    console.table((_row(document) for document in documents), right=[0])
    total = sum(document.n_passages for document in documents)
    console.say(f"{amount(len(documents), 'document')}, {amount(total, 'passage')}")


def _row(document: Document) -> tuple[str | Text, ...]:
    elsewhere = "" if document.path == document.id else document.path
    return f"{document.n_passages:,}", document.id, Text(elsewhere, console.QUIET)


@app.command("check")
def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, globs. Default: the folders of its files.", metavar="PATH..."),
    ] = None,
    index: IndexFolder = DEFAULT_INDEX,
    output: Output = "text",
) -> None:
    """Compare an index with its files: what is missing, changed, new.

    Changes nothing. Exit code 7 says that they differ, 6 that files of the index itself were damaged.
    """
    from ..index import compare, faults

    with console.working("comparing"):
        if damage := faults(index):
            raise FailureError(
                f"found {amount(len(damage), 'fault')} in the index at {index} itself "
                f"({'; '.join(damage[:3])}), wanted none: "
                "restore what is named, or build another with `rankrag index PATH --index NEW`"
            )
        result = compare(index, paths or ())
    if output == "json":
        lists = {
            what: [{"path": path, "reason": reason} for path, reason in getattr(result, what)]
            for what in ("unreadable", "passed_over")
        }
        console.emit({"index": str(index), **asdict(result), **lists})
    else:
        console.say(f"{index}: {amount(result.n_same, 'file')} unchanged")
        for what in ("missing", "changed", "new"):
            names = getattr(result, what)
            show_list(f"{len(names):,} {what}", [(name, "") for name in names])
        show_list(f"{len(result.unreadable):,} unreadable", result.unreadable)
    if result.n_differences:
        raise PartialError(
            f"found {amount(result.n_differences, 'file')} that the index lacks or holds otherwise, wanted "
            "none: run `rankrag index PATH --prune` with the paths it was made from"
        )


@app.command("delete")
def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids from `rankrag documents list`.")],
    index: IndexFolder = DEFAULT_INDEX,
    output: Output = "text",
) -> None:
    """Remove documents from an index; the files they came from stay."""
    from ..index import IndexDocuments

    n_deleted = IndexDocuments(index).delete(ids)
    if not n_deleted:
        raise NotFoundError(
            f"found no {', '.join(map(repr, ids))} in {index}, wanted ids of documents that are there: "
            f"see `rankrag documents list --index {index}`"
        )
    words = f"{n_deleted:,} of {amount(len(ids), 'document')} deleted"
    console.give(output, {"index": str(index), "deleted": n_deleted}, words)


@app.command("copy")
def copy(
    to: Annotated[Path, typer.Argument(help="Folder of the new index.", metavar="TO")],
    index: IndexFolder = DEFAULT_INDEX,
    store: StoreOption = None,
    store_url: StoreURL = None,
    collection: Collection = None,
    output: Output = "text",
) -> None:
    """Copy an index with its vectors into a new folder or store.

    No encoder is needed. The copy opens when it is whole. May be interrupted at any time: running it again
    goes on.
    """
    from ..index import copy_index

    with arguments():
        place = retrieval.store_place(to, store, store_url, collection)
    with progress.reporting() as report:
        made = copy_index(index, to, place, report)
    counts = {"n_files": made.n_files, "n_passages": made.n_passages}
    words = f"{to}: {amount(made.n_files, 'file')}, {amount(made.n_passages, 'passage')}, in {made.store}"
    console.give(output, {"index": str(to), "store": made.store.name, **counts}, words)
