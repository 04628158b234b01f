"""How fast an answer is written: transformers' own generation, and the engine cold and after ranking.

    python benchmarks/speed/generate.py [--model smollm2-135m] [--read-k 5] [--tokens 32]

The prompts are those of `ask`: `--read-k` passages, then the question. All ways write greedily, and end where
the model does; they take a prompt one after the other before the next, so a machine that is busy
for a while is busy for all of them. Cold remembers nothing; after ranking, the states of each passage are
known, of which the prompt can use the first passage's. Known is the same prompt a second time. The limit of
the first token is useful work over the rate of matrix products of the model's own shapes; that of the others
is the time to read every weight once, as a product with one vector.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

from limits import Model, body_weights, matmul_rate, passages_of, reading_s
from rankrag import prompts
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.engine.tokenizer import Tokenizer
from rankrag.model.store import registry
from rankrag.types import Passage, Prompt, Question

ASKED = Question("asked", "Which statement binds a name that is not local to the function it stands in?")
WAYS = ("transformers", "cold", "after ranking", "known")


@dataclass
class Tally:
    """Seconds to the first token and for the later ones, by way, one number a prompt; and the limits."""

    first_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    next_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    limit_first_s: list[float] = field(default_factory=list)
    limit_next_s: list[float] = field(default_factory=list)
    n_read: list[int] = field(default_factory=list)
    n_written: list[int] = field(default_factory=list)

    def record(self, way: str, n_tokens: int, first: float, last: float) -> None:
        """Add when the first and the last token came, the start being 0."""
        self.first_s[way].append(first)
        self.next_s[way].append((last - first) / max(1, n_tokens - 1))


class Plain:
    """What one writes first: transformers' own `generate`."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._words = Tokenizer(folder)
        self.model: Model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )

    def tokens(self, prompt: Prompt) -> list[int]:
        """Return the tokens of a prompt."""
        prefix, suffix = self._words.prompt(prompt)
        return [*prefix, *suffix]

    def write(self, prompt: Prompt, n_tokens: int) -> tuple[int, list[float]]:
        """Return how many tokens the model wrote, and when the first and the last came."""
        import torch

        clock = _Clock()
        row = torch.tensor([self.tokens(prompt)])
        mask = torch.ones_like(row)
        with torch.inference_mode():
            self.model.generate(
                row, attention_mask=mask, max_new_tokens=n_tokens, do_sample=False, streamer=clock
            )
        return len(clock.times), [clock.times[0], clock.times[-1]]


class _Clock:
    """Notes when tokens come; transformers calls it with the prompt first."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._prompt = True
        self.times: list[float] = []

    def put(self, _tokens: object) -> None:
        """Note the moment."""
        if not self._prompt:
            self.times.append(perf_counter() - self._started)
        self._prompt = False

    def end(self) -> None:
        """Nothing is held back."""


def main() -> None:
    """Measure and print."""
    options = _arguments()
    folder = Path(registry.locate(options.model))
    lm, plain = LocalLanguageModel(folder, device="cpu", precision="float32"), Plain(folder)
    passages = list(islice(passages_of(options.passages), options.read_k * (options.count + 1)))
    groups = [passages[n : n + options.read_k] for n in range(0, len(passages), options.read_k)]
    tally = Tally()
    _measure(lm, plain, groups[0], options, Tally())  # the first of everything is slow
    for group in groups[1:]:
        _measure(lm, plain, group, options, tally)
    print(json.dumps(_result(tally), indent=2))


def _measure(
    lm: LocalLanguageModel,
    plain: Plain,
    passages: Sequence[Passage],
    options: argparse.Namespace,
    tally: Tally,
) -> None:
    form = prompts.template(options.template)
    prompt = prompts.answer(ASKED, passages, form)
    n_written, (first, last) = plain.write(prompt, options.tokens)
    tally.record("transformers", n_written, first, last)
    for way in WAYS[1:]:
        if way != "known":
            lm.cache.clear()
        if way == "after ranking":
            lm.logprobs([prompts.rank(ASKED, passage, form) for passage in passages], form.labels())
        tally.record(way, n_written, *_engine(lm, prompt, options.tokens))
    n_read = len(plain.tokens(prompt))
    head = plain.model.get_output_embeddings().weight.numel()
    work = 2.0 * (body_weights(plain.model) * n_read + head)
    tally.n_read.append(n_read)
    tally.n_written.append(n_written)
    tally.limit_first_s.append(work / matmul_rate(plain.model))
    tally.limit_next_s.append(reading_s(plain.model))


def _engine(lm: LocalLanguageModel, prompt: Prompt, n_tokens: int) -> tuple[float, float]:
    """Return when the engine's first and last piece of text came."""
    started = perf_counter()
    times = [perf_counter() - started for _ in lm.generate(prompt, n_tokens)]
    return times[0], times[-1]


def _result(tally: Tally) -> dict[str, Any]:
    first = {way: sum(seconds) for way, seconds in tally.first_s.items()}
    rest = {way: sum(seconds) for way, seconds in tally.next_s.items()}
    return {
        "prompts": len(tally.n_read),
        "tokens_read": round(mean(tally.n_read)),
        "tokens_written": round(mean(tally.n_written), 1),
        "first_token_times_faster": {way: round(first["transformers"] / first[way], 2) for way in WAYS},
        "tokens_per_second_times_faster": {way: round(rest["transformers"] / rest[way], 2) for way in WAYS},
        "first_token_limit_fraction": round(sum(tally.limit_first_s) / first["cold"], 2),
        "next_token_limit_fraction": round(sum(tally.limit_next_s) / rest["cold"], 2),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast answers are written, as ratios in one run.")
    parser.add_argument("--model", default="smollm2-135m", help="a named model or a folder")
    parser.add_argument("--passages", help="a file of passages; without, the Python reference is cut up")
    parser.add_argument("--count", type=int, default=10, help="prompts to answer")
    parser.add_argument("--read-k", type=int, default=5, help="passages in a prompt")
    parser.add_argument("--tokens", type=int, default=32, help="tokens to write at most")
    parser.add_argument("--template", default="paper", choices=sorted(prompts.TEMPLATES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
