"""Ranking by the engine beside other ways to run the same checkpoint: sentence-transformers and llama.cpp.

    python benchmarks/speed/rivals.py [--model rankrag-135m] [--count 30] [--gguf FILE]

The checkpoint is exported (`rankrag model export`); the engine runs it cold, in float32 and in int8, and
sentence-transformers' `CrossEncoder` runs the same folder in batches of eight. With `--gguf` llama.cpp (the
package xllamacpp) serves that file on this machine and the engine for servers ranks with it, eight requests
at a time; only its time is compared, since the file may be coarser and need not have learned to rank.
All take a block of passages before the next, so a machine that is busy for a while is busy for all of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from limits import passages_of, timed
from rankrag import prompts
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.remote import client as remote
from rankrag.model.skills.ranker import relevance
from rankrag.model.store import registry
from rankrag.model.store.checkpoint import read_checkpoint
from rankrag.system import DEFAULT_MODEL, open_engine
from rankrag.train.export import export
from rankrag.types import LanguageModel, Passage, Question

ASKED = Question("asked", "Which statement binds a name that is not local to the function it stands in?")
BATCH = 8

Way = Callable[[Sequence[Passage]], np.ndarray]
"""From passages to their relevance."""


def main() -> None:
    """Measure and print."""
    options = _arguments()
    passages = list(islice(passages_of(options.passages), options.count + BATCH))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ways = _ways(options, Path(folder) / "exported", stack)
        seconds, scores = dict.fromkeys(ways, 0.0), {way: np.zeros(0) for way in ways}
        for way in ways.values():
            way(passages[-BATCH:])  # the first of everything is slow
        size = -(-options.count // options.blocks)
        for first in range(0, options.count, size):
            block = passages[first : min(first + size, options.count)]
            for name, way in ways.items():
                found, took = timed(partial(way, block))
                seconds[name] += took
                scores[name] = np.append(scores[name], found)
    print(json.dumps(_result(options.count, seconds, scores), indent=2))


def _ways(options: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Way]:
    from sentence_transformers import CrossEncoder

    form = prompts.template(read_checkpoint(registry.locate(options.model)).template)
    export(registry.locate(options.model), folder)
    plain = LocalLanguageModel(folder, device="cpu", precision="float32")
    small = LocalLanguageModel(folder, device="cpu", precision="int8")
    encoder = CrossEncoder(str(folder), device="cpu")

    def engine(lm: LocalLanguageModel, passages: Sequence[Passage]) -> np.ndarray:
        lm.cache.clear()
        return _ranked(lm, form, passages)

    def crossed(passages: Sequence[Passage]) -> np.ndarray:
        pairs = [(ASKED.text, _text(passage)) for passage in passages]
        return np.asarray(encoder.predict(pairs, batch_size=BATCH, show_progress_bar=False))

    ways: dict[str, Way] = {
        "CrossEncoder": crossed,
        "engine": partial(engine, plain),
        "engine, int8": partial(engine, small),
    }
    if options.gguf:
        ways["llama.cpp"] = partial(_read, _served(options.gguf, stack))
    return ways


def _ranked(lm: LanguageModel, form: prompts.Template, passages: Sequence[Passage]) -> np.ndarray:
    asked = [prompts.rank(ASKED, passage, form) for passage in passages]
    return relevance(lm.logprobs(asked, form.labels()))


def _read(lm: LanguageModel, passages: Sequence[Passage]) -> np.ndarray:
    """Let a server read the prompts; returns no relevance. An untuned model begins with `The`, not `True`."""
    lm.logprobs([prompts.rank(ASKED, passage, prompts.PAPER) for passage in passages], [" The", " I"])
    return np.zeros(0)


def _text(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def _served(path: str, stack: ExitStack) -> LanguageModel:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_parallel = remote.WORKERS
    settings.n_ctx = 2048 * remote.WORKERS
    settings.verbosity = 0
    server = xllamacpp.Server(settings)
    stack.callback(lambda: server)  # which lives as long as something names it
    return open_engine(f"openai-text:{Path(path).stem}@{server.listening_address}/v1").lm


def _result(count: int, seconds: dict[str, float], scores: dict[str, np.ndarray]) -> dict[str, object]:
    unit, wanted = seconds["CrossEncoder"], scores["CrossEncoder"]
    return {
        "passages": count,
        "times_CrossEncoder": {name: round(unit / took, 2) for name, took in seconds.items()},
        "largest_difference": {
            name: float(f"{np.abs(found - wanted).max():.1g}") for name, found in scores.items() if len(found)
        },
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ranking beside other runtimes, as ratios in one run.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a named model or a folder")
    parser.add_argument("--passages", help="a file of passages; without, the Python reference is cut up")
    parser.add_argument("--count", type=int, default=30, help="passages to rank")
    parser.add_argument("--blocks", type=int, default=2, help="blocks that the passages are taken in")
    parser.add_argument("--gguf", help="a model of the same size for llama.cpp")
    return parser.parse_args()


if __name__ == "__main__":
    main()
