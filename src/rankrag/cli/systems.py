"""A system to be measured: a retriever or runs, a ranker or none, a generator or none.

Where `system/` puts together what a person asks, this puts together what an evaluation compares.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import prompts
from ..errors import FormatError, InvalidInputError, NotFoundError
from ..eval.relevance_cache import CachedRanker, RelevanceCache
from ..eval.results import System
from ..files import sha256
from ..formats import id_in_run, read_passages, read_run, run_name
from ..pipeline import Pipeline
from ..system import models, rankers, retrieval, spec
from ..system.open import citer as model_citer
from ..types import Answer, Filters, Hit, Passage, Question, Ranker, RetrieverKind

if TYPE_CHECKING:
    from ..model import Budget

DEPTH = 100
"""Hits of each run that a fusion looks at, if not more are asked for."""


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """What a system is made of, as the command line says it.

    `index` is searched with `retriever`, or, where there are `runs`, holds the texts of what they name;
    several runs are fused by reciprocal ranks. `corpus` are files with texts, in place of an index.
    `model` ranks if `ranking`, unless `ranker` names the folder of a cross-encoder; `generator` (by default
    `model`) answers if `generating`. `variant` says in the ablation table what the system lacks. `budget`
    bounds a ranking; `precision` are the numbers that `model` computes with.
    """

    name: str
    index: Path | None
    runs: tuple[str, ...]
    corpus: tuple[str, ...]
    retriever: RetrieverKind | None
    model: str | None
    generator: str | None
    retrieve_k: int
    read_k: int
    ranking: bool
    generating: bool
    cite: bool
    corpus_name: str
    cache: Path | None = None
    ranker: str | None = None
    variant: str = ""
    budget: Budget | None = None
    precision: models.Precision | None = None


@dataclass(slots=True)
class Measured:
    """A system that can be asked, with what a report says of it."""

    plan: SystemPlan
    system: System
    shelf: retrieval.Retrieval | None
    engine: models.Engine | None
    answering: models.Engine | None
    ranker: CachedRanker | None = None

    def made_of(self, benchmark: str) -> dict[str, str]:
        """Return what decides the answers to a benchmark: hashes of weights, texts and runs, the index."""
        runs = (short_hash(run_file(run, benchmark)) for run in self.plan.runs)
        return {**self.system.facts, **{f"run {n}": digest for n, digest in enumerate(runs, 1)}}

    def ask(
        self, benchmark: str, questions: Sequence[Question], max_tokens: int
    ) -> Callable[[Question], Answer]:
        """Return what asks this system the questions of a benchmark, with answers of at most so many tokens.

        Ids are those of a benchmark: runs are read, and what was on file is noted, for each apart.
        """
        ranker = replace(self.ranker, reused=set()) if self.ranker else None
        shelf = self.shelf or _runs_shelf(self.plan, benchmark, questions)
        pipeline = self._pipeline(shelf, ranker, max_tokens)

        def ask(question: Question) -> Answer:
            answer = replace(_unless_refused(pipeline, question), query=prompts.search_query(question))
            if ranker is None or question.id not in ranker.reused:
                return answer
            # What was on file cost no time: the seconds of this ranking would flatter.
            seconds = {step: s for step, s in answer.timings_s.items() if step != "rank"}
            return replace(answer, timings_s=seconds)

        return ask

    def _pipeline(self, shelf: retrieval.Retrieval, cached: Ranker | None, max_tokens: int) -> Pipeline:
        from ..model import ModelGenerator, ModelRanker

        plan, engine, answering = self.plan, self.engine, self.answering
        judge = engine or answering
        citer = None
        if judge is not None and self.system.cites:
            citer = model_citer(ModelRanker(judge.lm, judge.form), judge, asked_to_rank=True)
        # The cache keeps what the model says; a calibration is put on top of that. Neither it nor the
        # threshold is for the relevance of a cross-encoder.
        own = engine if plan.ranking and plan.ranker is None else None
        ranker, threshold = cached, own.threshold if own else None
        if ranker is not None:
            ranker = rankers.calibrated(ranker, own) if own else ranker
            ranker = rankers.bounded(ranker, plan.budget, plan.read_k, threshold)
        return Pipeline(
            retriever=shelf.retriever,
            ranker=ranker,
            generator=ModelGenerator(answering.lm, answering.form, max_tokens) if answering else None,
            citer=citer,
            retrieve_k=plan.retrieve_k,
            read_k=plan.read_k,
            min_relevance=threshold,
            query=shelf.query,
        )


def _unless_refused(pipeline: Pipeline, question: Question) -> Answer:
    """Return the answer; raises InvalidInputError where a server refuses this very question for good."""
    from ..model.remote.http import RefusedError

    try:
        return pipeline.ask(question)
    except RefusedError as refusal:
        if refusal.status not in (400, 413, 422):  # too long, or against its rules
            raise
        raise InvalidInputError(str(refusal)) from refusal


def there(plan: SystemPlan) -> SystemPlan:
    """Return a plan for another process: with absolute paths, and no file that machines would share."""

    def placed(name: str | None) -> str | None:
        return str(Path(name).absolute()) if name and Path(name).is_dir() else name

    return replace(
        plan,
        index=plan.index and plan.index.absolute(),
        runs=tuple(str(Path(run).absolute()) for run in plan.runs),
        corpus=tuple(str(Path(file).absolute()) for file in plan.corpus),
        model=placed(plan.model),
        generator=placed(plan.generator),
        ranker=placed(plan.ranker),
        cache=None,
    )


def assemble(plan: SystemPlan) -> Measured:
    """Return a system ready to be asked; raises InvalidInputError for a plan that makes none."""
    _check(plan)
    shelf = None if plan.runs or plan.index is None else retrieval.open_retrieval(plan.index, plan.retriever)
    apart = plan.generating and plan.generator is not None and plan.generator != plan.model
    needed = (plan.ranking and plan.ranker is None) or (plan.generating and not apart)
    engine = _opened(plan.model, plan) if needed and plan.model else None
    answering = engine if plan.generating else None
    if apart and plan.generator is not None:
        answering = _opened(plan.generator, plan)
    system = System(
        name=plan.name,
        retriever=shelf.kind if shelf else "+".join(run_names(plan)),
        corpus=plan.corpus_name or (plan.index.name if plan.index else ", ".join(map(_file, plan.corpus))),
        retrieve_k=plan.retrieve_k,
        read_k=plan.read_k,
        ranker=(plan.ranker or plan.model) if plan.ranking else None,
        generator=(plan.generator or plan.model) if plan.generating else None,
        cites=_cites(plan, engine or answering),
        facts=_facts(plan, engine, answering),
    )
    found = Measured(plan, system, shelf, engine, answering)
    if plan.ranking:
        found.ranker = _ranker(plan, engine, system)
    return found


def _opened(name: str, plan: SystemPlan) -> models.Engine:
    """Return a model, on this machine with the numbers that the plan asks for."""
    precision = plan.precision if models.is_here(name) else None
    return models.open_engine(name, loading=models.Loading(precision))


def _check(plan: SystemPlan) -> None:
    spec.check_counts(plan.retrieve_k, plan.read_k)
    if not re.fullmatch(r"[^/\\:\s.][^/\\:]*", plan.name):
        raise InvalidInputError(
            f"found the system name {plan.name!r}, wanted one without / \\ : and a dot in front"
        )
    if not plan.runs and plan.index is None:
        raise InvalidInputError("found neither an index nor runs, wanted --index DIR or --run FILE")


def run_names(plan: SystemPlan) -> list[str]:
    """Return a name for each run: that of its file or folder, the whole path where two are alike."""
    stems = [Path(run).stem for run in plan.runs]
    return [stem if stems.count(stem) == 1 else run for stem, run in zip(stems, plan.runs, strict=True)]


def _cites(plan: SystemPlan, judge: models.Engine | None) -> bool:
    """Say whether sources are looked for: that is ranking, too, which a server may not be able to do."""
    asks = plan.ranking and plan.ranker is None  # the model itself ranks, so it can look for sources, too
    able = judge is not None and (asks or not judge.remote)
    return plan.cite and plan.generating and able


def _ranker(plan: SystemPlan, engine: models.Engine | None, system: System) -> CachedRanker:
    from ..model import ModelRanker
    from ..model.skills.cross_encoder import CrossEncoderRanker

    # What is on file takes no time: more than the model can score would fit into a budget of seconds.
    timed = plan.budget is not None and plan.budget.seconds is not None
    cache = RelevanceCache(None if timed else plan.cache)
    if plan.ranker:
        specialist = CrossEncoderRanker(Path(plan.ranker))
        specialist.load()
        return CachedRanker(specialist, cache, system.facts["ranker_sha256"])
    if engine is None:
        raise InvalidInputError("found ranking without a model, wanted --model NAME or --no-rank")
    # A server's weights cannot be hashed: its name, and what its context cuts, have to do.
    weights = system.facts["model_sha256"] or f"{plan.model} {engine.lm.context_length}"
    known = {"model": weights, "template_hash": system.facts["template_hash"]}
    precision = system.facts.get("precision", "float32")
    identity = json.dumps(known | ({"precision": precision} if precision != "float32" else {}))
    return CachedRanker(ModelRanker(engine.lm, engine.form), cache, identity)


# ── what a report says ───────────────────────────────────────────────────────────────────────────────


def _facts(plan: SystemPlan, engine: models.Engine | None, answering: models.Engine | None) -> dict[str, str]:
    facts = {}
    if engine is not None and plan.model is not None:
        facts = {
            "template": engine.form.name,
            "template_hash": prompts.template_hash(engine.form),
            "model_sha256": weights_hash(plan.model),
            "trained": str(engine.trained).lower(),
        }
        if precision := engine.precision:
            facts["precision"] = precision
        if engine.calibration:
            found = json.dumps(asdict(engine.calibration), sort_keys=True)
            facts["calibration"] = hashlib.sha256(found.encode()).hexdigest()[:16]
    if plan.ranking and plan.budget:
        facts["budget"] = str(plan.budget)
    if plan.variant:
        facts["variant"] = plan.variant
    if plan.ranking and plan.ranker:
        facts["ranker_sha256"] = _folder_hash([Path(plan.ranker)], "*")
    if answering is not None and plan.generator and plan.generator != plan.model:
        facts["generator_sha256"] = weights_hash(plan.generator)
        facts["generator_template_hash"] = prompts.template_hash(answering.form)
        if precision := answering.precision:
            facts["generator_precision"] = precision
    if plan.index is not None and not plan.runs:
        facts["index"] = index_of(plan)
    for file in plan.corpus:
        facts[f"corpus {Path(file).name}"] = short_hash(Path(file))
    return facts


def indexed(plan: SystemPlan) -> Path | None:
    """Return the folder of a plan's index where there is one."""
    return plan.index if plan.index is not None and (plan.index / "manifest.json").exists() else None


