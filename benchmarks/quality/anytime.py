"""What a ranking loses that stops early: full rankings on file, replayed within budgets.

    python benchmarks/quality/anytime.py ANSWERS... --data-root DATA [--patience 2 4 8] [--rank-k 5 10 15]

ANSWERS are folders that `rankrag eval predict` wrote without a budget, or folders above them; DATA holds the
gold of their benchmarks. The relevances on file stand in for the model, so the ranker that stops is the one
that is served, and nothing is ranked anew. For each budget:

    read           share of the retrieved passages that were scored
    best kept      share of the full ranking's best `read_k` that are still among the best
    answer-R@k     of the stopped ranking, its difference from the full one, the difference's 95 % interval
    R@k            the same by gold passages

Intervals are those of `rankrag.eval.statistics`: paired, over independent units, every benchmark of the same
weight. `retrieved` ranks nothing, `full` everything. Numbers of a test set are there to report what a budget
costs, not to choose one by. A budget in seconds is no replay: `rank_k` shows what a given share costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from rankrag.errors import InvalidInputError
from rankrag.eval.answers import read_answers
from rankrag.eval.benchmarks import FINDABLE
from rankrag.eval.folders import answer_folders
from rankrag.eval.gold import GoldQuestion
from rankrag.eval.load import load_benchmark
from rankrag.eval.measures.ranking import ranking_values
from rankrag.eval.results import Value
from rankrag.eval.statistics import pooled
from rankrag.model import Budget, BudgetedRanker
from rankrag.model.skills.budget import BATCH
from rankrag.types import Answer, Hit, Question, best_first

ALL = "all together"
FULL, NONE = "full", "retrieved"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Gives each passage the relevance that is on file for it."""

    relevances: Mapping[str, float]

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:  # noqa: ARG002
        """Return the same passages, best first, ties by passage id."""
        scored = [replace(hit, score=self.relevances[hit.passage.id], scored=True) for hit in hits]
        return best_first(scored)


@dataclass(frozen=True, slots=True)
class Case:
    """A full ranking on file, with the gold of its question; `by_answer` says that passages may hold it."""

    answer: Answer
    item: GoldQuestion
    by_answer: bool

    def stopped(self, budget: Budget | None, least: float, batch: int) -> Answer:
        """Return the answer with its ranking within a budget; None ranks nothing."""
        answer = self.answer
        if budget is None:
            return replace(answer, ranked=tuple(replace(hit, scored=False) for hit in answer.retrieved))
        recorded = Recorded({hit.passage.id: hit.score for hit in answer.ranked})
        ranker = BudgetedRanker(recorded, budget, answer.read_k, least, batch)
        return replace(answer, ranked=tuple(ranker.rank(answer.question, answer.retrieved)))

    def values(self, answer: Answer) -> dict[str, float]:
        """Return what a ranking of the question is worth, by measure."""
        k = answer.read_k
        found = ranking_values(answer, self.item, (k,), self.by_answer)
        full = {hit.passage.id for hit in self.answer.ranked[:k]}
        kept = {hit.passage.id for hit in answer.ranked[:k]} & full
        recalls = {name: found[name] for name in (f"answer-R@{k}", f"R@{k}") if name in found}
        return {"read": answer.n_scored / len(answer.ranked), "best kept": len(kept) / len(full)} | recalls


@dataclass(frozen=True, slots=True)
class Line:
    """What a budget gives on a benchmark: means by measure, and the recalls' differences from `full`."""

    benchmark: str
    budget: str
    questions: int
    means: Mapping[str, float]
    lost: Mapping[str, Value]


def main() -> None:
    """Read, replay, print."""
    arguments = _arguments()
    cases = dict(_cases(arguments.answers, arguments.data_root))
    budgets: dict[str, Budget | None] = {NONE: None}
    budgets |= {f"rank_k {k}": Budget(rank_k=k) for k in arguments.rank_k}
    budgets |= {f"patience {p}": Budget(patience=p) for p in arguments.patience}
    budgets |= {FULL: Budget()}
    groups = {name: {name: of} for name, of in cases.items()} | ({ALL: cases} if len(cases) > 1 else {})
    lines = [
        _line(name, of, label, budget, arguments)
        for name, of in groups.items()
        for label, budget in budgets.items()
    ]
    if arguments.output == "json":
        print(json.dumps([asdict(line) for line in lines]))
    else:
        _print(lines)


