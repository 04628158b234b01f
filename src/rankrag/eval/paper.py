"""The numbers that the paper prints, as data: quoted beside what is measured, never mixed with it.

Everything is in the digits of arXiv 2407.02485 (percent, as printed). The models have 8 to 70 billion
parameters and read from all of Wikipedia, so a quoted row says where the paper stands, not what a smaller
system with a smaller corpus and sample should reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SOURCE = "https://arxiv.org/abs/2407.02485"

AVERAGE_AGREES = 0.1
"""Printed averages closer than this to the mean of their row agree with it (52.66 is printed as 52.6)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of the paper: benchmark and measure by their names here, title as printed."""

    benchmark: str
    measure: str
    title: str


@dataclass(frozen=True, slots=True)
class Printed:
    """A row of a table of the paper: a value in percent for each column (None: not reported)."""

    system: str
    values: tuple[float | None, ...]
    average: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of the paper, or those of its rows that are quoted; `digits` is its number of decimals."""

    number: int
    columns: tuple[Column, ...]
    rows: tuple[Printed, ...]
    digits: int = 1


def headline(columns: Sequence[Column]) -> list[int]:
    """Return the positions of the first column of each benchmark: those that an average is over."""
    names = [column.benchmark for column in columns]
    return [n for n, name in enumerate(names) if name not in names[:n]]


def mean(table: PaperTable, row: Printed) -> float | None:
    """Return the mean of a row's headline measures, None if one of them was not reported."""
    values = [row.values[n] for n in headline(table.columns)]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def average_agrees(table: PaperTable, row: Printed) -> bool:
    """Say whether the printed average is the mean of the row; eight of Table 2's rows print another."""
    average = mean(table, row)
    return row.average is None or average is None or abs(average - row.average) < AVERAGE_AGREES


def _table(
    number: int,
    columns: tuple[Column, ...],
    printed: Mapping[str, str],
    digits: int = 1,
    notes: Mapping[str, str] | None = None,
) -> PaperTable:
    """Return a table from the digits of its rows as they stand in the paper, with notes on some of them."""
    rows = (_row(name, cells, len(columns), (notes or {}).get(name, "")) for name, cells in printed.items())
    return PaperTable(number, columns, tuple(rows), digits)


def _row(system: str, printed: str, columns: int, note: str) -> Printed:
    """Return a row from its digits: `50.6 82.9/89.5 … 52.6`, average last where there is one."""
    values = [
        None if figure == "-" else float(figure) for cell in printed.split() for figure in cell.split("/")
    ]
    average = values[columns] if len(values) > columns else None
    if len(values) not in (columns, columns + 1):
        raise ValueError(f"found {len(values)} values for {system!r}, wanted {columns} and an average")
    return Printed(system, tuple(values[:columns]), average, note)


def _columns(spec: Mapping[str, tuple[str, Sequence[str]]]) -> tuple[Column, ...]:
    """Return columns from benchmark name to (title, measures)."""
    return tuple(Column(name, measure, title) for name, (title, all_) in spec.items() for measure in all_)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────

MAIN_COLUMNS = _columns(
    {
        "nq": ("NQ", ["EM"]),
        "triviaqa": ("TriviaQA", ["EM", "Acc"]),
        "popqa": ("PopQA", ["EM", "Acc"]),
        "hotpotqa": ("HotpotQA", ["EM", "F1"]),
        "2wiki": ("2Wiki", ["EM", "F1"]),
        "fever": ("FEVER", ["Claim"]),
        "doc2dial": ("Doc2Dial", ["F1"]),
        "topiocqa": ("TopiOCQA", ["F1"]),
        "inscit": ("INSCIT", ["F1"]),
    }
)
"""The columns of Tables 2 and 3; the average is over the first measure of each of the nine."""

