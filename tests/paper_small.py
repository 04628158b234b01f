"""The whole of `paper-8b` in miniature: made-up rows in the official formats, of the hub and of downloads."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from hub_server import Repository

TOWNS = (
    *("Arlo", "Brenn", "Carda", "Dunmor", "Elvik", "Farro"),
    *("Gelt", "Harn", "Ister", "Jorvik", "Kells", "Lund"),
)
RIVERS = ("Ahr", "Bode", "Cher", "Dee", "Eden", "Fulda", "Glan", "Havel", "Inn", "Jagst", "Kocher", "Lahn")
NUMBERS = range(len(TOWNS))
CHATQA = "nvidia/ChatQA-Training-Data"
NEWEST = "89abcdef01234567" * 2 + "89abcdef"
"""The commit of the repositories that a recipe does not pin."""

BENCHMARKS = (
    *("nq", "triviaqa", "popqa", "hotpotqa", "2wiki", "fever", "doc2dial", "topiocqa", "inscit"),
    *("mmlu", "pubmedqa", "bioasq", "medqa", "medmcqa"),
)
"""The fourteen of the paper; MIRAGE's five in one file."""

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


def benchmark_question(name: str) -> str:
    return f"Who signs the treaty of the northern {name} lakes?"


def write_data(folder: Path) -> Path:
    """Fill a folder with every file that `paper-8b` reads but those of the hub."""
    _downloads(folder)
    _reading(folder)
    _retrieval(folder)
    _benchmarks(folder / "eval")
    return folder


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────


def _splits() -> dict[tuple[str, str], Rows]:
    """Return the rows of the hub's training splits by repository and configuration."""
    said = [
        (f"Name a fine thing about {TOWNS[n]}.", f"Its river, the {RIVERS[n]}, is clear.") for n in NUMBERS
    ]
    messages = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in said]
    short = [_chatqa(n, answer(n)) for n in NUMBERS]
    long = [
        f"The {TOWNS[n]} people say that the old mill was built in {answer(n)} by the river." for n in NUMBERS
    ]
    turns = [_chatqa(n, long[n]) | {"document": f"{story(n)} {long[n]} " + _filler(n, 400)} for n in NUMBERS]
    dolly = {"context": "", "response": "A fine town.", "category": "open_qa"}
    return {
        (CHATQA, "sft"): [{"messages": one, "answers": []} for one in messages],
        (CHATQA, "drop"): short,
        (CHATQA, "narrativeqa"): short,
        (CHATQA, "quoref"): short,
        (CHATQA, "synthetic_convqa"): turns,
        ("OpenAssistant/oasst1", ""): [row for n in NUMBERS for row in _tree(n)],
        ("databricks/databricks-dolly-15k", ""): [
            {"instruction": f"Praise {town}."} | dolly for town in TOWNS
        ],
        ("allenai/soda", ""): [
            {"dialogue": [f"Been to {town}?", "Yes, in May."], "speakers": ["Ann", "Bo"], "original_index": n}
            for n, town in enumerate(TOWNS)
        ],
    }


def write_copies(folder: Path, revisions: Mapping[str, str]) -> None:
    """Write the hub's splits as a blend keeps them, each with its card."""
    for (repository, config), rows in _splits().items():
        copy = folder / "hub" / repository / (config or "default") / "train.jsonl"
        lines(copy, rows)
        whole(copy.with_suffix(".card.json"), {"revision": revisions.get(repository, NEWEST)})


