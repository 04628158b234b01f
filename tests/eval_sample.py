"""A sample of `Results` as an evaluation makes them, drawn from a seed: for tests and for looking at."""

from __future__ import annotations

import random
from dataclasses import replace

from rankrag.eval.results import (
    BenchmarkFacts,
    Cell,
    Comparison,
    Curve,
    QuestionRow,
    Reliability,
    Results,
    ShownAnswer,
    System,
    Value,
)

BENCHMARKS = {
    "nq": ("NQ", "open", ("EM", "F1")),
    "triviaqa": ("TriviaQA", "open", ("EM", "Acc")),
    "popqa": ("PopQA", "open", ("EM", "Acc")),
    "hotpotqa": ("HotpotQA", "open", ("EM", "F1")),
    "2wiki": ("2WikiMultihopQA", "open", ("EM", "F1")),
    "fever": ("FEVER", "fact", ("Claim",)),
    "doc2dial": ("Doc2Dial", "conversation", ("F1",)),
    "topiocqa": ("TopiOCQA", "conversation", ("F1",)),
    "inscit": ("INSCIT", "conversation", ("F1",)),
    "mmlu_med": ("MMLU-Med", "biomedical", ("Choice",)),
    "pubmedqa": ("PubMedQA", "biomedical", ("Choice",)),
    "bioasq": ("BioASQ yes/no", "biomedical", ("Choice",)),
    "medqa": ("MedQA", "biomedical", ("Choice",)),
    "medmcqa": ("MedMCQA", "biomedical", ("Choice",)),
    "squad": ("SQuAD", "open", ("EM", "F1")),
    "nfcorpus": ("NFCorpus", "own", ()),
}
"""Name to title, family and answer measures; the last is a collection: nothing is answered there."""

PLAIN, CROSS, RANKRAG, CLOSED = "BM25", "BM25 + cross-encoder", "BM25 + RankRAG", "closed book"

LEVEL = {CLOSED: 0.12, PLAIN: 0.25, CROSS: 0.31, RANKRAG: 0.42}
"""What each system is drawn around."""

WORDS = "the river city king of in music born season film which county was album a by team".split()


def value(middle: float, n: int, units: int | None = None, most: float = 1.0) -> Value:
    """Return a value with a plausible interval."""
    spread = 1.96 * (max(middle * (most - middle), 0.01) / n) ** 0.5
    return Value(middle, max(0.0, middle - spread), min(most, middle + spread), n, units or n)


def systems() -> tuple[System, ...]:
    facts = {"checkpoint": "sha256 9f2c41d07ab3", "template": "rankrag 5d1e0c", "device": "CPU, 2 cores"}
    lm = "rankrag-smollm2-135m"
    return (
        System(CLOSED, "none", "", 0, 0, None, lm, facts=facts),
        System(PLAIN, "bm25", "wiki2015 + gold", 100, 5, None, lm, facts=facts),
        System(
            CROSS, "bm25", "wiki2015 + gold", 100, 5, "ms-marco-MiniLM-L6", lm, facts={**facts, "torch": "2"}
        ),
        System(RANKRAG, "bm25", "wiki2015 + gold", 100, 5, lm, lm, facts=facts),
    )


def sample(n: int = 4, seed: int = 0) -> Results:
    """Return results with `n` questions in the browser for each benchmark; figures are over 50."""
    rng = random.Random(seed)
    cells = tuple(
        cell(one, name, rng) for name in BENCHMARKS for one in systems() if name != "nfcorpus" or one.ranker
    )
    return Results(
        title="RankRAG 135M on the paper's benchmarks",
        created="2025-06-01T12:00:00+00:00",
        command="rankrag eval report runs/bm25 runs/cross runs/rankrag --out report",
        systems=systems(),
        benchmarks=tuple(
            BenchmarkFacts(name, title, family, measures, NOTES.get(name, ""))
            for name, (title, family, measures) in BENCHMARKS.items()
        ),
        cells=cells,
        comparisons=comparisons(cells, rng),
        curves=curves(rng),
        reliability=(
            Reliability(
                RANKRAG,
                "nq",
                tuple(((k + 0.5) / 10, 0.8 * (k + 0.5) / 10, 4000 >> k) for k in range(10)),
                value(0.11, 50),
                value(0.08, 50),
            ),
        ),
        questions=tuple(questions(n, rng)),
        missing=(
            "All of Wikipedia: answers are looked for in a part of the 2015 dump with 658,659 passages.",
            "The KILT splits of NQ and TriviaQA: these are questions of the public test sets.",
        ),
    )


def few() -> Results:
    """Return a sample with little to draw: one plot of each kind."""
    whole = sample(2)
    return replace(whole, comparisons=whole.comparisons[:3], curves=whole.curves[:2])


NOTES = {
    "nq": "A random half of the public test set.",
    "topiocqa": "683 of 2,514 turns have their article in the corpus.",
}