def index_of(plan: SystemPlan) -> str:
    """Return what holds the texts of a plan, as a report says it; empty without an index."""
    from ..index import read_manifest

    built = read_manifest(place) if (place := indexed(plan)) else None
    return f"{built.n_passages} passages, of {built.updated}" if built else ""


def weights_hash(name: str) -> str:
    """Return 16 hex digits over a model, its base included; "" for fake or a server."""
    from ..model.store import registry
    from ..model.store.checkpoint import read_checkpoint

    if not models.is_here(name):
        return ""
    return _folder_hash(models.weights_folders(read_checkpoint(registry.locate(name))))


def _folder_hash(folders: Sequence[Path], *patterns: str) -> str:
    """Return 16 hex digits over the files of folders that decide what a model says."""
    digest = hashlib.sha256()
    for folder in folders:
        wanted = patterns or ("*.safetensors", "tokenizer.json", "adapter_config.json")
        for path in sorted({path for pattern in wanted for path in folder.glob(pattern) if path.is_file()}):
            digest.update(f"{path.name} {short_hash(path)}\n".encode())
    return digest.hexdigest()[:16]


def short_hash(path: Path) -> str:
    """Return 16 hex digits of the SHA-256 of a file."""
    return sha256(path)[:16]


def _file(path: str) -> str:
    return Path(path).name.split(".")[0]


