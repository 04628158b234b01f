"""The benchmarks: how each is asked and measured, where its files come from, and what the paper used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..types import Style

FINDABLE: frozenset[Style] = frozenset({"phrase", "span", "plain", "span_or_full"})
"""Styles whose gold answers are strings to look for in a passage: no verdicts, letters or sentences."""

Family = Literal["open", "fact", "conversation", "biomedical", "own", "ranking"]
"""Open questions, claims, conversations, MIRAGE's choices, a user's own, or a ranking collection."""

FileFormat = Literal[
    "neutral",
    "neutral_test",
    "kilt",
    "dpr",
    "nq_open",
    "hotpotqa",
    "musique",
    "fever",
    "chatrag",
    "doc2dial",
    "topiocqa",
    "inscit",
    "popqa",
    "mirage",
    "pubmedqa",
]
"""The format of a file of questions with gold; `readers/` has a file for each family of them."""


@dataclass(frozen=True, slots=True)
class PaperSetting:
    """What arXiv 2407.02485 used: split, number of questions, corpus (section 5.1, appendix A).

    `retrieve_k` is its N for the 8B model (30 for the 70B one). Its k it does not state for each: 5 "already
    works well"; TopiOCQA and INSCIT get the 20 of ChatQA (arXiv 2401.10225), whose set-up it takes.
    """

    split: str
    size: int
    corpus: str
    retrieve_k: int = 100
    read_k: int = 5


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Questions and gold under a name, and how they are asked and measured.

    `measures` are names of answer measures, the headline first. `files` are (path below a data root,
    format), the first that exists is read: official full sets stand before others.
    `source` says how to get the full official set. `note` says what a reader of its numbers must know.
    """

    name: str
    title: str
    family: Family
    style: Style
    measures: tuple[str, ...]
    max_tokens: int
    files: tuple[tuple[str, FileFormat], ...] = ()
    paper: PaperSetting | None = None
    source: str = ""
    note: str = ""


_DPR_WIKIPEDIA = "Wikipedia, December 2018"
"""DPR's dump, 21 million passages of 100 words; KILT's own dump is of August 2019."""

_MIRAGE_SOURCE = "github.com/Teddy-XiongGZ/MIRAGE (benchmark.json)"


def _choices(
    name: str, title: str, official: PaperSetting, *files: tuple[str, FileFormat], note: str = ""
) -> Benchmark:
    """Return one of MIRAGE's five: multiple choice, all tasks in one official file."""
    every: tuple[tuple[str, FileFormat], ...] = (("benchmark.json", "mirage"), *files)
    return Benchmark(
        name, title, "biomedical", "choice", ("Choice",), 8, every, official, _MIRAGE_SOURCE, note
    )


