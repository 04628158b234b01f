"""The table of sources: who reads them, under which licence they stand, whom to cite.

`commercial` says whether the licence as stated allows commercial use; where none is stated, or the text
was written by a model whose terms forbid training others, it is false. A recipe with `commercial_only`
takes nothing else. docs/blend-sources.md repeats this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..types import Style
from .item import Dropped, Item
from .readers import chatqa, conversations, grounded, instructions, neutral, open_domain, reading, squad

Reader = Callable[[str], Iterator[Item | Dropped]]

_Instructions = Literal["openassistant", "dolly", "soda", "eli5", "self_instruct", "unnatural_instructions"]
_Collections = Literal["flan", "flan_cot", "p3", "lima", "alpaca", "chatqa_sft"]
_Reading = Literal[
    "drop", "narrativeqa", "quoref", "ropes", "newsqa", "tatqa", "duorc", "qmsum", "fairytaleqa"
]
_Squads = Literal["squad", "squad_sentences", "squad2", "squad_nqg", "adversarial_qa", "condaqa"]
_Open = Literal["webquestions", "dpr_squad", "dpr_webquestions", "qed_nq", "nq_open", "ambignq", "triviaqa"]
_Ranked = Literal["msmarco", "hotpotqa", "2wiki", "musique", "bioasq", "clapnq", "asqa", "covidqa", "medquad"]
_Dialogues = Literal[
    "synthetic_convqa", "human_convqa", "topiocqa", "dstc9", "dstc11", "canard", "cast", "ikat"
]
_Others = Literal["fool_me_twice", "vitaminc", "own"]
SourceName = Literal[_Instructions, _Collections, _Reading, _Squads, _Open, _Ranked, _Dialogues, _Others]
"""The name of a public dataset, or `own` for example files of this project's shape."""

