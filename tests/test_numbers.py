"""Numbers that stand in several places are the same everywhere, and those of reports are what was measured.

`STATED` names each number, says where it comes from, and gives its places: a file and an expression whose
groups are the number. A place that is rewritten so that its expression finds nothing fails, too.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rankrag.eval.benchmarks import BENCHMARKS, PAPER

ROOT = Path(__file__).parents[1]
README, CARD = "README.md", "src/rankrag/checkpoints/rankrag-135m/README.md"
RESULTS = "docs/results/README.md"
OPEN = ("nq", "triviaqa", "popqa", "hotpotqa")


@cache
def results(report: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((ROOT / "docs/results" / report / "results.json").read_text())
    return found


def measured(report: str, system: str, benchmark: str, measure: str) -> float:
    (cell,) = (
        cell
        for cell in results(report)["cells"]
        if (cell["system"], cell["benchmark"]) == (system, benchmark)
    )
    return float(cell["measures"][measure]["value"])


def x100(report: str, system: str, benchmarks: tuple[str, ...], measure: str) -> str:
    """Return the mean over benchmarks as it is printed."""
    values = [measured(report, system, name, measure) for name in benchmarks]
    return f"{100 * sum(values) / len(values):.1f}"


def gain(report: str, a: str, b: str, measure: str, benchmark: str = "*") -> str:
    """Return b minus a with its interval as it is printed."""
    (test,) = (
        test
        for test in results(report)["comparisons"]
        if (test["a"], test["b"], test["measure"], test["benchmark"]) == (a, b, measure, benchmark)
    )
    difference = test["difference"]
    low, high = (f"{100 * difference[end]:.1f}" for end in ("low", "high"))
    return f"{100 * difference['value']:+.1f} [{low}, {high}]"


def share_at_three_tenths(report: str, benchmark: str) -> str:
    """Return the percentage of relevant passages among those with a relevance of 0.2 to 0.4."""
    (curve,) = (
        curve
        for curve in results(report)["reliability"]
        if (curve["system"], curve["benchmark"]) == ("ranked", benchmark)
    )
    bins = [(share, count) for mean, share, count in curve["bins"] if 0.2 <= mean < 0.4]
    return f"{100 * sum(share * count for share, count in bins) / sum(count for _, count in bins):.0f}"


@dataclass(frozen=True)
class Stated:
    """A number as it is printed, and where: (file, expression with the number as its one group)."""

    name: str
    value: str
    places: tuple[tuple[str, str], ...]


COLLECTIONS = ("trec_dl19", "trec_dl20", "nfcorpus")


def _relevance() -> list[Stated]:
    """Return what a relevance of about 0.3 means: in the README by name, in the card in a row of a table."""
    order = {
        "NQ": ("answers", "nq", r"NQ (\d+) %"),
        "DL 2019": ("ranking", "trec_dl19", r"tracks (\d+) %"),
        "DL 2020": ("ranking", "trec_dl20", r"tracks \d+ % and (\d+) %"),
        "HotpotQA": ("answers", "hotpotqa", r"HotpotQA (\d+) %"),
        "NFCorpus": ("ranking", "nfcorpus", r"NFCorpus (\d+) %"),
        "PubMedQA": ("verdicts", "pubmedqa", r"PubMedQA (\d+) %"),
        "PopQA": ("answers", "popqa", r"PopQA (\d+) %"),
    }
    return [
        Stated(
            f"{name} at 0.3",
            share_at_three_tenths(report, benchmark),
            ((README, expression), (CARD, r"\n\|" + r" \d+ % \|" * n + r" (\d+) % \|")),
        )
        for n, (name, (report, benchmark, expression)) in enumerate(order.items())
    ]


def _answers() -> list[Stated]:
    """Return the card's table of answers, and what other pages repeat of it."""
    found = []
    for system, head in (("ranked", "EM, ranked"), ("unranked", "EM, unranked")):
        for n, name in enumerate(OPEN):
            row = rf"\| {head} \|" + r" [\d.]+ \|" * n + r" ([\d.]+) \|"
            found.append(Stated(f"{name} {head}", x100("answers", system, (name,), "EM"), ((CARD, row),)))
    numbers = r"[\d.]+, [\d.]+\*? \|"
    for n, name in enumerate(OPEN):
        row = r"answer-R@5, as BM25 retrieved, ranked \| " + rf"{numbers} " * n
        before = x100("answers", "unranked", (name,), "answer-R@5")
        after = x100("answers", "ranked", (name,), "answer-R@5")
        found.append(Stated(f"{name} answer-R@5 before", before, ((CARD, row + r"([\d.]+), "),)))
        found.append(Stated(f"{name} answer-R@5 after", after, ((CARD, row + r"[\d.]+, ([\d.]+)"),)))
    together = {
        measure: [x100("answers", s, OPEN, measure) for s in ("ranked", "unranked")]
        for measure in ("EM", "answer-R@5")
    }
    found += [
        Stated(
            "EM ranked",
            together["EM"][0],
            ((CARD, r"\| EM, ranked .* ([\d.]+) \|\n"), (RESULTS, r"way: ([\d.]+) and")),
        ),
        Stated(
            "EM unranked",
            together["EM"][1],
            ((CARD, r"\| EM, unranked .* ([\d.]+): ranked"), (RESULTS, r"way: [\d.]+ and ([\d.]+)")),
        ),
        Stated(
            "R@5 ranked",
            together["answer-R@5"][0],
            (
                (CARD, r"as BM25 retrieved, ranked .* [\d.]+, ([\d.]+): \+"),
                (RESULTS, r"\(([\d.]+) % against"),
            ),
        ),
        Stated(
            "R@5 retrieved",
            together["answer-R@5"][1],
            (
                (CARD, r"as BM25 retrieved, ranked .* ([\d.]+), [\d.]+: \+"),
                (RESULTS, r"% against ([\d.]+) %"),
                ("CHANGELOG.md", r"(59\.2)"),
            ),
        ),
        Stated(
            "gain in EM", gain("answers", "unranked", "ranked", "EM"), ((CARD, r"ranked is (-[^|]+\]) \|"),)
        ),
        Stated(
            "gain in R@5",
            gain("answers", "unranked", "ranked", "answer-R@5"),
            ((CARD, r"59\.2, 63\.3: ([^|]+\])\*"),),
        ),
    ]
    return found