def _cases(folders: Sequence[Path], data_root: Path | None) -> Iterator[tuple[str, list[Case]]]:
    """Yield the full rankings of each benchmark; raises InvalidInputError for those of a budget."""
    seen: dict[str, Path] = {}
    for folder in answer_folders(folders):
        given = read_answers(folder)
        name = given.facts.benchmark
        if name in seen:
            raise InvalidInputError(f"found {name} in {seen[name]} and {folder}, wanted one system: name it")
        if any(answer.n_scored < len(answer.ranked) for answer in given.answers.values()):
            raise InvalidInputError(f"{folder}: found unscored hits, wanted rankings without a budget")
        if given.facts.system.ranker is None:
            raise InvalidInputError(f"{folder}: found answers without ranking, wanted rankings")
        seen[name] = folder
        loaded = load_benchmark(name, data_root)
        items = {item.question.id: item for item in loaded.questions}
        by_answer = loaded.benchmark.style in FINDABLE
        yield name, [Case(one, items[id], by_answer) for id, one in given.answers.items() if one.ranked]


def _line(
    name: str,
    groups: Mapping[str, Sequence[Case]],
    label: str,
    budget: Budget | None,
    arguments: argparse.Namespace,
) -> Line:
    """Return what a budget gives on some benchmarks, each of the same weight."""
    found, full = (
        {
            group: [case.values(case.stopped(one, arguments.least, arguments.batch)) for case in cases]
            for group, cases in groups.items()
        }
        for one in (budget, Budget())
    )
    measures = dict.fromkeys(name for rows in found.values() for row in rows for name in row)
    means = {
        measure: fmean(
            fmean(row[measure] for row in rows if measure in row)
            for rows in found.values()
            if any(measure in row for row in rows)
        )
        for measure in measures
    }
    lost = {}
    for measure in (measure for measure in measures if "@" in measure):
        strata = []
        for group, cases in groups.items():
            has = [n for n, row in enumerate(full[group]) if measure in row]
            before, after = ([of[group][n][measure] for n in has] for of in (full, found))
            if has:
                strata.append((before, after, [cases[n].item.unit for n in has]))
        lost[measure] = pooled(strata).difference
    return Line(name, label, sum(map(len, groups.values())), means, lost)


def _print(lines: Sequence[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    recalls = list(dict.fromkeys(name for line in lines for name in line.lost))
    table = Table(title="full rankings, replayed within budgets; shares and recalls in %")
    for title in ("benchmark", "budget", "questions", "read", "best kept", *recalls):
        table.add_column(title, justify="left" if title in ("benchmark", "budget") else "right")
    for n, line in enumerate(lines):
        cells = [f"{100 * line.means[name]:.0f}" for name in ("read", "best kept")]
        cells += [_cell(line, name) for name in recalls]
        first = n == 0 or lines[n - 1].benchmark != line.benchmark
        last = n + 1 < len(lines) and lines[n + 1].benchmark != line.benchmark
        table.add_row(
            line.benchmark if first else "",
            line.budget,
            str(line.questions) if first else "",
            *cells,
            end_section=last,
        )
    Console().print(table)


def _cell(line: Line, name: str) -> str:
    if name not in line.lost:
        return "–"
    lost = line.lost[name]
    change = f" {100 * lost.value:+.1f} [{100 * lost.low:.1f}, {100 * lost.high:.1f}]"
    return f"{100 * line.means[name]:.1f}{change if line.budget != FULL else ''}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a ranking loses that stops early.")
    parser.add_argument("answers", nargs="+", type=Path, help="folders of answers, or folders above them")
    parser.add_argument("--data-root", type=Path, help="folder with the benchmarks' files")
    parser.add_argument("--patience", nargs="*", type=int, default=[1, 2, 4, 8], help="passages in a row")
    parser.add_argument("--rank-k", nargs="*", type=int, default=[5, 10, 15], help="passages scored at most")
    parser.add_argument("--batch", type=int, default=BATCH, help="passages between two looks at the budget")
    parser.add_argument("--least", type=float, default=0.0, help="relevance that patience waits for")
    parser.add_argument("--output", default="text", choices=("text", "json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
