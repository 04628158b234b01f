"""Sixty questions as people ask them, over the Python language reference and the docs of three packages.

    python benchmarks/practical/run.py --out OUT [--model NAME] [--systems ranked unranked] [--steps judge]

prepare   write the reference of this interpreter, fetch the packages with apt-get, index it all
ask       let the systems answer (`rankrag eval predict`); may be interrupted and goes on where it stopped
judge     apply the rule to the answers that are there; needs no model, and can be done again at any time

With --development they are other questions over other documents, which may be looked at and chosen on.

OUT gets documents, index, answers/SYSTEM, report/practical.md with every answer and its verdict, and
report/citations.md. See README.md beside this file for the rule and for what it does not show.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from documents import (
    DEVELOPMENT_RECORD,
    PREPARED,
    RECORD,
    UnavailableError,
    missing_evidence,
    prepare,
    unfindable,
)
from page import citations, comparisons, page, table
from questions import DEVELOPMENT, QUESTIONS, Practical, read_questions
from rankrag.files import write_records
from rankrag.index import open_store
from tally import Ruled, ruled, systems

# A script's own folder is on the path, the one above it is not.
sys.path.append(str(Path(__file__).parents[1] / "quality"))
from asking import rankrag

STEPS = ("prepare", "ask", "judge")
SYSTEMS: Mapping[str, Sequence[str]] = {
    "ranked": ("--reading", "joint"),
    "unranked": ("--no-rank", "--reading", "joint"),
    "ranked-mixture": ("--reading", "mixture"),
    "unranked-mixture": ("--no-rank", "--reading", "mixture"),
    "by-label-mixture": ("--query-likelihood", "0", "--reading", "mixture"),
}
"""The options of each system beside those that all have; all cite."""


def main() -> int:
    """Do the steps that are asked for; return 0, also where the documents cannot be had, which is said."""
    chosen = _parsed()
    questions = read_questions(DEVELOPMENT if chosen.development else QUESTIONS)
    if "prepare" in chosen.steps:
        try:
            prepared(chosen, questions)
        except UnavailableError as reason:
            print(f"skipped: {reason}")
            return 0
    if "ask" in chosen.steps:
        ask(chosen)
    if "judge" in chosen.steps:
        judge(chosen.out, questions)
    return 0


def prepared(chosen: argparse.Namespace, questions: Sequence[Practical]) -> None:
    """Make documents, index and the file of questions where they are missing; say what differs."""
    documents, index, done = (chosen.out / name for name in ("documents", "index", "index.done"))
    documents.mkdir(parents=True, exist_ok=True)
    record = DEVELOPMENT_RECORD if chosen.development else RECORD
    notes = list(prepare(documents, chosen.debs, record))
    if not done.exists():
        # `prepared.json` lies among the documents, and no reader takes it for one.
        rankrag("index", documents, "--index", index, "--encoder", chosen.encoder, "--yes")
        done.touch()
    write_records(str(chosen.out / "practical.jsonl"), (one.record() for one in questions))
    notes += [f"not in its document: {phrase}" for phrase in missing_evidence(questions, documents)]
    store = open_store(index)
    texts = [passage.text for passage in store.passages(store.ids()).values()]
    notes += [f"{name}: no passage of the index holds its evidence" for name in unfindable(questions, texts)]
    (chosen.out / "notes.txt").write_text("".join(f"{note}\n" for note in notes), encoding="utf-8")
    print("\n".join(notes) or f"{len(texts)} passages; the documents are those of the record")


def ask(chosen: argparse.Namespace) -> None:
    """Let each system answer the questions."""
    if not (chosen.out / "documents" / PREPARED).is_file():
        raise SystemExit(f"found no documents in {chosen.out}, wanted them: run the step prepare first")
    same = ["--index", chosen.out / "index", "--retrieve-k", chosen.k, "--model", chosen.model]
    same += ["--precision", chosen.precision] if chosen.precision else []
    same += ["--retriever", chosen.retriever] if chosen.retriever else []
    same += ["-n", chosen.n] if chosen.n else []
    for system in chosen.systems:
        to = ["--name", f"{chosen.name}-{system}", "--out", chosen.out / "answers"]
        rankrag("eval", "predict", chosen.out / "practical.jsonl", *same, *SYSTEMS[system], *to)


def judge(out: Path, questions: Sequence[Practical]) -> None:
    """Print the table of all systems that have answers, and write the page and the verdicts."""
    found: dict[str, list[Ruled]] = {
        name: ruled(questions, folder) for name, folder in systems(out / "answers")
    }
    if not found:
        raise SystemExit(f"found no answers in {out / 'answers'}, wanted some: run the step ask first")
    said = out / "notes.txt"
    notes = said.read_text(encoding="utf-8").splitlines() if said.exists() else []
    report = out / "report"
    report.mkdir(exist_ok=True)
    (report / "practical.md").write_text(page(found, questions, notes), encoding="utf-8")
    (report / "citations.md").write_text(citations(found), encoding="utf-8")
    records = (one.record(name) for name, rulings in found.items() for one in rulings)
    write_records(str(report / "verdicts.jsonl"), records)
    print("\n".join((*notes, table(found), *comparisons(found))))
    print(f"every answer: {report / 'practical.md'}")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--development", action="store_true", help="the development set, not the sixty")
    parser.add_argument("--debs", type=Path, help="a folder with the packages, in place of apt-get")
    parser.add_argument("--encoder", default="minilm-l6", help="none: BM25 alone")
    parser.add_argument("--model", default="rankrag-135m")
    parser.add_argument("--name", help="of the model in the table; its own, if not said")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["ranked", "unranked"])
    parser.add_argument("--retriever", choices=("bm25", "dense", "hybrid"))
    parser.add_argument("--precision", help="int8 is faster on a CPU")
    parser.add_argument("-k", type=int, default=30, help="passages a question")
    parser.add_argument("-n", type=int, help="questions, drawn at random; all, if not said")
    chosen = parser.parse_args()
    chosen.name = chosen.name or Path(chosen.model).name.replace(":", "-")
    return chosen


if __name__ == "__main__":
    raise SystemExit(main())
