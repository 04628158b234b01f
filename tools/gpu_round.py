"""A round of training and measuring on a GPU without a network, one step a command.

    python tools/gpu_round.py texts --data-root DATA --runs RUNS --index DIR --out TEXTS
    PIP_NO_INDEX=1 PIP_FIND_LINKS=WHEELS rankrag model pull
    python tools/gpu_round.py search --blend BLEND --out OUT
    python tools/gpu_round.py train --blend BLEND --out OUT [--set stage2.learning_rate=1e-3]
    python tools/gpu_round.py evaluate --data-root DATA --runs RUNS --texts TEXTS --trained OUT --out ANSWERS

The first is run where the index is, the others on the GPU. RUNS holds a folder a corpus (`wiki`, `gold`),
each with a folder a retriever (`bm25`, `dense`) with a TREC run a benchmark; TEXTS gets the passages that
they name, a file a benchmark. `search` trains a few settings for a short while, all at once. Every step
leaves files and goes on from them when it is called again. Processes share the GPU: one keeps it waiting.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from time import perf_counter

from rankrag.eval.gold import sample
from rankrag.eval.load import load_benchmark
from rankrag.eval.relevance_cache import RelevanceCache
from rankrag.formats import read_examples, read_run, write_examples
from rankrag.index.stores.by_name import open_store
from rankrag.types import Passage

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "gpu.yaml"
BASE = "smollm2-135m"

ARMS = {
    "r32-5e-4": ["stage2.learning_rate=5e-4"],
    "r32-1e-3": ["stage2.learning_rate=1e-3"],
    "r32-2e-3": ["stage2.learning_rate=2e-3"],
    "full-1e-4": ["stage2.lora=null", "stage2.dtype=float32", "stage2.learning_rate=1e-4"],
}
"""What `search` compares on held-out examples, by name: settings on top of the recipe."""

OPEN = ("nq", "triviaqa", "popqa", "hotpotqa")
OTHERS = ("2wiki", "fever", "topiocqa", "inscit", "doc2dial")
CORPORA = {"wiki": ("Wikipedia 2015", OPEN), "gold": ("Wikipedia 2015 + gold", OPEN + OTHERS)}
BOTH = ("bm25", "dense")

ENVIRONMENT = {
    "OMP_NUM_THREADS": "2",
    # Attention by cuDNN plans anew for every length of prompts, which takes tenths of a second each time.
    "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
"""For the processes that share the GPU; what is set already stays."""

Command = list[str]


def rankrag(*arguments: object) -> Command:
    """Return a command line of the project."""
    return [sys.executable, "-m", "rankrag", *map(str, arguments)]


def run(command: Command, log: Path) -> int:
    """Run a command with its output in a file; say how it ended and return its exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = perf_counter()
    with log.open("a", encoding="utf-8") as stream:
        done = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, check=False, env=ENVIRONMENT | os.environ
        )
    print(f"{log.stem}: exit {done.returncode} after {perf_counter() - began:.0f} s", flush=True)
    return done.returncode


def at_once(commands: dict[str, Command], logs: Path, jobs: int) -> None:
    """Run commands, some at a time, in their order; leave with an error once all ended if one failed."""
    with ThreadPoolExecutor(jobs) as pool:
        codes = [*pool.map(lambda one: run(one[1], logs / f"{one[0]}.log"), commands.items())]
    if failed := [name for name, code in zip(commands, codes, strict=True) if code]:
        raise SystemExit(f"found {len(failed)} that failed ({failed[0]}): see the logs in {logs}")


def settings(values: Sequence[str]) -> list[str]:
    """Return settings as the command line of training takes them."""
    return [part for value in values for part in ("--set", value)]


# ── training ─────────────────────────────────────────────────────────────────────────────────────────


def search(blend: Path, out: Path, steps: int) -> None:
    """Train every arm for a few steps, all at once, and print what each learnt about held-out examples."""
    from rankrag.train import read_stage

    quick = [f"stage2.max_steps={steps}", "stage2.eval_steps=100000", "stage2.save_steps=100000"]
    # All share the memory, some 32 GB each, and the cores.
    quick += ["stage2.per_device_train_batch_size=32", "stage2.dataset_num_proc=4"]
    few = _beginning(blend, out / "search" / "blend", steps * read_stage(str(RECIPE), 2).global_batch_size)
    commands = {
        name: rankrag(
            *("train", RECIPE, "--stage", 2, "--blend", few, "--out", out / "search" / name),
            *settings(quick + arm),
        )
        for name, arm in ARMS.items()
    }
    at_once(commands, out / "logs", len(commands))
    for name in ARMS:
        facts = json.loads((out / "search" / name / "training.json").read_text(encoding="utf-8"))
        after = {key.removeprefix("eval_"): round(value, 4) for key, value in facts["after"].items()}
        print(json.dumps({"arm": name, "tokens": facts["tokens"], "seconds": facts["elapsed_s"], **after}))


def _beginning(blend: Path, part: Path, n: int) -> Path:
    """Write the first `n` examples of a blend, which is shuffled: an arm makes no rows that it never sees."""
    part.mkdir(parents=True, exist_ok=True)
    write_examples(str(part / "examples.jsonl"), islice(read_examples(str(blend / "examples.jsonl")), n))
    shutil.copy(blend / "heldout.jsonl", part)
    return part