FormatName = Literal["official", "chatqa", "neutral", "short", "examples"]
"""The layout of files: the source's own, ChatQA-Training-Data's, the neutral one, or finished examples.

`short` is the neutral one of chains of thought, of which only the answer is taught.
"""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known about a source.

    `official` reads its official files (None: it has no reader but the neutral one), `neutral` its
    neutral files, `short` those with the answer alone as the target (None: it has no other); `style` is how
    the paper asks its questions (App. C of arXiv 2407.02485).
    """

    licence: str
    commercial: bool
    citation: str
    official: Reader | None = None
    style: Style = "plain"
    neutral: Reader = neutral.neutral
    short: Reader | None = None


SOURCES: dict[SourceName, Dataset] = {
    # stage I: instructions
    "openassistant": Dataset("Apache-2.0", True, "arXiv 2304.07327", conversations.openassistant),
    "dolly": Dataset("CC BY-SA 3.0", True, "Conover et al. 2023, databricks-dolly-15k", instructions.dolly),
    "soda": Dataset(
        "CC BY 4.0 (dialogues written by GPT-3.5)", False, "arXiv 2212.10465", conversations.soda
    ),
    "eli5": Dataset("not stated", False, "arXiv 1907.09190", instructions.eli5),
    "self_instruct": Dataset(
        "Apache-2.0 (text written by GPT-3)", False, "arXiv 2212.10560", instructions.self_instruct
    ),
    "unnatural_instructions": Dataset(
        "MIT (text written by GPT-3)", False, "arXiv 2212.09689", instructions.unnatural_instructions
    ),
    "flan": Dataset("each task its own", False, "arXiv 2301.13688", instructions.flan),
    "flan_cot": Dataset(
        "each task its own, see PARTS",
        True,
        "arXiv 2210.11416",
        instructions.flan_cot,
        short=instructions.short_answers,
    ),
    "p3": Dataset("each task its own, see PARTS", True, "arXiv 2110.08207"),
    "lima": Dataset("CC BY-NC-SA 4.0", False, "arXiv 2305.11206"),
    "alpaca": Dataset("CC BY-NC 4.0", False, "Taori et al. 2023, Stanford Alpaca"),
    "chatqa_sft": Dataset("each part its own, some non-commercial", False, "arXiv 2401.10225", chatqa.chatqa),
    # context-rich question answering
    "drop": Dataset("CC BY-SA 4.0", True, "arXiv 1903.00161", reading.drop, "span"),
    "narrativeqa": Dataset("Apache-2.0", True, "arXiv 1712.07040", reading.narrativeqa, "span"),
    "quoref": Dataset("CC BY 4.0", True, "arXiv 1908.05803", squad.quoref, "span"),
    "ropes": Dataset("CC BY 4.0", True, "arXiv 1908.05852", squad.ropes, "span", neutral.joined),
    "newsqa": Dataset("MIT for the questions, CNN's text", False, "arXiv 1611.09830", reading.newsqa, "span"),
    "tatqa": Dataset("CC BY 4.0", True, "arXiv 2105.07624", reading.tatqa, "span_or_full", neutral.joined),
    "synthetic_convqa": Dataset(
        "non-commercial (written by GPT-3.5)", False, "arXiv 2401.10225", chatqa.chatqa, "full"
    ),
    "human_convqa": Dataset("not released", False, "arXiv 2401.10225", chatqa.chatqa, "full"),
    "adversarial_qa": Dataset("CC BY-SA 4.0", True, "arXiv 2002.00293", squad.squad, "span"),
    "duorc": Dataset("MIT", True, "arXiv 1804.07927", None, "span"),
    # questions over a collection
    "squad": Dataset("CC BY-SA 4.0", True, "arXiv 1606.05250, 1806.03822", squad.squad, "span"),
    "squad_sentences": Dataset("CC BY-SA 4.0", True, "arXiv 1907.04780 (ReQA)", None, "span"),
    "webquestions": Dataset("CC BY 4.0", True, "Berant et al. 2013", open_domain.webquestions, "span"),
    "dpr_squad": Dataset("CC BY-NC 4.0 (DPR)", False, "arXiv 2004.04906", open_domain.dpr, "span"),
    "dpr_webquestions": Dataset("CC BY-NC 4.0 (DPR)", False, "arXiv 2004.04906", open_domain.dpr, "span"),
    "qed_nq": Dataset("CC BY-SA 3.0", True, "arXiv 2009.06354", None, "phrase", neutral.tokenised),
    "nq_open": Dataset("CC BY-SA 3.0", True, "arXiv 1906.00300", None, "phrase", neutral.tokenised),
    "ambignq": Dataset("CC BY-SA 3.0", True, "arXiv 2004.10645", None, "phrase", neutral.tokenised),
    "triviaqa": Dataset("not stated", False, "arXiv 1705.03551", None, "phrase"),
    "msmarco": Dataset("non-commercial research only", False, "arXiv 1611.09268", open_domain.msmarco),
    # further sources that a recipe of one's own may take
    "hotpotqa": Dataset("CC BY-SA 4.0", True, "arXiv 1809.09600", None, "phrase"),
    "2wiki": Dataset("Apache-2.0", True, "arXiv 2011.01060", None, "phrase"),
    "musique": Dataset("CC BY 4.0", True, "arXiv 2108.00573", None, "phrase"),
    "bioasq": Dataset("CC BY 2.5", True, "Tsatsaronis et al. 2015", None, "phrase"),
    "topiocqa": Dataset("CC BY-NC-SA 4.0", False, "arXiv 2110.00768", None, "span_or_full"),
    "squad2": Dataset("CC BY-SA 4.0", True, "arXiv 1806.03822, 1906.06045", None, "span", grounded.squad2),
    "squad_nqg": Dataset("CC BY-SA 4.0", True, "arXiv 1705.00106", None, "span"),
    # replies in whole sentences, conversations
    "clapnq": Dataset("Apache-2.0", True, "arXiv 2404.02103", neutral=grounded.replies),
    "asqa": Dataset("Apache-2.0", True, "arXiv 2204.06092, 2306.01693", neutral=grounded.replies),
    "dstc9": Dataset("Apache-2.0", True, "arXiv 2006.03533", neutral=grounded.replies),
    "dstc11": Dataset("CDLA-Sharing-1.0", True, "arXiv 2305.12091", neutral=grounded.replies),
    "canard": Dataset("CC BY-SA 4.0", True, "Elgohary et al. 2019, CANARD", None, "span", grounded.spans),
    "cast": Dataset("MIT", True, "arXiv 2003.13624"),
    "ikat": Dataset("MIT (replies partly written by tools)", False, "arXiv 2401.01330"),
    "qmsum": Dataset("MIT", True, "arXiv 2104.05938"),
    "fairytaleqa": Dataset("Apache-2.0", True, "arXiv 2203.13947", None, "span"),
    "covidqa": Dataset("Apache-2.0", True, "Moeller et al. 2020, COVID-QA", None, "span"),
    "medquad": Dataset("CC BY 4.0", True, "arXiv 1901.08079"),
    # claims, yes or no
    "condaqa": Dataset("Apache-2.0", True, "arXiv 2211.00295", None, "phrase", grounded.yes_no),
    "fool_me_twice": Dataset("Apache-2.0", True, "arXiv 2104.04725", None, "true_false", grounded.claims),
    "vitaminc": Dataset("CC BY-SA 3.0", True, "arXiv 2103.08541", None, "true_false", grounded.claims),
    "own": Dataset("Apache-2.0, as this project", True, "this project", neutral.examples),
}

PARTS: dict[SourceName, dict[str, tuple[str, bool]]] = {
    "flan_cot": {
        "aqua": ("Apache-2.0", True),
        "creak": ("MIT", True),
        "ecqa": ("CDLA-Sharing-1.0", True),
        "gsm8k": ("MIT", True),
        "qasc": ("CC BY 4.0", True),
        "sensemaking": ("not verified", False),
        "strategyqa": ("MIT", True),
    },
    "p3": {
        "ag_news": ("non-commercial", False),
        "amazon_polarity": ("not stated by the origin", False),
        "app_reviews": ("not stated", False),
        "cnn_dailymail": ("the newspapers' text", False),
        "common_gen": ("MIT", True),
        "commonsense_qa": ("MIT", True),
        "cosmos_qa": ("CC BY 4.0", True),
        "dbpedia_14": ("CC BY-SA 3.0", True),
        "dream": ("non-commercial research only", False),
        "gigaword": ("the newspapers' text", False),
        "glue_mrpc": ("not stated", False),
        "glue_qqp": ("non-commercial", False),
        "imdb": ("not stated", False),
        "kilt_tasks_hotpotqa": ("CC BY-SA 4.0", True),
        "multi_news": ("non-commercial", False),
        "paws_labeled_final": ("free for any purpose (Google)", True),
        "qasc": ("CC BY 4.0", True),
        "quarel": ("CC BY 4.0", True),
        "quartz": ("CC BY 4.0", True),
        "rotten_tomatoes": ("not stated", False),
        "samsum": ("CC BY-NC-ND 4.0", False),
        "sciq": ("CC BY-NC 3.0", False),
        "social_i_qa": ("not stated", False),
        "wiki_bio": ("CC BY-SA 3.0", True),
        "wiki_hop_original": ("CC BY-SA 3.0", True),
        "wiki_qa": ("Microsoft research licence", False),
        "wiqa": ("not stated", False),
        "xsum": ("the BBC's text", False),
        "yelp_review_full": ("non-commercial", False),
    },
}
"""The licence of each part of the sources that are collections: (as stated, commercial use allowed).

A part is looked up by the longest name that its own begins with (`p3` has several templates a task).
What is not in the table is not for commercial use.
"""


def reader(source: SourceName, layout: FormatName) -> Reader | None:
    """Return what reads a source's files of a layout, None where there is no such reader."""
    card = SOURCES[source]
    readers: dict[FormatName, Reader | None] = {
        "official": card.official,
        "chatqa": chatqa.chatqa,
        "neutral": card.neutral,
        "short": card.short,
        "examples": neutral.examples,
    }
    return readers[layout]


def licence_of(source: SourceName, part: str) -> tuple[str, bool]:
    """Return the licence of an item (by its part in a collection), and if it allows commercial use."""
    card = SOURCES[source]
    if source not in PARTS:
        return card.licence, card.commercial
    names = [name for name in PARTS[source] if part == name or part.startswith(f"{name}_")]
    return PARTS[source][max(names, key=len)] if names else ("not stated", False)
