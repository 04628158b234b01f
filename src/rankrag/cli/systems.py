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

from .. import prompts
from ..errors import FormatError, InvalidInputError, NotFoundError, amount
from ..eval.relevance_cache import CachedRanker, RelevanceCache
from ..eval.results import System
from ..files import sha256
from ..formats import id_in_run, read_passages, read_run, run_name
from ..pipeline import Pipeline
from ..system import SystemSpec, models, retrieval
from ..system.open import SystemModels, citer_of, generator_of, open_models, open_ranker, pipeline_of
from ..types import Answer, Filters, Hit, Passage, Question, Ranker


@dataclass(frozen=True, slots=True)
class NamedSystem:
    """A system with its name in every table, and what an evaluation alone wants of one.

    Where there are `runs`, they stand for the search, and the index holds the texts of what they name;
    several runs are fused by reciprocal ranks. `corpus` are files with texts, in place of an index.
    `variant` says in the ablation table what the system lacks. `cache` is the file that keeps relevances.
    """

    name: str
    spec: SystemSpec
    runs: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ()
    corpus_name: str = ""
    variant: str = ""
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class ReadySystem:
    """A system that can be asked, with what a report says of it; `searched` is None where runs are read."""

    named: NamedSystem
    system: System
    searched: retrieval.Retrieval | None
    models: SystemModels
    ranker: Ranker | None
    reused: set[str]

    def made_of(self, benchmark: str) -> dict[str, str]:
        """Return what decides the answers to a benchmark: hashes of weights, texts and runs, the index."""
        runs = (short_hash(run_file(run, benchmark)) for run in self.named.runs)
        return {**self.system.facts, **{f"run {n}": digest for n, digest in enumerate(runs, 1)}}

    def ask(
        self, benchmark: str, questions: Sequence[Question], max_tokens: int
    ) -> Callable[[Question], Answer]:
        """Return what asks this system the questions of a benchmark, with answers of at most so many tokens.

        Ids are those of a benchmark: runs are read, and what was on file is noted, for each apart.
        """
        self.reused.clear()
        searched = self.searched or _retrieval_of_runs(self.named, benchmark, questions)
        pipeline = self._pipeline(searched, max_tokens)

        def ask(question: Question) -> Answer:
            answer = replace(_unless_refused(pipeline, question), query=prompts.search_query(question))
            if question.id not in self.reused:
                return answer
            # What was on file cost no time: the seconds of this ranking would flatter.
            seconds = {step: s for step, s in answer.timings_s.items() if step != "rank"}
            return replace(answer, timings_s=seconds)

        return ask

    def _pipeline(self, searched: retrieval.Retrieval, max_tokens: int) -> Pipeline:
        """Return the pipeline without what people see: marks on an answer, and a ranking as it goes on."""
        writes = self.models.answering
        return replace(
            pipeline_of(self.named.spec, self.models, searched, self.ranker),
            generator=generator_of(self.named.spec, writes, max_tokens) if writes else None,
            rank_step=None,
            calibrated=False,
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


def for_workers(named: NamedSystem) -> NamedSystem:
    """Return a system for another process: with absolute paths, and no file that machines would share."""

    def placed(name: str) -> str:
        return str(Path(name).absolute()) if name and Path(name).is_dir() else name

    spec = named.spec
    return replace(
        named,
        spec=replace(
            spec,
            index=spec.index and spec.index.absolute(),
            model=placed(spec.model),
            ranker=spec.ranker and placed(spec.ranker),
            generator=spec.generator and placed(spec.generator),
        ),
        runs=tuple(str(Path(run).absolute()) for run in named.runs),
        corpus=tuple(str(Path(file).absolute()) for file in named.corpus),
        cache=None,
    )


def assemble(named: NamedSystem) -> ReadySystem:
    """Return a system ready to be asked; raises InvalidInputError for one that cannot be made."""
    _check(named)
    spec = named.spec
    searched = None if named.runs else retrieval.open_retrieval(spec.index, spec.retriever)
    loaded = open_models(spec)
    facts = _facts(named, loaded)
    reused = set[str]()

    def cached(ranker: Ranker) -> Ranker:
        return CachedRanker(ranker, _cache(named), _identity(spec, loaded.judging, facts), reused)

    system = System(
        name=named.name,
        retriever=searched.kind if searched else "+".join(run_names(named)),
        corpus=named.corpus_name or (spec.index.name if spec.index else ", ".join(map(_file, named.corpus))),
        retrieve_k=spec.retrieve_k,
        read_k=spec.read_k,
        ranker=spec.ranks_with if spec.ranking else None,
        generator=spec.answers_with if spec.generating else None,
        cites=citer_of(spec, loaded) is not None,
        facts=facts,
    )
    ranker = open_ranker(spec, loaded.judging, cached) if spec.ranking else None
    return ReadySystem(named, system, searched, loaded, ranker, reused)


def _check(named: NamedSystem) -> None:
    named.spec.check()
    if not re.fullmatch(r"[^/\\:\s.][^/\\:]*", named.name):
        raise InvalidInputError(
            f"found the system name {named.name!r}, wanted one without / \\ : and a dot in front"
        )
    if not named.runs and named.spec.index is None:
        raise InvalidInputError("found neither an index nor runs, wanted --index DIR or --run FILE")


def run_names(named: NamedSystem) -> list[str]:
    """Return a name for each run: that of its file or folder, the whole path where two are alike."""
    stems = [Path(run).stem for run in named.runs]
    return [stem if stems.count(stem) == 1 else run for stem, run in zip(stems, named.runs, strict=True)]


def _cache(named: NamedSystem) -> RelevanceCache:
    """Return the relevances on file; with seconds to rank in none: more would fit into them than is so."""
    budget = named.spec.budget
    return RelevanceCache(None if budget is not None and budget.seconds is not None else named.cache)


def _identity(spec: SystemSpec, judging: models.Engine | None, facts: Mapping[str, str]) -> str:
    """Return what decides a relevance: hashes of weights and template, and the numbers computed with."""
    if judging is None:
        return facts["ranker_sha256"]
    # A server's weights cannot be hashed: its name, and what its context cuts, have to do.
    weights = weights_hash(spec.ranks_with) or f"{spec.ranks_with} {judging.lm.context_length}"
    known = {"model": weights, "template_hash": prompts.template_hash(judging.form)}
    precision = judging.precision or "float32"
    if judging.query_likelihood:
        known |= {"query_likelihood": str(judging.query_likelihood)}
    return json.dumps(known | ({"precision": precision} if precision != "float32" else {}))


# ── what a report says ───────────────────────────────────────────────────────────────────────────────


def _facts(named: NamedSystem, loaded: SystemModels) -> dict[str, str]:
    """Return what decides the answers: the model's under its own keys, another's under its part's."""
    spec, answers = named.spec, loaded.answering
    ranks = loaded.judging if spec.ranking else None
    own = answers if spec.answers_with == spec.model else ranks if spec.ranks_with == spec.model else None
    facts = _model_facts(spec.model, own) if own else {}
    if spec.ranking and spec.budget:
        facts["budget"] = str(spec.budget)
    if answers and generator_of(spec, answers).reading == "mixture":
        facts["reading"] = "mixture"
    if ranks and ranks.threshold is not None:
        facts["threshold"] = str(ranks.threshold)
    if ranks and ranks.query_likelihood:
        facts["query_likelihood"] = str(ranks.query_likelihood)
    if named.variant:
        facts["variant"] = named.variant
    if ranks and spec.ranks_with != spec.model:
        facts |= _part_facts("ranker", spec.ranks_with, ranks)
    elif spec.ranking and not ranks:
        facts["ranker_sha256"] = _folder_hash([Path(spec.ranks_with).expanduser()], "*")
    if answers and spec.answers_with != spec.model:
        facts |= _part_facts("generator", spec.answers_with, answers)
    if spec.index is not None and not named.runs:
        facts["index"] = index_of(named)
    return facts | {f"corpus {Path(file).name}": short_hash(Path(file)) for file in named.corpus}


def _model_facts(name: str, engine: models.Engine) -> dict[str, str]:
    facts = {
        "template": engine.form.name,
        "template_hash": prompts.template_hash(engine.form),
        "model_sha256": weights_hash(name),
        "trained": str(engine.trained).lower(),
        "precision": engine.precision,
        "calibration": _calibration_hash(engine),
    }
    return {key: value for key, value in facts.items() if value or key == "model_sha256"}


def _part_facts(part: str, name: str, engine: models.Engine) -> dict[str, str]:
    facts = {
        f"{part}_sha256": weights_hash(name),
        f"{part}_template_hash": prompts.template_hash(engine.form),
        f"{part}_precision": engine.precision,
        "ranker_calibration": _calibration_hash(engine) if part == "ranker" else "",
    }
    return {key: value for key, value in facts.items() if value or key == f"{part}_sha256"}


def _calibration_hash(engine: models.Engine) -> str:
    """Return 16 hex digits of a model's calibration, "" without one."""
    if engine.calibration is None:
        return ""
    told = json.dumps(asdict(engine.calibration), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def indexed(named: NamedSystem) -> Path | None:
    """Return the folder of a system's index where there is one."""
    index = named.spec.index
    return index if index is not None and (index / "manifest.json").exists() else None


def index_of(named: NamedSystem) -> str:
    """Return what holds the texts of a system, as a report says it; empty without an index."""
    from ..index import read_manifest

    built = read_manifest(folder) if (folder := indexed(named)) else None
    return f"{amount(built.n_passages, 'passage')}, of {built.updated}" if built else ""


def weights_hash(name: str) -> str:
    """Return 16 hex digits over a model, its base included; "" for fake or a server."""
    folders = models.folders_of(name)
    return _folder_hash(folders) if folders else ""


def _folder_hash(folders: Sequence[Path], *patterns: str) -> str:
    """Return 16 hex digits over the files of folders that decide what a model says."""
    from ..model.store.registry import hashes_file
    from ..model.store.weights_hash import file_hashes

    wanted = patterns or ("*.safetensors", "tokenizer.json", "adapter_config.json")
    paths = [
        path
        for folder in folders
        for path in sorted({path for name in wanted for path in folder.glob(name) if path.is_file()})
    ]
    digest = hashlib.sha256()
    for path, known in zip(paths, file_hashes(paths, hashes_file()), strict=True):
        digest.update(f"{path.name} {known[:16]}\n".encode())
    return digest.hexdigest()[:16]


def short_hash(path: Path) -> str:
    """Return 16 hex digits of the SHA-256 of a file."""
    return sha256(path)[:16]


def _file(path: str) -> str:
    return Path(path).name.split(".")[0]


# ── retrieval from runs ──────────────────────────────────────────────────────────────────────────────


def _retrieval_of_runs(
    named: NamedSystem, benchmark: str, questions: Sequence[Question]
) -> retrieval.Retrieval:
    from ..index.retrievers import DEPTH

    # A fusion looks deeper than what is taken, as `Hybrid` does.
    wanted = named.spec.retrieve_k
    depth = wanted if len(named.runs) == 1 else max(wanted, DEPTH)
    runs = [_read_run(run_file(run, benchmark), questions, depth) for run in named.runs]
    if questions and not any(runs):
        raise InvalidInputError(
            f"{', '.join(named.runs)}: found no question of {benchmark}, wanted ids as {questions[0].id!r}"
        )
    texts = _texts(named, {name for run in runs for names in run.values() for name, _ in names})
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
    scores: dict[str, dict[str, float]] = {}
    for question, name, score in read_run(str(path)):
        if question in wanted:
            hits = scores.setdefault(wanted[question], {})
            if name in hits:
                raise FormatError(str(path), None, f"found passage {name!r} twice for question {question!r}")
            hits[name] = score
    return {
        name: sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))[:k] for name, hits in scores.items()
    }


def _texts(named: NamedSystem, ids: set[str]) -> dict[str, Passage]:
    from ..index import open_store

    passages: dict[str, Passage] = {}
    if named.spec.index is not None:
        stored = open_store(named.spec.index).passages(sorted(ids | {*map(id_in_run, ids)}))
        passages = {name: stored[key] for name in ids for key in (id_in_run(name), name) if key in stored}
    for path in named.corpus:
        for passage in read_passages(path):
            passages |= dict.fromkeys({passage.id, run_name(passage.id)} & ids, passage)
    if missing := sorted(ids - passages.keys()):
        searched = named.spec.index or ", ".join(named.corpus) or "nothing"
        raise InvalidInputError(
            f"{', '.join(named.runs)}: found {amount(len(missing), 'passage')} (first {missing[0]!r}) not in "
            f"{searched}: give the index or the corpus that the run was made with (--index, --corpus)"
        )
    return passages
