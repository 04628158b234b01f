"""A corpus of every kind that is read, broken files among them, and what an index holds of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from rankrag.index.manifest import read_manifest
from rankrag.index.stores.by_name import make_store


def lines(first: int, count: int) -> str:
    """Return JSON lines, a record each, of up to 150 words."""
    texts = {n: f"record {n} " + "word " * (n % 150) for n in range(first, first + count)}
    rows = ({"_id": f"r{n}", "title": f"T{n}", "text": text, "kind": n % 2} for n, text in texts.items())
    return "\n".join(map(json.dumps, rows)) + "\n"


def write_corpus() -> list[str]:
    """Write it into the current folder and return the paths to index."""
    Path("docs/deep").mkdir(parents=True)
    for n in range(90):
        Path(f"docs/{n:03}.txt").write_text(f"Document {n}.\n\n" + f"It says zebra {n}. " * (n * 3 + 1))
    Path("docs/deep/head.md").write_text("# Head\n\nText under it.")
    Path("docs/long.txt").write_text("A sentence of five words. " * 2500)
    Path("docs/empty.txt").write_text("")
    Path("big.jsonl").write_text(lines(0, 600))
    Path("last.jsonl").write_text(lines(1000, 30).rstrip("\n"))
    with gzip.open("packed.jsonl.gz", "wt") as stream:
        stream.write(lines(2000, 300))
    Path("rows.csv").write_text('id,text,lang\nc1,"two\nlines",en\nc2,more,de\n')
    Path("twice.jsonl").write_text(lines(3000, 200) + lines(5, 1) + lines(4000, 300))
    Path("zbroken.jsonl").write_text(lines(5000, 100) + "{no json\n" + lines(6000, 100))
    Path("znone.jsonl").write_text("")
    return ["docs", *sorted(path.name for path in Path().glob("*.*"))]


def content(index: Path) -> tuple[list[dict[str, object]], np.ndarray | None, dict[str, tuple[str, bool]]]:
    """Return all rows in the order of the table, the vectors, and the files."""
    store = make_store(index, read_manifest(index))
    table = store._passages.search().to_arrow() if hasattr(store, "_passages") else None
    assert table is not None
    files = {name: (row.sha256, row.complete) for name, row in store.files().items()}
    if "vector" not in table.column_names:
        return table.to_pylist(), None, files
    vectors = np.asarray(table["vector"].to_pylist())
    return table.drop_columns(["vector"]).to_pylist(), vectors, files


def assert_same(one: Path, other: Path) -> None:
    (rows, vectors, files), (other_rows, other_vectors, other_files) = content(one), content(other)
    assert rows == other_rows
    assert files == other_files
    assert (vectors is None) == (other_vectors is None)
    if vectors is not None and other_vectors is not None:
        np.testing.assert_allclose(vectors, other_vectors, atol=1e-6)