def train(blend: Path, out: Path, chosen: Sequence[str]) -> None:
    """Train stage 1, then stage 2, and the cross-encoder on the same pairs beside them."""
    stages = [
        rankrag("train", RECIPE, "--stage", 1, "--blend", blend, "--out", out / "stage1", *settings(chosen)),
        rankrag(
            *("train", RECIPE, "--stage", 2, "--blend", blend, "--out", out / "stage2"),
            *settings([f"model={out / 'stage1'}", *chosen]),
        ),
    ]
    script = ROOT / "benchmarks" / "quality" / "cross_encoder.py"
    specialist = [sys.executable, str(script), "--blend", str(blend), "--out", str(out / "cross-encoder")]
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(run, [*specialist, "--bf16"], out / "logs" / "cross-encoder.log")
        for number, stage in enumerate(stages, 1):
            if not (out / f"stage{number}" / "rankrag.json").exists() and run(
                stage, out / "logs" / f"stage{number}.log"
            ):
                raise SystemExit(f"stage {number} failed: see {out / 'logs'}")
        beside.result()


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────


def systems(trained: Path) -> dict[str, tuple[tuple[str, ...], list[str]]]:
    """Return each system's retrievers, whose runs are fused, and its options, what matters most first."""
    mine = ["--model", str(trained / "stage2")]
    specialist = ["--ranker", str(trained / "cross-encoder"), "--no-cite"]
    plain = ["--no-rank", "--no-cite"]
    return {
        "ranked": (("bm25",), mine),
        "unranked": (("bm25",), [*mine, *plain]),
        "hybrid-ranked": (BOTH, mine),
        "hybrid-unranked": (BOTH, [*mine, *plain]),
        "cross-encoder": (("bm25",), [*mine, *specialist]),
        "untuned": (("bm25",), ["--model", BASE, "--no-cite"]),
    }


def asked(chosen: argparse.Namespace) -> dict[str, Command]:
    """Return the commands that ask every system all benchmarks of every corpus, by name."""
    commands = {}
    for system, (retrievers, options) in systems(chosen.trained).items():
        for corpus, (title, benchmarks) in CORPORA.items():
            runs = [chosen.runs / corpus / one for one in retrievers]
            found = [one for one in benchmarks if all((run / f"{one}.run").exists() for run in runs)]
            where = [part for run in runs for part in ("--run", str(run))]
            texts = [
                part for one in found for part in ("--corpus", chosen.texts / corpus / f"{one}.jsonl.xz")
            ]
            if found:
                commands[f"{corpus}-{system}"] = rankrag(
                    *("eval", "predict", *found, "--name", system, *options, *where, *texts),
                    *("--corpus-name", title, "--retrieve-k", chosen.retrieve_k, "-n", chosen.n),
                    *("--data-root", chosen.data_root, "--out", chosen.out / corpus),
                )
    return commands


def evaluate(chosen: argparse.Namespace) -> None:
    """Ask all systems, some at once; their relevances share a file a corpus, made before they begin."""
    for corpus in CORPORA:
        (chosen.out / corpus).mkdir(parents=True, exist_ok=True)
        RelevanceCache(chosen.out / corpus / "relevance.sqlite").close()
    at_once(asked(chosen), chosen.out / "logs", chosen.jobs)


def texts(data: Path, runs: Path, indexes: Sequence[Path], n: int, out: Path) -> None:
    """Write the passages that the runs name for the first `n` questions of each benchmark's sample."""
    stores = [open_store(index) for index in indexes]
    for corpus, benchmark in ((corpus, one) for corpus, (_, names) in CORPORA.items() for one in names):
        names = sorted(_named(data, runs / corpus, benchmark, n))
        found = {name: one for store in stores for name, one in store.passages(names).items()}
        if lacking := [name for name in names if name not in found]:
            raise SystemExit(f"found no passage {lacking[0]} in any index, wanted those of {runs / corpus}")
        if names:
            _write(out / corpus / f"{benchmark}.jsonl.xz", [found[name] for name in names])


def _named(data: Path, runs: Path, benchmark: str, n: int) -> Iterator[str]:
    files = [file for one in BOTH if (file := runs / one / f"{benchmark}.run").exists()]
    if not files:
        return
    wanted = {item.question.id for item in sample(load_benchmark(benchmark, data).questions, n)}
    seen = set()
    for file in files:
        for question, name, _ in read_run(str(file)):
            if question in wanted and name not in seen:
                seen.add(name)
                yield name


def _write(path: Path, passages: Iterable[Passage]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", encoding="utf-8", preset=3) as stream:
        for one in passages:
            record = {"_id": one.id, "title": one.title, "text": one.text}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def main() -> None:
    """Run the step that the command line names."""
    chosen = _arguments()
    if chosen.step == "search":
        search(chosen.blend, chosen.out, chosen.steps)
    elif chosen.step == "train":
        train(chosen.blend, chosen.out, chosen.set)
    elif chosen.step == "texts":
        texts(chosen.data_root, chosen.runs, chosen.index, chosen.n, chosen.out)
    else:
        evaluate(chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    one = {name: steps.add_parser(name) for name in ("search", "train", "texts", "evaluate")}
    for step in one.values():
        step.add_argument("--out", type=Path, required=True)
    for name in ("search", "train"):
        one[name].add_argument("--blend", type=Path, required=True)
    one["search"].add_argument("--steps", type=int, default=150)
    one["train"].add_argument("--set", action="append", default=[])
    for name in ("texts", "evaluate"):
        one[name].add_argument("--data-root", type=Path, required=True)
        one[name].add_argument("--runs", type=Path, required=True)
        one[name].add_argument("-n", type=int, default=250)
    one["texts"].add_argument("--index", type=Path, action="append", required=True)
    one["evaluate"].add_argument("--texts", type=Path, required=True)
    one["evaluate"].add_argument("--trained", type=Path, required=True, help="what `train` filled")
    one["evaluate"].add_argument("--retrieve-k", type=int, default=100)
    one["evaluate"].add_argument("--jobs", type=int, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
