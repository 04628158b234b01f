"""A data root for the whole of `paper-8b` in miniature: made-up rows in the official formats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

TOWNS = (
    "Arlo",
    "Brenn",
    "Carda",
    "Dunmor",
    "Elvik",
    "Farro",
    "Gelt",
    "Harn",
    "Ister",
    "Jorvik",
    "Kells",
    "Lund",
)
RIVERS = ("Ahr", "Bode", "Cher", "Dee", "Eden", "Fulda", "Glan", "Havel", "Inn", "Jagst", "Kocher", "Lahn")
HUB = "hub/nvidia/ChatQA-Training-Data"

Rows = Sequence[Mapping[str, object]]


def story(n: int) -> str:
    """Return a text on one town, twelve of which differ from each other in every run of eight words."""
    town, river = TOWNS[n], RIVERS[n]
    said = (
        f"{town} lies where {river} water turns to {river} marsh and {town} boats are kept in {river} sheds."
    )
    mill = f"The mill of {town} was built in {1700 + n} by {river} monks"
    return f"{said} {mill} who sold {town} flour for {n + 3} crowns."


def asked(n: int) -> str:
    return f"Which year saw the mill of {TOWNS[n]} built?"


def answer(n: int) -> str:
    return str(1700 + n)


def write_data(folder: Path) -> Path:
    """Fill a folder with every file that `paper-8b` reads, its hub splits as copies."""
    numbers = range(len(TOWNS))
    _instructions(folder, numbers)
    for name in ("drop", "narrativeqa", "quoref"):
        lines(folder / HUB / name / "train.jsonl", [_chatqa(n, answer(n)) for n in numbers])
    long = [
        f"The {TOWNS[n]} people say that the old mill was built in {answer(n)} by the river." for n in numbers
    ]
    turns = [_chatqa(n, long[n]) | {"document": f"{story(n)} {long[n]} " + _filler(n, 400)} for n in numbers]
    lines(folder / HUB / "synthetic_convqa" / "train.jsonl", turns)
    _reading(folder, numbers)
    _retrieval(folder, numbers)
    questions = [{"id": "b1", "question": "Who signs the treaty of the northern lakes?", "answers": ["x"]}]
    lines(folder / "eval" / "nq.jsonl", questions)
    return folder


def lines(path: Path, rows: Rows) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def whole(path: Path, value: object) -> None:
    text = json.dumps(value).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def _filler(n: int, count: int) -> str:
    """Return words without a word of the story, so that chunks of them hold no answer."""
    return " ".join(f"w{n}x{place}" for place in range(count))


def _chatqa(n: int, reply: str) -> dict[str, object]:
    return {
        "messages": [{"role": "user", "content": asked(n)}],
        "answers": [reply],
        "document": story(n),
    }


def _instructions(folder: Path, numbers: Sequence[int]) -> None:
    said = [
        (f"Name a fine thing about {TOWNS[n]}.", f"Its river, the {RIVERS[n]}, is clear.") for n in numbers
    ]
    messages = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in said]
    lines(folder / HUB / "sft" / "train.jsonl", [{"messages": one, "answers": []} for one in messages])
    trees = [row for n in numbers for row in _tree(n)]
    lines(folder / "hub/OpenAssistant/oasst1/default/train.jsonl", trees)
    dolly = [
        {
            "instruction": f"Praise {TOWNS[n]}.",
            "context": "",
            "response": "A fine town.",
            "category": "open_qa",
        }
        for n in numbers
    ]
    lines(folder / "hub/databricks/databricks-dolly-15k/default/train.jsonl", dolly)
    soda = [
        {"dialogue": [f"Been to {TOWNS[n]}?", "Yes, in May."], "speakers": ["Ann", "Bo"], "original_index": n}
        for n in numbers
    ]
    lines(folder / "hub/allenai/soda/default/train.jsonl", soda)
    made = [{"instruction": f"Spell {TOWNS[n]}.", "input": "", "output": " ".join(TOWNS[n])} for n in numbers]
    lines(folder / "self-instruct/all_instances_82K.jsonl", made)
    unnatural = [
        {
            "instruction": f"Reverse the name {TOWNS[n]}.",
            "instances": [
                {
                    "instruction_with_input": f"Reverse the name {TOWNS[n]}.",
                    "input": TOWNS[n],
                    "constraints": "None.",
                    "output": TOWNS[n][::-1],
                }
            ],
        }
        for n in numbers
    ]
    lines(folder / "unnatural-instructions/core_data.jsonl", unnatural)
    flan = [
        {"inputs": f"Is {TOWNS[n]} a town?", "targets": "yes", "task": "boolq", "_template_type": "zs_opt"}
        for n in numbers
    ]
    lines(folder / "flan/flan_zs_opt_train.jsonl.gz", flan)
    chains = [f"How many are {n} and {n} mills?\t{2 * n}\tTwice {n} is {2 * n}.\n" for n in numbers]
    (folder / "flan/cot_data").mkdir()
    (folder / "flan/cot_data/gsm8k_train.tsv").write_text("".join(chains))


def _tree(n: int) -> list[dict[str, object]]:
    shared = {"message_tree_id": f"t{n}", "lang": "en", "deleted": False}
    return [
        shared | {"message_id": f"p{n}", "parent_id": None, "role": "prompter", "text": f"Hello {TOWNS[n]}!"},
        shared
        | {"message_id": f"r{n}", "parent_id": f"p{n}", "role": "assistant", "text": "Hello.", "rank": 0},
    ]


def _reading(folder: Path, numbers: Sequence[int]) -> None:
    ropes = [
        {
            "background": f"Mills of {RIVERS[n]} kind are built by monks.",
            "situation": story(n),
            "qas": [{"id": f"ropes{n}", "question": asked(n), "answers": [{"text": answer(n)}]}],
        }
        for n in numbers
    ]
    whole(folder / "ropes/train-v1.0.json", {"version": "1.0", "data": [{"title": "", "paragraphs": ropes}]})
    news = [_news(n, "train") for n in numbers] + [_news(0, "dev") | {"storyId": "./cnn/dev"}]
    whole(folder / "newsqa/combined-newsqa-data-v1.json", {"data": news, "version": "1"})
    kinds = {"arithmetic": "12", "count": 3, "span": ["flour"], "multi-span": ["flour", "crowns"]}
    tatqa = [
        {
            "table": {"uid": f"t{n}", "table": [["", "2019", "2018"], [TOWNS[n], "12", "7"]]},
            "paragraphs": [{"uid": f"p{n}", "order": 1, "text": story(n)}],
            "questions": [
                {
                    "uid": f"{kind}{n}",
                    "question": f"What is the {kind} of {TOWNS[n]}?",
                    "answer": value,
                    "answer_type": kind,
                    "scale": "",
                }
                for kind, value in kinds.items()
            ],
        }
        for n in numbers
    ]
    whole(folder / "tatqa/tatqa_dataset_train.json", tatqa)


def _news(n: int, part: str) -> dict[str, object]:
    text = story(n)
    start = text.index(answer(n))
    questions: list[dict[str, object]] = [
        {"q": asked(n), "consensus": {"s": start, "e": start + 4}, "answers": [], "isAnswerAbsent": 0},
        {"q": f"Who burnt {TOWNS[n]}?", "consensus": {"noAnswer": True}, "answers": []},
        {"q": "What?", "consensus": {"badQuestion": True}, "answers": []},
    ]
    return {"storyId": f"./cnn/{n}", "text": text, "type": part, "questions": questions}


def _retrieval(folder: Path, numbers: Sequence[int]) -> None:
    for name in ("squad1", "webquestions"):
        whole(folder / f"dpr/biencoder-{name}-train.json.gz", [_dpr(n, name) for n in numbers])
    ranked = [
        {
            "query_id": str(n),
            "query": asked(n),
            "positive_passages": [{"docid": f"d{n}", "title": "-", "text": story(n)}],
            "negative_passages": [
                {"docid": f"d{other}", "title": "-", "text": story(other)} for other in _others(n)
            ],
        }
        for n in numbers
    ]
    lines(folder / "msmarco/train.jsonl.gz", ranked)


def _others(n: int) -> list[int]:
    return [(n + step) % len(TOWNS) for step in range(1, 7)]


def _dpr(n: int, name: str) -> dict[str, object]:
    contexts = [
        {"title": TOWNS[other], "text": story(other), "score": 10 - place, "passage_id": str(other)}
        for place, other in enumerate([n, *_others(n)])
    ]
    return {
        "dataset": f"{name}_train_psgs_w100",
        "question": asked(n),
        "answers": [answer(n)],
        "positive_ctxs": contexts[:1],
        "negative_ctxs": [],
        "hard_negative_ctxs": contexts[1:],
    }