SPLITS: Mapping[str, str] = {
    "nq": "KILT, 2,837 questions",
    "triviaqa": "KILT, 5,355 questions",
    "popqa": "long tail, 1,399 questions",
    "hotpotqa": "KILT",
    "2wiki": "split not stated",
    "fever": "KILT",
    "doc2dial": "test, 3,939 turns",
    "topiocqa": "dev, 2,514 turns",
    "inscit": "dev, 502 turns",
    "mmlu_med": "MIRAGE, 1,089 questions",
    "pubmedqa": "MIRAGE, 500 questions (the paper's appendix says 1,000)",
    "bioasq": "MIRAGE, 618 questions",
    "medqa": "MIRAGE, 1,273 questions",
    "medmcqa": "MIRAGE, 4,183 questions",
}
"""What the paper's numbers are over (section 5.1, appendix A).

On DPR's split of the same questions the same model gets 46.1 instead of 50.6 on NQ and 68.8 instead of
82.9 on TriviaQA (Table 9), so a number without its split says little.
"""

MAIN = _table(
    2,
    MAIN_COLUMNS,
    {
        "GPT-4-0613, no retrieval": "40.3 84.8/94.5 31.3/34.8 34.5/46.9 29.8/36.6 87.7 27.6 30.1 27.0 42.0",
        "GPT-4-0613": "40.4 75.0/88.5 44.3/61.4 27.6/38.1 14.4/17.6 92.6 34.2 45.1 36.4 43.5",
        "Llama3-Instruct 8B": "30.9 70.7/80.4 34.9/55.8 26.0/35.8 9.6/25.2 88.9 33.6 44.9 32.6 40.8",
        "Llama3-Instruct 70B": "42.7 82.4/89.3 45.3/56.4 35.5/43.3 13.5/27.9 91.4 37.9 49.7 36.2 47.1",
        "ChatQA-1.5 8B": "42.4 81.0/87.6 52.6/59.8 33.4/44.6 26.8/31.9 90.9 39.3 49.9 30.1 49.6",
        "ChatQA-1.5 70B": "47.0 85.6/91.4 50.9/58.3 42.2/54.4 34.9/37.4 92.7 41.3 55.6 32.3 53.6",
        "RankRAG 8B": "50.6 82.9/89.5 57.6/64.1 35.3/46.7 31.4/36.9 92.0 40.4 50.4 33.3 52.6",
        "RankRAG 70B": "54.2 86.5/92.3 59.9/65.4 42.7/55.4 38.2/43.9 93.8 41.5 52.8 35.2 56.1",
    },
)
"""Table 2: systems of today with retrieval, and one without."""

ABLATION = _table(
    3,
    MAIN_COLUMNS,
    {
        "RankRAG 8B": "50.6 82.9/89.5 57.6/64.1 35.3/46.7 31.4/36.9 92.0 40.4 50.4 33.3 52.6",
        "without ranking": "48.0 80.3/86.8 49.3/59.0 31.3/41.6 26.4/30.5 91.1 39.7 49.4 30.9 49.8",
        "without retrieval-augmented QA data": (
            "49.4 82.0/88.9 55.1/62.9 35.6/45.9 31.8/37.5 92.1 39.4 46.8 32.4 51.6"
        ),
        "without retrieval-augmented ranking data": (
            "48.6 82.2/89.1 56.0/62.6 35.1/45.2 31.2/35.7 91.4 39.6 48.6 33.5 51.8"
        ),
        "with RAFT": "43.3 80.8/87.6 48.9/56.3 30.5/41.8 25.2/29.6 91.2 36.8 46.4 30.1 48.1",
        "stage I only": "38.3 63.7/76.6 49.8/54.6 26.5/40.3 18.0/25.9 85.7 33.3 33.7 30.5 42.2",
    },
)
"""Table 3. No row of it leaves out the pointwise ranking data, or stage I."""

