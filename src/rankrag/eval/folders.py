"""Folders of answers: which there are, and their scores, written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import InvalidInputError, NotFoundError
from ..files import sha256
from .answers import ANSWERS, FACTS, Facts, read_answers
from .benchmarks import BENCHMARKS
from .gold import GoldQuestion, sample
from .load import Loaded, load_benchmark
from .results import BenchmarkFacts, Results
from .score import Scores, read_scores, score, write_scores
from .summary import question_rows


def answer_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of answers at or below these, in order; raises NotFoundError if there are none."""
    answered = [path.parent for folder in folders for path in sorted(folder.rglob(FACTS))]
    if not answered:
        raise NotFoundError(
            f"found no answers below {', '.join(map(str, folders))}: make some with `rankrag eval predict`"
        )
    return list(dict.fromkeys(answered))


def score_folder(
    folder: Path,
    data_root: Path | None,
    n: int | None = None,
    data: dict[str, Loaded] | None = None,
    skip: int = 0,
) -> Scores:
    """Score a folder of answers on its sample (or its first `n`) and write the scores there.

    `data` keeps the benchmarks that were read, for the next folder; the first `skip` questions are left out.
    Raises InvalidInputError where none is left.
    """
    given = read_answers(folder)
    facts = given.facts
    loaded = _same_data(folder, facts, data_root, {} if data is None else data)
    benchmark = loaded.benchmark
    items = sample(loaded.questions, facts.n if n is None else n, facts.seed, facts.skip)
    made_of = _made_of(facts, loaded, items, skip)
    if not (items := items[skip:]):
        raise InvalidInputError(
            f"{folder}: found no question after the first {skip}, wanted a smaller --skip"
        )
    if facts.gold_found == 0:
        # By gold every measure would be zero, and look as if the retriever were to blame.
        items = [replace(item, gold=replace(item.gold, passages=frozenset(), grades={})) for item in items]
    scores = Scores(
        system=replace(facts.system, facts={**facts.system.facts, **facts.versions, "device": facts.device}),
        benchmark=BenchmarkFacts(
            benchmark.name, benchmark.title, benchmark.family, benchmark.measures, benchmark.note
        ),
        data_sha256=loaded.sha256,
        of=len(loaded.questions),
        rows=score(items, given.answers, benchmark, facts.system, from_runs=bool(facts.runs)),
        answers_sha256=_answers_hash(folder),
        made_of=made_of,
    )
    write_scores(folder, scores)
    return scores


def _made_of(facts: Facts, loaded: Loaded, items: Sequence[GoldQuestion], skip: int) -> dict[str, str]:
    """Return what a report says of one system's answers to one benchmark alone, the first `skip` left out."""
    made = {"file": facts.file}
    if before := facts.skip + skip:
        last = facts.skip + len(items)
        made["questions"] = f"{before + 1} to {last} of the order of seed {facts.seed}"
    if loaded.dropped:
        made["left out of it"] = "; ".join(f"{count:,} {why}" for why, count in loaded.dropped.items())
    made |= {f"run {name}": digest for name, digest in facts.runs.items()}
    if facts.index:
        made["index"] = facts.index
    gold = {name for item in items for name in item.gold.passages}
    if facts.gold_found is not None and gold:
        made["gold passages held"] = f"{facts.gold_found:,} of {len(gold):,}"
    return made


def _same_data(folder: Path, facts: Facts, data_root: Path | None, known: dict[str, Loaded]) -> Loaded:
    """Return the benchmark that a folder answers, remembered in `known`; raises for other data."""
    if facts.benchmark not in known:
        known[facts.benchmark] = _data(facts, data_root)
    loaded = known[facts.benchmark]
    if facts.sha256 != loaded.sha256:
        raise InvalidInputError(
            f"{folder}: found answers to {facts.file} ({facts.sha256[:12]}), wanted the same data as "
            f"{loaded.path} ({loaded.sha256[:12]}): give the folder with that file as --data-root"
        )
    return loaded


def _data(facts: Facts, data_root: Path | None) -> Loaded:
    """Return the benchmark of a folder of answers: below the data root, or where it lay when it was asked."""
    path = Path(facts.path)
    own = facts.benchmark not in BENCHMARKS  # a user's own file, whose name alone does not say where it lies
    if (data_root is not None and not own) or not (facts.path and path.exists()):
        return load_benchmark(facts.benchmark, data_root)
    return load_benchmark(facts.path) if own else load_benchmark(facts.benchmark, path=path)


def fresh_scores(folder: Path) -> Scores:
    """Return the scores of a folder; raises InvalidInputError if there are other answers by now."""
    scores = read_scores(folder)
    if scores.answers_sha256 != _answers_hash(folder):
        raise InvalidInputError(
            f"{folder}: found other answers than those that were scored: run `rankrag eval score {folder}`"
        )
    return scores


def _answers_hash(folder: Path) -> str:
    return sha256(folder / ANSWERS)[:16]


def browsable(results: Results, scores: Sequence[Scores], folders: Sequence[Path]) -> Results:
    """Return results with every question and what each system gave, read from the folders of the scores."""
    names = [(scored.system.name, scored.benchmark.name) for scored in scores]
    answers = dict(zip(names, map(read_answers, folders), strict=True))
    return replace(results, questions=question_rows(scores, answers))
