"""Asking a system the questions of benchmarks: every answer is kept, with all that it was made of."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, amount
from ..formats import read_passages
from . import console, progress
from .options import warn_untrained
from .systems import (
    NamedSystem,
    ReadySystem,
    assemble,
    for_workers,
    index_of,
    indexed,
    run_file,
    run_names,
    short_hash,
)
from .version import installed

if TYPE_CHECKING:
    from ..eval.answers import Facts
    from ..eval.gold import GoldQuestion
    from ..eval.load import Loaded
    from ..eval.predict import Answers, Outcome
    from ..types import Question


@dataclass(frozen=True, slots=True)
class Asking:
    """What a system is asked: of each benchmark `n` questions (None: all) after the first `skip`.

    They are asked `parallel` at a time, or on Ray. The answers go below the folder `out`.
    """

    benchmarks: Sequence[str]
    data_root: Path | None
    out: Path
    n: int | None
    seed: int
    parallel: int = 1
    ray: str | None = None
    skip: int = 0


def predict_all(named: NamedSystem, asking: Asking) -> int:
    """Let a system answer samples of benchmarks below a folder; return how many it refused."""
    from ..eval.gold import sample
    from ..eval.load import load_benchmark
    from ..index.cluster.spread import joined

    loaded = [load_benchmark(name, asking.data_root) for name in asking.benchmarks]
    names = [each.benchmark.name for each in loaded]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInputError(f"found {twice[0]} twice, wanted each benchmark once: rename a file")
    chosen = {
        each.benchmark.name: sample(each.questions, asking.n, asking.seed, asking.skip) for each in loaded
    }
    if none := [each for each in loaded if not chosen[each.benchmark.name]]:
        raise InvalidInputError(
            f"found {amount(len(none[0].questions), 'question')} in {none[0].benchmark.name}, wanted some "
            f"after --skip {asking.skip}: skip fewer"
        )
    for each in loaded:
        _tell_dropped(each)
    gold = _gold_found(named, chosen)
    asking.out.mkdir(parents=True, exist_ok=True)
    with console.working("loading the system"):
        system = assemble(named)
    if named.spec.ranking and (judging := system.models.judging) is not None:
        warn_untrained(named.spec.ranks_with, judging.trained, judging.threshold is not None)
    refused = 0
    with joined(asking.ray) if asking.ray else nullcontext():
        for each in loaded:
            name = each.benchmark.name
            facts = facts_of(system, each, asking, len(chosen[name]), gold[name])
            refused += _predict(system, each, chosen[name], facts, asking)
    if refused:
        console.warn(
            f"{amount(refused, 'question')} could not be asked (see answers.jsonl): each counts zero"
        )
    return refused


def _tell_dropped(loaded: Loaded) -> None:
    """Say what of a user's own file is not asked; what the paper's benchmarks leave out is their rule."""
    if loaded.benchmark.family == "own" and loaded.dropped:
        reasons = ", ".join(f"{count:,} with {reason}" for reason, count in loaded.dropped.items())
        left = amount(sum(loaded.dropped.values()), "question")
        console.warn(f"{loaded.path}: {left} left out ({reasons}): give each its answers to have it asked")


def _gold_found(named: NamedSystem, chosen: Mapping[str, Sequence[GoldQuestion]]) -> dict[str, int | None]:
    """Return how many gold passages of each sample an index or corpus holds, None where nobody can know.

    Where it holds none, says so: every measure by gold would be zero, and not mean it.
    """
    gold = {
        name: {passage for item in items for passage in item.gold.passages} for name, items in chosen.items()
    }
    held = _held(named, set().union(*gold.values()))
    if held is None:
        return dict.fromkeys(chosen)
    for name, wanted in gold.items():
        if wanted and not wanted & held:
            searched = named.spec.index or ", ".join(named.corpus)
            console.warn(
                f"{name}: none of its {len(wanted)} gold passages is in {searched} by its id, so R@k by gold "
                "passage, nDCG and RR are left out: index the corpus with --passage-words 0, which keeps ids"
            )
    return {name: len(wanted & held) if wanted else None for name, wanted in gold.items()}


def _held(named: NamedSystem, passages: set[str]) -> set[str] | None:
    """Return those passages that the texts of a system hold, None where it has no texts of its own."""
    from ..index import open_store

    folder = indexed(named)
    if folder is None and not named.corpus:
        return None
    held = set(open_store(folder).passages(sorted(passages))) if folder and passages else set()
    corpora = named.corpus if passages else ()
    return held | {each.id for path in corpora for each in read_passages(path) if each.id in passages}


def _predict(
    system: ReadySystem, loaded: Loaded, items: Sequence[GoldQuestion], facts: Facts, asking: Asking
) -> int:
    from ..eval.answers import AnswerFile
    from ..eval.predict import predict as ask_all

    answers = _answers(system, loaded, [item.question for item in items], asking)
    with (
        AnswerFile(asking.out / system.named.name / loaded.benchmark.name, facts) as file,
        progress.reporting() as report,
    ):
        return ask_all(
            items, answers, file, lambda done, of: report(done, of, f"{loaded.benchmark.name} questions")
        )


def _answers(system: ReadySystem, loaded: Loaded, questions: Sequence[Question], asking: Asking) -> Answers:
    from ..eval.predict import in_threads
    from ..index.cluster.spread import in_actors

    name, max_tokens = loaded.benchmark.name, loaded.benchmark.max_tokens
    if asking.ray is None:
        return partial(in_threads, system.ask(name, questions, max_tokens), asking.parallel)
    make = partial(_worker, for_workers(system.named), system.made_of(name), name, questions, max_tokens)
    return partial(in_actors, make=make, at_once=1, on_gpus=True)


def _worker(
    named: NamedSystem,
    facts: Mapping[str, str],
    benchmark: str,
    questions: Sequence[Question],
    max_tokens: int,
) -> Callable[[list[Question]], list[Outcome]]:
    """Open a system, on a worker; what it is made of has to lie there, the same, under the same paths."""
    from ..eval.predict import asked

    system = assemble(named)
    found = system.made_of(benchmark)
    for name in sorted(facts.keys() | found.keys()):
        if (here := found.get(name)) != (wanted := facts.get(name)):
            raise InvalidInputError(
                f"found another {name} on a worker ({here}), wanted that of this machine ({wanted}): put the "
                "same index, models and runs under the same paths on every machine"
            )
    ask = system.ask(benchmark, questions, max_tokens)
    return lambda questions: [asked(ask, question) for question in questions]


def facts_of(system: ReadySystem, loaded: Loaded, asking: Asking, n: int, gold_found: int | None) -> Facts:
    """Return what `facts.json` says: everything that decides the answers, and where they were made."""
    from ..eval.answers import Facts

    return Facts(
        system=system.system,
        benchmark=loaded.benchmark.name,
        file=Path(loaded.path).name,
        sha256=loaded.sha256,
        questions=len(loaded.questions),
        seed=asking.seed,
        skip=asking.skip,
        n=n,
        path=str(Path(loaded.path).resolve()),
        max_tokens=loaded.benchmark.max_tokens if system.named.spec.generating else 0,
        runs={
            name: short_hash(run_file(run, loaded.benchmark.name))
            for name, run in zip(run_names(system.named), system.named.runs, strict=True)
        },
        versions=versions(),
        device=device(),
        gold_found=gold_found,
        index=index_of(system.named),
    )


def device() -> str:
    """Return what the models run on, as a report says it."""
    from importlib.util import find_spec

    if find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
    return f"CPU, {platform.machine()}, {os.cpu_count()} cores"


PACKAGES = (
    *("rankrag", "torch", "transformers", "peft", "sentence-transformers", "lancedb", "numpy"),
    *("ir-measures", "pytrec-eval-terrier"),
)
"""What decides numbers."""


def versions() -> dict[str, str]:
    """Return the versions of what decides numbers."""
    versions = {package: version for package in PACKAGES if (version := installed(package))}
    return {"python": platform.python_version(), **versions}