def _ranking() -> list[Stated]:
    """Return the collections with judgements: BM25, cross-encoder and this checkpoint."""
    titles = {"TREC DL 2019": ("trec_dl19",), "TREC DL 2020": ("trec_dl20",), "NFCorpus": ("nfcorpus",)}
    found = []
    for title, names in {**titles, "all together": COLLECTIONS}.items():
        for n, system in enumerate(("bm25", "cross-encoder", "ranked")):
            row = rf"\| {title}(?: \(\d+\))? \|" + r" [\d.]+ \|" * n + r" ([\d.]+) \|.*\*? \|"
            places = [(CARD, rf"{row}")]
            if title == "all together":
                words = {
                    "bm25": r", BM25 ([\d.]+)",
                    "cross-encoder": r"cross-encoder (\d+\.\d)",
                    "ranked": r"nDCG@10 ([\d.]+)",
                }
                places.append((RESULTS, words[system]))
            found.append(
                Stated(f"{title} {system}", x100("ranking", system, names, "nDCG@10"), tuple(places))
            )
    return found


def _verdicts() -> list[Stated]:
    systems = ("ranked", "unranked", "cross-encoder", "untuned")
    found = []
    for title, name, measure in (("FEVER", "fever", "Claim"), ("PubMedQA", "pubmedqa", "Choice")):
        for n, system in enumerate(systems):
            row = rf"\n\| {title} \|" + r" \d+ \|" * n + r" (\d+) \|"
            found.append(
                Stated(
                    f"{title} {system}",
                    f"{100 * measured('verdicts', system, name, measure):.0f}",
                    ((CARD, row),),
                )
            )
    return found


def _others() -> list[Stated]:
    ranked, unranked = (x100("hundred", system, OPEN, "EM") for system in ("ranked", "unranked"))
    page = r"Ranked ([\d.]+), unranked", r"Ranked [\d.]+, unranked ([\d.]+)"
    card = r"EM 30\.5 unranked, ([\d.]+) ranked", r"EM ([\d.]+) unranked, 30\.0 ranked"
    base = gain("fourteen", "untuned", "unranked", "F1")
    untouched = [x100("untouched", s, OPEN, m) for m in ("EM", "answer-R@5") for s in ("ranked", "unranked")]
    places = (
        (CARD, r"untouched`\) EM is ([\d.]+) ranked"),
        (CARD, r"ranked and ([\d.]+) unranked, answer"),
        (CARD, r"unranked, answer-R@5 ([\d.]+) and"),
        (CARD, r"unranked, answer-R@5 [\d.]+ and ([\d.]+):"),
    )
    return [
        *(Stated(f"untouched {n}", untouched[n], (place,)) for n, place in enumerate(places)),
        Stated("hundred, ranked", ranked, ((RESULTS, page[0]), (CARD, card[0]))),
        Stated("hundred, unranked", unranked, ((RESULTS, page[1]), (CARD, card[1]))),
        Stated("conversations", base, ((CARD, r"below the base's: ([^*]+)\*"),)),
    ]


STATED = [*_relevance(), *_answers(), *_ranking(), *_verdicts(), *_others()]