def cell(one: System, name: str, rng: random.Random) -> Cell:
    base = min(0.9, LEVEL[one.name] + rng.uniform(-0.06, 0.06))
    units = 11 if BENCHMARKS[name][1] == "conversation" else None
    measures = {
        measure: value(min(0.95, base + 0.08 * k), 50, units) for k, measure in enumerate(BENCHMARKS[name][2])
    }
    if one.retriever != "none":
        measures |= rankings(one, name, base)
    if one.ranker:
        measures |= {"coverage": value(0.86, 50), "aurc": value(0.52, 50), "ece": value(0.11, 40)}
        measures |= {"citation_precision": value(0.61, 44), "brier": value(0.08, 40)}
    seconds = {"generate": value(1.91, 50, most=9)}
    if one.retriever != "none":
        seconds["retrieve"] = value(0.0123, 50, most=1)
    if one.ranker:
        seconds["rank"] = value(4.7 if one.name == RANKRAG else 2.13, 50, most=20)
    missing = 3 if (one.name, name) == (CROSS, "nq") else 0
    data = f"{rng.getrandbits(256):064x}"
    n_ranked = 60.5 if one.ranker else 0.0
    return Cell(one.name, name, measures, seconds, 50, 1825, missing, data, ranked=n_ranked)


def rankings(one: System, name: str, base: float) -> dict[str, Value]:
    """Return what is measured of the orders: `retrieved` before the ranker, without a prefix after it."""
    found = {}
    names = [f"R@{k}" for k in (5, 10, 20)] + ["nDCG@10", "RR@10"]
    if BENCHMARKS[name][1] == "open":
        names += [f"answer-R@{k}" for k in (5, 10, 20)]
    if name in ("triviaqa", "topiocqa") or BENCHMARKS[name][1] == "biomedical":
        return {}
    for k, measure in enumerate(names):
        found[f"retrieved {measure}"] = value(0.38 + 0.04 * (k % 3), 40)
        found[measure] = (
            value(base + 0.2 + 0.05 * (k % 3), 40) if one.ranker else found[f"retrieved {measure}"]
        )
    return found


def comparisons(cells: tuple[Cell, ...], rng: random.Random) -> tuple[Comparison, ...]:
    by_place = {(one.system, one.benchmark): one.measures for one in cells}
    found = []
    for a, b in ((PLAIN, RANKRAG), (CROSS, RANKRAG)):
        for name, (_, _, measures) in BENCHMARKS.items():
            for measure in measures[:1]:
                difference = by_place[b, name][measure].value - by_place[a, name][measure].value
                p = min(1.0, 0.4 * 2 ** (-40 * abs(difference)) + rng.uniform(0, 0.002))
                spread = Value(difference, difference - 0.11, difference + 0.11, 50, 50)
                p_holm = min(1.0, p * 8)
                found.append(Comparison(name, measure, a, b, spread, p, p_holm, 0.157, 14, 30, 6))
        pooled = Value(0.121, 0.08, 0.16, 250, 250)
        found.append(Comparison("*", "EM", a, b, pooled, 0.0002, 0.004, 0.05, 60, 160, 30))
    return tuple(found)


def curves(rng: random.Random) -> tuple[Curve, ...]:
    depths = (5.0, 10.0, 20.0, 50.0, 100.0)

    def line(
        one: str, name: str, measure: str, x_name: str, ys: dict[float, float], most: float = 1.0
    ) -> Curve:
        return Curve(one, name, measure, x_name, tuple((x, value(y, 50, most=most)) for x, y in ys.items()))

    return (
        *(
            line(one, "nq", "EM", "retrieve_k", {x: LEVEL[one] + 0.02 * k for k, x in enumerate(depths)})
            for one in (PLAIN, CROSS, RANKRAG)
        ),
        line(RANKRAG, "nq", "EM", "read_k", {x: 0.3 + rng.uniform(0, 0.1) for x in (1.0, 3.0, 5.0, 10.0)}),
        line(RANKRAG, "*", "EM", "ranking pairs", {0.0: 0.2, 5e3: 0.27, 1e4: 0.3, 5e4: 0.33}),
        line(RANKRAG, "nq", "rank seconds", "retrieve_k", {x: 0.047 * x for x in depths}, most=20),
        line(CROSS, "nq", "rank seconds", "retrieve_k", {x: 0.021 * x for x in depths}, most=20),
    )


def questions(n: int, rng: random.Random) -> list[QuestionRow]:
    """Return questions of which the first ones differ between the systems."""

    def text(k: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(k))

    rows = []
    for name, (_, _, measures) in BENCHMARKS.items():
        for k in range(n if measures else 0):
            passages = tuple((text(2).title(), text(40)) for _ in range(8))
            given = {
                one.name: ShownAnswer(
                    text(4),
                    {measure: float(rng.random() < LEVEL[one.name]) for measure in measures}
                    | ({"answer-R@5": float(rng.random() < 0.6)} if one.retriever != "none" else {}),
                    tuple(rng.sample(passages, 5)) if one.retriever != "none" else (),
                )
                for one in systems()
            }
            rows.append(QuestionRow(name, f"{name}-{k}", f"{text(9)}?".capitalize(), (text(2),), given))
    return rows