# ── retrieval from runs ──────────────────────────────────────────────────────────────────────────────


def _runs_shelf(plan: SystemPlan, benchmark: str, questions: Sequence[Question]) -> retrieval.Retrieval:
    # A fusion looks deeper than what is taken, as `Hybrid` does.
    depth = plan.retrieve_k if len(plan.runs) == 1 else max(plan.retrieve_k, DEPTH)
    runs = [_read_run(run_file(run, benchmark), questions, depth) for run in plan.runs]
    if questions and not any(runs):
        raise InvalidInputError(
            f"{', '.join(plan.runs)}: found no question of {benchmark}, wanted ids as {questions[0].id!r}"
        )
    texts = _texts(plan, {name for run in runs for names in run.values() for name, _ in names})
    return retrieval.Retrieval(_Runs(runs, texts), "bm25", lambda question: question.id)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Finds what runs hold for a question, whose id is the query; several runs are fused."""

    runs: Sequence[Mapping[str, Sequence[tuple[str, float]]]]
    texts: Mapping[str, Passage]

    def search(self, query: str, k: int, filters: Filters | None = None) -> list[Hit]:
        """Return at most `k` hits, best first."""
        from ..index import fuse

        if filters:
            raise InvalidInputError("found filters for runs, wanted none: filter when the run is made")
        rankings = [[Hit(self.texts[name], score) for name, score in run.get(query, ())] for run in self.runs]
        return (rankings[0] if len(rankings) == 1 else fuse(rankings))[:k]


def run_file(run: str, benchmark: str) -> Path:
    """Return the file of a run for a benchmark: itself, or BENCHMARK.run in a folder."""
    path = Path(run)
    if path.is_dir() and not (path / f"{benchmark}.run").is_file():
        raise NotFoundError(f"found no {benchmark}.run in {run}, wanted one a benchmark: write it there")
    return path / f"{benchmark}.run" if path.is_dir() else path


def _read_run(path: Path, questions: Sequence[Question], k: int) -> dict[str, list[tuple[str, float]]]:
    """Return the best hits of a run, by question id: by score, then by passage id."""
    wanted = {name: question.id for question in questions for name in (question.id, run_name(question.id))}
    found: dict[str, dict[str, float]] = {}
    for question, name, score in read_run(str(path)):
        if question in wanted:
            hits = found.setdefault(wanted[question], {})
            if name in hits:
                raise FormatError(str(path), None, f"found passage {name!r} twice for question {question!r}")
            hits[name] = score
    return {name: sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))[:k] for name, hits in found.items()}


def _texts(plan: SystemPlan, ids: set[str]) -> dict[str, Passage]:
    from ..index import open_store

    found: dict[str, Passage] = {}
    if plan.index is not None:
        stored = open_store(plan.index).passages(sorted(ids | {*map(id_in_run, ids)}))
        found = {name: stored[key] for name in ids for key in (id_in_run(name), name) if key in stored}
    for path in plan.corpus:
        for passage in read_passages(path):
            found |= dict.fromkeys({passage.id, run_name(passage.id)} & ids, passage)
    if missing := sorted(ids - found.keys()):
        place = plan.index or ", ".join(plan.corpus) or "nothing"
        raise InvalidInputError(
            f"{', '.join(plan.runs)}: found {len(missing)} passages (first {missing[0]!r}) that are not in "
            f"{place}: give the index or the corpus that the run was made with (--index, --corpus)"
        )
    return found
