"""What share of query likelihood ranks best: every share from one pass over development questions.

    python benchmarks/quality/query_likelihood.py QUESTIONS.jsonl RUN --index DIR [-n 200] [--model NAME]

QUESTIONS holds a question a line (`id`, `question`, `answers`), RUN their passages, which the index has; a
passage counts as right where it holds an answer. Give it questions that no result is reported on: it is for
choosing `query_likelihood` of a checkpoint's card. Prints, for each share, how many questions of 100 have an
answer among the first 1, 3 and 5 passages, and the mean of 1 / place of the first (MRR).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rankrag import prompts
from rankrag.data.matching import contains_answer
from rankrag.files import read_records
from rankrag.formats import read_rankings
from rankrag.index import open_store
from rankrag.system.models import Engine, Loading, open_engine
from rankrag.types import ASKED, Passage, Question

RETRIEVE_K = 20
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, float("inf"))
"""The last is the likelihood of the question alone."""


def parts(engine: Engine, question: Question, passages: Sequence[Passage]) -> np.ndarray:
    """Return of each passage the log-odds of True and the log-probability of the question, (passages, 2)."""
    asked = [prompts.rank(question, passage, engine.form) for passage in passages]
    table = engine.lm.logprobs(asked, (*engine.form.labels(), ASKED))
    return np.stack([table[:, 0] - table[:, 1], table[:, 2]], axis=1)


def ordered(found: np.ndarray, share: float) -> np.ndarray:
    """Return the places of the passages, best first, by a share of query likelihood."""
    scores = found[:, 1] if np.isinf(share) else found[:, 0] + share * found[:, 1]
    return np.argsort(-scores, kind="stable")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--model", default="rankrag-135m")
    chosen = parser.parse_args()
    engine = open_engine(chosen.model, calibration=False, loading=Loading(precision="int8"))
    store = open_store(chosen.index)
    run = read_rankings(str(chosen.run))
    rows = [record for _, record in read_records(str(chosen.questions))]
    places: dict[float, list[float]] = {share: [] for share in SHARES}
    for row in random.Random(7).sample(rows, min(chosen.n, len(rows))):
        ids = run[str(row["id"])][:RETRIEVE_K]
        texts = store.passages(ids)
        found = parts(engine, Question("", str(row["question"])), [texts[name] for name in ids])
        holds = np.array([contains_answer(texts[name].text, row["answers"]) for name in ids])  # type: ignore[arg-type]
        for share, seen in places.items():
            right = np.flatnonzero(holds[ordered(found, share)])
            seen.append(float(right[0] + 1) if len(right) else np.inf)
    for share, seen in places.items():
        at = [f"{100 * np.mean(np.array(seen) <= k):5.1f}" for k in (1, 3, 5)]
        print(f"{share:5}", *at, f"{np.mean(1 / np.array(seen)):.3f}", f"n {len(seen)}")


if __name__ == "__main__":
    main()