def repositories(revisions: Mapping[str, str]) -> dict[str, Repository]:
    """Return the hub's repositories as they are laid out there: JSON with a card, Parquet without one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made: dict[str, Repository] = {}
    splits = _splits()
    configs = [config for repository, config in splits if repository == CHATQA]
    # NewsQA is still named there, its files are gone.
    named = "".join(
        f"- config_name: {config}\n  data_files: [{{split: train, path: {config}/*.json}}]\n"
        for config in [*configs, "newsqa"]
    )
    files = {f"{config}/train.json": json.dumps(splits[CHATQA, config]).encode() for config in configs}
    card = f"---\nconfigs:\n{named}---\n".encode()
    made[CHATQA] = Repository(revisions.get(CHATQA, NEWEST), {"README.md": card, **files})
    for (repository, config), rows in splits.items():
        if not config:
            table = io.BytesIO()
            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), table)
            data = {"data/train-00000-of-00001.parquet": table.getvalue()}
            made[repository] = Repository(revisions.get(repository, NEWEST), data)
    return made


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


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


def _downloads(folder: Path) -> None:
    """Write the files of instructions; Self-Instruct's hold every question of the benchmarks, too."""
    spelt = [(f"Spell {town}.", " ".join(town)) for town in TOWNS]
    known = [(benchmark_question(name), "The lake people.") for name in BENCHMARKS]
    made = [{"instruction": task, "input": "", "output": done} for task, done in spelt + known]
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
        for n in NUMBERS
    ]
    lines(folder / "unnatural-instructions/core_data.jsonl", unnatural)
    flan = [
        {"inputs": f"Is {TOWNS[n]} a town?", "targets": "yes", "task": "boolq", "_template_type": "zs_opt"}
        for n in NUMBERS
    ]
    lines(folder / "flan/flan_zs_opt_train.jsonl.gz", flan)
    chains = [f"How many are {n} and {n} mills?\t{2 * n}\tTwice {n} is {2 * n}.\n" for n in NUMBERS]
    (folder / "flan/cot_data").mkdir()
    (folder / "flan/cot_data/gsm8k_train.tsv").write_text("".join(chains))


def _tree(n: int) -> list[dict[str, object]]:
    shared = {"message_tree_id": f"t{n}", "lang": "en", "deleted": False}
    return [
        shared | {"message_id": f"p{n}", "parent_id": None, "role": "prompter", "text": f"Hello {TOWNS[n]}!"},
        shared
        | {"message_id": f"r{n}", "parent_id": f"p{n}", "role": "assistant", "text": "Hello.", "rank": 0},
    ]


def _reading(folder: Path) -> None:
    ropes = [
        {
            "background": f"Mills of {RIVERS[n]} kind are built by monks.",
            "situation": story(n),
            "qas": [{"id": f"ropes{n}", "question": asked(n), "answers": [{"text": answer(n)}]}],
        }
        for n in NUMBERS
    ]
    whole(folder / "ropes/train-v1.0.json", {"version": "1.0", "data": [{"title": "", "paragraphs": ropes}]})
    news = [_news(n, "train") for n in NUMBERS] + [_news(0, "dev") | {"storyId": "./cnn/dev"}]
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
        for n in NUMBERS
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


def _retrieval(folder: Path) -> None:
    for name in ("squad1", "webquestions"):
        whole(folder / f"dpr/biencoder-{name}-train.json.gz", [_dpr(n, name) for n in NUMBERS])
    ranked = [
        {
            "query_id": str(n),
            "query": asked(n),
            "positive_passages": [{"docid": f"d{n}", "title": "-", "text": story(n)}],
            "negative_passages": [
                {"docid": f"d{other}", "title": "-", "text": story(other)} for other in _others(n)
            ],
        }
        for n in NUMBERS
    ]
    lines(folder / "msmarco/train.jsonl.gz", ranked)


def _benchmarks(folder: Path) -> None:
    """Write the fourteen benchmarks in their official formats, a question each."""
    said = {name: benchmark_question(name) for name in BENCHMARKS}
    for name in ("nq", "triviaqa", "hotpotqa", "fever"):
        output = [{"answer": "SUPPORTS" if name == "fever" else "Ann"}]
        lines(folder / f"{name}-dev-kilt.jsonl", [{"id": "1", "input": said[name], "output": output}])
    lines(folder / "popqa.jsonl", [{"id": "1", "question": said["popqa"], "answers": ["Ann"]}])
    whole(folder / "2wikimultihopqa-dev.json", [{"_id": "1", "question": said["2wiki"], "answer": "Ann"}])
    for name, file in (("doc2dial", "test"), ("topiocqa", "dev"), ("inscit", "dev")):
        turns = [{"role": "user", "content": said[name]}]
        whole(folder / name / f"{file}.json", [{"messages": turns, "answers": ["Ann"], "ctxs": []}])
    choice = {"options": {"A": "Ann", "B": "Bo"}, "answer": "A"}
    tasks = {name: {"0": {"question": said[name]} | choice} for name in BENCHMARKS[-5:]}
    whole(folder / "benchmark.json", tasks)


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