_PAPER_ROWS = (
    Benchmark(
        name="nq",
        title="NQ",
        family="open",
        style="phrase",
        measures=("EM",),
        max_tokens=32,
        files=(
            ("nq-dev-kilt.jsonl", "kilt"),
            ("nq-test.qa.csv", "dpr"),
            ("NQ-open.dev.jsonl", "nq_open"),
            ("nq.jsonl", "neutral"),
        ),
        paper=PaperSetting("KILT dev", 2837, _DPR_WIKIPEDIA),
        source=(
            "KILT: dl.fbaipublicfiles.com/KILT/nq-dev-kilt.jsonl; DPR's split: nq-test.qa.csv of "
            "facebookresearch/DPR"
        ),
        note=(
            "A KILT and a DPR split exist, and the paper's gain differs between them: name the file. "
            "In-domain, not zero-shot, for rankrag-135m and whatever else was taught with training "
            "questions of NQ (QED, NQ-open, AmbigNQ)."
        ),
    ),
    Benchmark(
        name="triviaqa",
        title="TriviaQA",
        family="open",
        style="phrase",
        measures=("EM", "Acc"),
        max_tokens=32,
        files=(
            ("triviaqa-dev-kilt.jsonl", "kilt"),
            ("trivia-test.qa.csv", "dpr"),
            ("triviaqa.jsonl", "neutral"),
        ),
        paper=PaperSetting("KILT dev", 5355, _DPR_WIKIPEDIA),
        source=(
            "KILT: dl.fbaipublicfiles.com/KILT/triviaqa-dev_id-kilt.jsonl with the texts of "
            "nlp.cs.washington.edu/triviaqa; DPR's split: trivia-test.qa.csv"
        ),
    ),
    Benchmark(
        name="popqa",
        title="PopQA",
        family="open",
        style="phrase",
        measures=("EM", "Acc"),
        max_tokens=32,
        files=(("popQA.tsv", "popqa"), ("popqa.jsonl", "neutral")),
        paper=PaperSetting("long tail, below 100 views a month", 1399, "Wikipedia, December 2020"),
        source="github.com/AlexTMallen/adaptive-retrieval (data/popQA.tsv)",
        note="The paper takes the rare entities; a sample at hand may not.",
    ),
    Benchmark(
        name="hotpotqa",
        title="HotpotQA",
        family="open",
        style="phrase",
        measures=("EM", "F1"),
        max_tokens=32,
        files=(
            ("hotpotqa-dev-kilt.jsonl", "kilt"),
            ("hotpot_dev_fullwiki_v1.json", "hotpotqa"),
            ("hotpotqa.jsonl", "neutral"),
        ),
        paper=PaperSetting("KILT dev", 5600, _DPR_WIKIPEDIA),
        source="KILT: dl.fbaipublicfiles.com/KILT/hotpotqa-dev-kilt.jsonl; hotpotqa.github.io",
    ),
    Benchmark(
        name="2wiki",
        title="2Wiki",
        family="open",
        style="phrase",
        measures=("EM", "F1"),
        max_tokens=32,
        files=(("2wikimultihopqa-dev.json", "hotpotqa"), ("2wiki.jsonl", "neutral")),
        paper=PaperSetting("dev, split not stated", 12576, _DPR_WIKIPEDIA),
        source="github.com/Alab-NII/2wikimultihop",
        note="The paper gives no prompt for it; it is asked like HotpotQA.",
    ),
    Benchmark(
        name="fever",
        title="FEVER",
        family="fact",
        style="true_false",
        measures=("Claim",),
        max_tokens=8,
        files=(
            ("fever-dev-kilt.jsonl", "kilt"),
            ("paper_dev.jsonl", "fever"),
            ("fever_claims.jsonl", "neutral"),
        ),
        paper=PaperSetting("KILT dev, two labels", 10444, "not stated"),
        source="KILT: dl.fbaipublicfiles.com/KILT/fever-dev-kilt.jsonl; fever.ai",
        note="Claims without enough information are dropped, as in the paper.",
    ),
    Benchmark(
        name="doc2dial",
        title="Doc2Dial",
        family="conversation",
        style="full",
        measures=("F1",),
        max_tokens=128,
        files=(
            ("doc2dial/test.json", "chatrag"),
            ("doc2dial_rc_val.csv", "doc2dial"),
            ("doc2dial.jsonl", "neutral"),
        ),
        paper=PaperSetting("test, 719 dialogues", 3939, "its own documents"),
        source="huggingface.co/datasets/nvidia/ChatRAG-Bench; doc2dial.github.io",
        note="Gold is the grounding span, not the agent's own words.",
    ),
    Benchmark(
        name="topiocqa",
        title="TopiOCQA",
        family="conversation",
        style="span_or_full",
        measures=("F1",),
        max_tokens=128,
        files=(
            ("topiocqa/dev.json", "chatrag"),
            ("topiocqa_dev.json", "topiocqa"),
            ("topiocqa.jsonl", "neutral"),
        ),
        paper=PaperSetting("dev, 205 conversations", 2514, "Wikipedia", read_k=20),
        source="huggingface.co/datasets/nvidia/ChatRAG-Bench; mcgill-nlp.github.io/topiocqa",
        note="The paper scores against four answers; the official dev file holds one.",
    ),
    Benchmark(
        name="inscit",
        title="INSCIT",
        family="conversation",
        style="full",
        measures=("F1",),
        max_tokens=128,
        files=(("inscit/dev.json", "chatrag"), ("inscit.jsonl", "neutral")),
        paper=PaperSetting("dev, 86 conversations", 502, "Wikipedia", read_k=20),
        source="huggingface.co/datasets/nvidia/ChatRAG-Bench; github.com/ellenmellon/INSCIT",
    ),
    _choices(
        "mmlu_med",
        "MMLU-Med",
        PaperSetting("MIRAGE, six subjects", 1089, "MedCorp"),
        ("mmlu_med.jsonl", "neutral"),
        note="The paper gives no prompt for it.",
    ),
    _choices(
        "pubmedqa",
        "PubMedQA",
        PaperSetting("MIRAGE's PubMedQA*", 500, "MedCorp"),
        ("ori_pqal.json", "pubmedqa"),
        ("pubmedqa.jsonl", "neutral_test"),
        note="Only the official test split of 500; the paper's appendix says 1,000, MIRAGE 500.",
    ),
    _choices(
        "bioasq",
        "BioASQ",
        PaperSetting("MIRAGE's yes/no questions", 618, "MedCorp"),
        ("bioasq_yn.jsonl", "neutral"),
    ),
    _choices(
        "medqa",
        "MedQA",
        PaperSetting("MIRAGE, US, four options", 1273, "MedCorp"),
        ("medqa.jsonl", "neutral"),
    ),
    _choices(
        "medmcqa", "MedMCQA", PaperSetting("MIRAGE, dev", 4183, "MedCorp"), ("medmcqa.jsonl", "neutral")
    ),
)

_OTHER_ROWS = (
    Benchmark(
        name="musique",
        title="MuSiQue",
        family="open",
        style="phrase",
        measures=("EM", "F1"),
        max_tokens=32,
        files=(("musique_ans_v1.0_dev.jsonl", "musique"), ("musique.jsonl", "neutral")),
        source="github.com/StonyBrookNLP/musique",
        note="Not among the paper's fourteen.",
    ),
    Benchmark(
        name="fever_symmetric",
        title="FEVER-Symmetric",
        family="fact",
        style="true_false",
        measures=("Claim",),
        max_tokens=8,
        files=(("fever_symmetric.jsonl", "neutral"),),
        source="github.com/TalSchuster/FeverSymmetric",
        note="Not among the paper's fourteen. Claims come in pairs with opposite labels.",
    ),
    Benchmark(
        name="feverous_s",
        title="FEVEROUS-S",
        family="fact",
        style="true_false",
        measures=("Claim",),
        max_tokens=8,
        files=(("feverous_s.jsonl", "neutral"),),
        source="github.com/teacherpeterpan/ProgramFC",
        note="Not among the paper's fourteen.",
    ),
)

PAPER: dict[str, Benchmark] = {row.name: row for row in _PAPER_ROWS}
"""Those of tables 2 and 5 of arXiv 2407.02485, in the order of the tables."""

BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in (*_PAPER_ROWS, *_OTHER_ROWS)}
"""The paper's, and others of the same kinds."""