@pytest.mark.parametrize("stated", STATED, ids=lambda stated: stated.name)
def test_a_number_is_what_was_measured_wherever_it_stands(stated: Stated) -> None:
    for path, expression in stated.places:
        found = re.findall(expression, (ROOT / path).read_text(encoding="utf-8"))
        assert found, f"{path}: found no {stated.name} by {expression!r}"
        assert set(found) == {stated.value}, f"{path}: {stated.name}"


def pages() -> list[Path]:
    """Return what is read as true today: not the lab book, whose pages keep the numbers of their day."""
    cards = ROOT.glob("src/rankrag/checkpoints/*/README.md")
    docs = [path for path in ROOT.glob("docs/**/*.md") if "docs/log/" not in path.as_posix()]
    return [
        ROOT / README,
        ROOT / "CHANGELOG.md",
        *cards,
        *(path for path in docs if path.name != "report.md"),
    ]


def _everywhere() -> dict[str, str]:
    """Return what a number is called, as an expression, and the number: the same wherever it is called so."""
    em, recall = ([x100("answers", s, OPEN, m) for s in ("ranked", "unranked")] for m in ("EM", "answer-R@5"))
    mixed = [x100("mixture-600", s, OPEN, "EM") for s in ("ranked-mixture", "unranked")]
    deep = {s: x100("ranking", s, ("trec_dl19",), "nDCG@10") for s in ("ranked", "bm25")}
    return {
        r"nDCG@10 ([\d.]+) on TREC DL 2019": deep["ranked"],
        r"nDCG@10 on\s+TREC\s+DL 2019 ([\d.]+)": deep["ranked"],
        r"nDCG@10 on TREC DL 2019 [\d.]+ \(BM25 ([\d.]+)\)": deep["bm25"],
        r"without MS MARCO, (\d+\.\d)": deep["ranked"],
        r"answer-R@5 of four\s+benchmarks ([\d.]+)": recall[0],
        r"benchmarks [\d.]+ \(BM25 ([\d.]+)\)": recall[1],
        r"EM ([\d.]+) with ranking": em[0],
        r"EM [\d.]+ with ranking and ([\d.]+) without": em[1],
        r"ranking than without: ([\d.]+) exact": mixed[0],
        r"open questions, and ([\d.]+) in BM25's": mixed[1],
        r"right for (\d+) of 100 open questions": f"{float(mixed[0]):.0f}",
        r"MiniLM-L6 ([\d.]+)\*": "74.3",
        r"\*([\d.]+)\* \(100 candidates": "74.3",
    }


@pytest.mark.parametrize(("expression", "value"), _everywhere().items())
def test_a_number_that_has_a_name_is_the_same_on_every_page(expression: str, value: str) -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), said)
        for path in pages()
        for said in re.findall(expression, path.read_text(encoding="utf-8"))
    }
    assert found, f"no page says {expression!r}"
    assert {said for _, said in found} == {value}, sorted(found)


ANSWERS = {
    "untouched": ["answers"],
    "retrieval": [],
}
"""Packed answers of reports that have none under their own name; `retrieval` is BM25 alone."""


REPORTS = sorted(path.parent.name for path in ROOT.glob("docs/results/*/results.json"))


def test_every_report_has_answers_on_file() -> None:
    packed = {path.name.split(".")[0] for path in (ROOT / "benchmarks" / "answers").glob("*.jsonl.xz")}
    assert {name for report in REPORTS for name in ANSWERS.get(report, [report])} == packed
    assert ANSWERS.keys() <= {*REPORTS}


@pytest.mark.slow
@pytest.mark.parametrize("report", REPORTS)
def test_the_answers_of_every_report_are_kept(report: str) -> None:
    """Each system and benchmark of a report has answers of the same weights on file."""
    kept = set()
    for name in ANSWERS.get(report, [report]):
        with lzma.open(ROOT / "benchmarks" / "answers" / f"{name}.jsonl.xz", "rt") as lines:
            facts = (json.loads(line)["facts"] for line in lines if line.startswith('{"folder"'))
            kept |= {
                (one["benchmark"], one["system"]["facts"].get("model_sha256"), one["system"]["ranker"])
                for one in facts
            }
    systems = {system["name"]: system for system in results(report)["systems"]}
    wanted = {
        (
            cell["benchmark"],
            systems[cell["system"]]["facts"].get("model_sha256"),
            systems[cell["system"]]["ranker"],
        )
        for cell in results(report)["cells"]
    }
    assert wanted <= kept or report == "retrieval"


def test_the_page_of_benchmarks_is_the_table() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == PAPER.keys()
    for name, row in rows.items():
        benchmark = BENCHMARKS[name]
        split, _, measures, tokens, *_ = (cell.strip() for cell in row.split("|"))
        assert measures == ", ".join(benchmark.measures)
        assert int(tokens) == benchmark.max_tokens
        assert benchmark.paper is not None
        assert f"{benchmark.paper.size:,}" in split or name == "2wiki", "2Wiki's split is not stated"