OTHER_BASES = _table(
    4,
    MAIN_COLUMNS,
    {
        "ChatQA-1.0 7B": "41.4 77.8/86.5 46.7/55.0 28.9/40.3 24.0/27.5 85.9 37.9 45.5 31.0 46.6",
        "ChatQA-1.0 13B": "47.9 80.9/87.6 51.8/56.2 32.9/43.2 27.6/31.1 87.6 38.1 48.9 30.8 49.6",
        "ChatQA-1.0 70B": "49.5 83.2/89.7 52.1/56.6 39.0/49.4 28.9/34.1 91.7 38.9 51.0 31.9 51.8",
        "RankRAG 7B": "46.9 84.0/89.6 55.9/61.3 32.2/43.2 26.8/30.7 86.6 38.6 49.2 32.3 50.3",
        "RankRAG 13B": "50.5 84.5/91.0 58.0/63.9 36.4/47.3 29.5/34.2 91.7 39.5 49.2 33.4 52.5",
        "RankRAG 70B": "53.2 85.8/92.1 58.7/64.5 41.8/53.1 33.8/38.8 91.9 41.2 52.9 35.8 55.0",
    },
)
"""Table 4, without the row of Llama2-70B, which has two values: NQ 25.3, TriviaQA 82.4."""

DPR_SPLITS = _table(
    9,
    _columns({"nq": ("NQ", ["EM"]), "triviaqa": ("TriviaQA", ["EM", "Acc"])}),
    {
        "GPT-3.5-0613, no retrieval": "35.2 70.1/81.3",
        "GPT-3.5-0613": "42.3 65.8/76.7",
        "GPT-4-0613, no retrieval": "37.2 72.6/85.1",
        "GPT-4-0613": "36.2 61.2/75.9",
        "GPT-4-turbo, no retrieval": "38.3 68.0/84.5",
        "GPT-4-turbo": "36.3 57.6/79.2",
        "Llama2-Chat 70B": "37.7 65.6/-",
        "ChatQA-1.0 7B": "37.0 62.4/74.3",
        "ChatQA-1.0 13B": "43.9 66.6/76.9",
        "ChatQA-1.0 70B": "45.0 69.8/80.2",
        "RankRAG 7B": "42.4 68.3/78.9",
        "RankRAG 13B": "46.2 69.5/80.0",
        "RankRAG 70B, Llama 2": "48.7 72.3/82.6",
        "Llama3-Instruct 8B": "27.6 57.1/74.6",
        "Llama3-Instruct 70B": "37.3 67.6/79.6",
        "ChatQA-1.5 8B": "44.1 65.4/75.8",
        "ChatQA-1.5 70B": "46.0 69.0/80.4",
        "RankRAG 8B": "46.1 68.8/79.9",
        "RankRAG 70B": "50.0 72.6/82.9",
    },
)
"""Table 9: test questions of open NQ (3,610) and TriviaQA (11,316, as the paper says)."""

BIOMEDICAL_COLUMNS = _columns(
    {
        "mmlu_med": ("MMLU-med", ["Choice"]),
        "pubmedqa": ("PubMedQA", ["Choice"]),
        "bioasq": ("BioASQ", ["Choice"]),
        "medqa": ("MedQA", ["Choice"]),
        "medmcqa": ("MedMCQA", ["Choice"]),
    }
)

BIOMEDICAL = _table(
    5,
    BIOMEDICAL_COLUMNS,
    {
        "GPT-4-0613": "87.24 70.60 92.56 82.80 66.65 79.97",
        "ChatQA-1.5 8B": "61.40 66.40 82.69 42.36 46.97 59.96",
        "ChatQA-1.5 70B": "80.51 74.80 83.17 68.89 62.54 73.98",
        "RankRAG 8B": "64.55 65.00 84.44 48.86 56.90 63.95",
        "RankRAG 70B": "81.44 79.80 90.76 69.21 69.11 78.06",
    },
    digits=2,
)
"""Table 5: MIRAGE with the MedCPT retriever over MedCorp."""

# ── ranking ──────────────────────────────────────────────────────────────────────────────────────────

