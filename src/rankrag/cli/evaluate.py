"""`rankrag eval list`, `paper`, `export` and `predict`: benchmarks, and the answers of a system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import InvalidInputError, amount
from ..system import SystemSpec, models
from . import completion, console
from .asking import Asking, predict_all
from .options import DataRoot, Output, RayAddress, SystemName, arguments, takes_system
from .systems import NamedSystem

if TYPE_CHECKING:
    from ..eval.paper import PaperTable


def _at_hand(context: typer.Context, names: list[str]) -> list[str]:
    """Look for what is to be asked before an option is missed: a name that is misspelt comes first."""
    from ..eval.load import check_name

    for name in names:
        check_name(name, context.params.get("data_root"))
    return names


Names = Annotated[
    list[str],
    typer.Argument(
        metavar="BENCHMARK",
        callback=_at_hand,
        autocompletion=completion.benchmarks,
        help="Benchmarks (`rankrag eval list`), or files with question and answers.",
    ),
]


def list_(data_root: DataRoot = None, output: Output = "text") -> None:
    """List the benchmarks, and what of them is at hand.

    For each it says how many questions there are, or where they come from.
    """
    from ..eval.load import at_hand

    rows = at_hand(data_root)
    if output == "json":
        console.emit({"benchmarks": [asdict(row) for row in rows]})
        return
    heads = ("benchmark", "at hand", "paper", "measures", "file or source")
    cells = [
        (
            Text(row.benchmark.name, "cyan"),
            f"{row.questions:,}" if row.questions else "–",
            f"{row.benchmark.paper.size:,}" if row.benchmark.paper else "",
            " ".join(row.benchmark.measures),
            Text(row.path or row.benchmark.source, "" if row.path else console.QUIET),
        )
        for row in rows
    ]
    console.table(cells, right=[1, 2], heads=heads)


def paper(
    number: Annotated[
        int | None, typer.Argument(metavar="TABLE", help="2 to 6, 8 or 9. Default: all of them.")
    ] = None,
    output: Output = "text",
) -> None:
    """Print the tables of the paper: what it reports, in its digits."""
    from ..eval.paper import SOURCE, TABLES

    chosen = {title: table for title, table in TABLES.items() if number in (None, table.number)}
    if not chosen:
        known = ", ".join(str(table.number) for table in TABLES.values())
        raise InvalidInputError(f"found table {number}, wanted one of {known}")
    if output == "json":
        console.emit(
            {
                "source": SOURCE,
                "tables": [{"title": title, **asdict(table)} for title, table in chosen.items()],
            }
        )
        return
    for n, (title, table) in enumerate(chosen.items()):
        console.say(("\n" if n else "") + f"Table {table.number} of {SOURCE}: {title}")
        _print_table(table)


def _print_table(table: PaperTable) -> None:
    """Print a table of the paper in columns, or where they do not fit, in one line a row."""
    names = dict.fromkeys(column.benchmark for column in table.columns)
    places = [[n for n, at in enumerate(table.columns) if at.benchmark == name] for name in names]
    heads = [table.columns[at[0]].title for at in places]
    measures = ["/".join(table.columns[n].measure for n in at) for at in places]
    rows = []
    for row in table.rows:
        digits = ["-" if value is None else f"{value:.{table.digits}f}" for value in row.values]
        average = "" if row.average is None else f"{row.average:.{table.digits}f}"
        rows.append([row.system, *("/".join(digits[n] for n in at) for at in places), average])
    if any(row[-1] for row in rows):
        heads, measures = [*heads, "average"], [*measures, ""]
    lines = [["", *heads], ["", *measures], *rows]
    width = sum(
        max(map(len, column)) + 2 for column in zip(*(line[: len(heads) + 1] for line in lines), strict=True)
    )
    if width <= console.out().width:
        console.table(lines, right=range(1, len(heads) + 1))
        return
    told = [f"{head} {measure}".strip() for head, measure in zip(heads, measures, strict=True)]
    pairs = (
        [row[0], ", ".join(f"{head} {cell}" for head, cell in zip(heads, row[1:], strict=False))]
        for row in rows
    )
    console.table([["", ", ".join(told)], *pairs])


def export(
    benchmarks: Annotated[
        list[str],
        typer.Argument(
            metavar="BENCHMARK", autocompletion=completion.benchmarks, help="Names (`rankrag eval list`)."
        ),
    ],
    data_root: Annotated[Path, typer.Option("--data-root", metavar="DIR", help="Folder of official files.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write to.")],
    output: Output = "text",
) -> None:
    """Write official benchmarks in the neutral shape.

    The lines are what `eval predict` asks and what keeps benchmarks out of a blend. Passages that a benchmark
    brings for each question become a corpus and a run, and the pages that conversations are about stand in
    questions to search with.
    """
    from ..eval.load import export as write

    written = {path: count for name in benchmarks for path, count in write(name, data_root, to)}
    words = "\n".join(f"{path}: {amount(count, 'line')}" for path, count in written.items())
    console.give(output, {"written": written}, words)


# ── predict ──────────────────────────────────────────────────────────────────────────────────────────


Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Folder of the evaluation; answers go to DIR/NAME/BENCHMARK."
    ),
]
MaybeIndex = Annotated[Path | None, typer.Option("--index", "-i", metavar="DIR", help="Folder of the index.")]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="FILE", help="A TREC run in place of a search; several are fused."),
]
Corpus = Annotated[
    list[str] | None, typer.Option("--corpus", metavar="FILE", help="Texts of a run's passages.")
]
CorpusName = Annotated[str, typer.Option(metavar="NAME", help="What the report calls the corpus.")]
AnyModel = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="Ranks and answers. Retrieval alone needs none.")
]
Generate = Annotated[bool, typer.Option(help="Answer, too.")]
Cite = Annotated[bool, typer.Option(help="Cite, too.")]
PaperCounts = Annotated[
    bool, typer.Option("--paper", help="The paper's counts in place of --retrieve-k and --read-k.")
]
SampleSize = Annotated[
    int | None, typer.Option("-n", metavar="N", min=1, help="Questions a benchmark. Default: all.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Which sample: the same for every system.")]
Skip = Annotated[
    int,
    typer.Option(metavar="N", min=0, help="Leave out the first N questions of the order that --seed gives."),
]
Parallel = Annotated[
    int, typer.Option(min=1, metavar="N", help="Questions at a time, where a server answers.")
]


@takes_system(
    *("retriever", "ranker", "generator", "rank", "retrieve_k", "read_k", "reading", "query_likelihood"),
    *("time_budget", "rank_k", "rank_patience", "precision"),
)
def predict(
    benchmarks: Names,
    out: Out,
    name: SystemName,
    data_root: DataRoot = None,
    index: MaybeIndex = None,
    run: Runs = None,
    corpus: Corpus = None,
    corpus_name: CorpusName = "",
    model: AnyModel = models.DEFAULT_MODEL,
    *,
    spec: SystemSpec,
    generate: Generate = True,
    cite: Cite = True,
    paper: PaperCounts = False,
    n: SampleSize = None,
    seed: Seed = 0,
    skip: Skip = 0,
    parallel: Parallel = 1,
    ray: RayAddress = None,
    output: Output = "text",
) -> None:
    """Ask a system the questions of benchmarks; keep all answers.

    Every answer is kept with its trace. May be interrupted at any time and goes on where it stopped; a larger
    -n asks only what is missing. Relevances are kept in OUT/relevance.sqlite for other runs, but not with
    --time-budget nor with --ray.
    """
    asking = Asking(benchmarks, data_root, out, n, seed, parallel, ray, skip)
    if ray is not None and parallel > 1:
        raise typer.BadParameter("found --parallel beside --ray, wanted one of them: leave --parallel out")
    with arguments():
        models.check_loading(model, spec.loading)
    ranker = spec.ranker if spec.ranking else None
    spec = replace(spec, index=index, model=model, ranker=ranker, generating=generate, citing=cite)
    if paper:
        retrieve_k, read_k = _paper_counts(benchmarks)
        spec = replace(spec, retrieve_k=retrieve_k, read_k=read_k)
    cache = out / "relevance.sqlite"
    named = NamedSystem(name, spec, tuple(run or ()), tuple(corpus or ()), corpus_name, cache=cache)
    refused = predict_all(named, asking)
    words = f"answers in {out / name}: score them with `rankrag eval score {out}`"
    console.give(output, {"system": name, "answers": str(out / name), "refused": refused}, words)


def _paper_counts(names: Sequence[str]) -> tuple[int, int]:
    """Return how many passages the paper retrieves and reads; one system has the same counts everywhere."""
    from ..eval.benchmarks import PAPER

    counts: dict[tuple[int, int], str] = {}
    for name in names:
        if name not in PAPER or (setting := PAPER[name].paper) is None:
            known = ", ".join(PAPER)
            raise InvalidInputError(f"found --paper for {name!r}, wanted one of {known}: give the counts")
        counts.setdefault((setting.retrieve_k, setting.read_k), name)
    if len(counts) > 1:
        read = " and ".join(f"{k} for {name}" for (_, k), name in counts.items())
        raise InvalidInputError(
            f"found --paper with other counts of passages read ({read}), wanted one system's: ask them "
            "apart, each with its own --name"
        )
    return next(iter(counts))