_RECALL = ["answer-R@5", "answer-R@10", "answer-R@20"]

RANKING_COLUMNS = _columns(
    {
        "nq": ("NQ", _RECALL),
        "triviaqa": ("TriviaQA", _RECALL),
        "popqa": ("PopQA", _RECALL),
        "hotpotqa": ("HotpotQA", _RECALL),
        "inscit": ("INSCIT", _RECALL),
    }
)
"""INSCIT's is recall of gold passages: its Dragon row is that of ChatQA's Table 1 (arXiv 2401.10225)."""

RANKING = _table(
    6,
    RANKING_COLUMNS,
    {
        "Dragon, as retrieved": "74.9/80.3/84.3 89.0/92.9/95.3 69.6/76.9/82.6 47.5/52.4/60.1 43.4/56.0/64.9",
        "RankBERT 110M": "73.5/79.3/84.0 88.4/92.0/95.5 78.7/82.8/85.5 54.6/59.8/63.7 45.6/57.1/66.7",
        "monoT5 3B": "75.6/80.9/84.9 90.7/93.6/95.9 81.0/83.6/85.9 54.8/60.2/63.3 48.6/59.4/68.8",
        "BGE-reranker-v2-m3 568M": (
            "78.0/82.8/85.6 91.6/94.5/97.1 79.6/84.5/86.9 58.5/61.8/65.0 51.3/59.8/69.7"
        ),
        "RankLLaMA 8B": "77.8/83.1/86.0 91.2/93.1/96.4 80.1/84.3/86.8 57.1/62.1/64.8 57.8/62.1/71.3",
        "ChatQA-1.5 8B": "68.2/75.7/82.0 85.4/91.1/94.0 67.3/76.7/83.5 37.4/45.0/53.6 32.3/42.6/54.9",
        "GPT-3.5": "77.8/82.5/85.7 91.1/94.4/96.7 77.4/82.0/85.5 52.1/56.6/62.4 50.2/59.1/68.6",
        "GPT-4": "79.3/83.2/85.1 92.8/95.5/96.8 79.3/83.6/86.2 53.2/57.0/61.0 52.3/61.7/70.0",
        "RankRAG 8B": "80.3/84.0/86.3 93.2/95.4/97.3 81.6/84.9/87.0 57.6/61.8/65.2 60.9/65.7/73.5",
        "RankRAG 70B": "80.6/84.0/85.4 93.6/95.9/97.1 81.8/84.6/86.5 56.3/59.7/62.2 61.3/66.4/74.6",
    },
    notes=dict.fromkeys(("GPT-4", "RankRAG 70B"), "ranks the first 30 only"),
)
"""Table 6: the first 100 passages of Dragon in a new order, unless the note says otherwise."""

RETRIEVER_COLUMNS = RANKING_COLUMNS[:9]

RETRIEVERS = _table(
    8,
    RETRIEVER_COLUMNS,
    {
        "DPR, as retrieved": "69.50/76.20/81.00 67.80/74.20/80.30 43.60/48.90/54.25",
        "DPR, ranked": "77.95/81.70/84.56 77.73/79.40/84.74 50.32/53.75/57.76",
        "Contriever, as retrieved": "67.60/75.24/80.67 81.95/86.76/90.08 60.61/65.54/69.90",
        "Contriever, ranked": "75.32/80.18/84.70 88.71/90.05/92.59 65.11/68.41/71.77",
    },
    digits=2,
)
"""Table 8."""

TABLES: Mapping[str, PaperTable] = {
    "Answers": MAIN,
    "What each part is worth (RankRAG 8B)": ABLATION,
    "Other base models (Llama 2)": OTHER_BASES,
    "Biomedical multiple choice": BIOMEDICAL,
    "Ranking": RANKING,
    "Other retrievers (RankRAG 8B)": RETRIEVERS,
    "Answers on DPR's splits of the questions": DPR_SPLITS,
}
"""Every table that is quoted, by what it is about, in the paper's order."""
