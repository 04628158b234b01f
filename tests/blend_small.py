"""A small data root with a recipe that mines it, for tests of the data room and of its command."""

import json
from pathlib import Path

RECIPE = """
name: small
model: smollm2-135m
blend:
  draws: {stage2: 1000}
  benchmarks: ["bench*.jsonl"]
  runs:
    own: {run: own.run, corpus: [passages.webquestions.jsonl, wiki.jsonl], k: 4}
  ingredients:
    web: {source: webquestions, format: neutral, files: ["web*.jsonl"], task: rank, weight: 1, mine: [own]}
    five:
      {source: webquestions, format: neutral, files: [web.jsonl], task: retrieval_qa, weight: 1, mine: [own],
       passages: 3}
    mine: {source: own, format: examples, files: [own.jsonl], task: rank, weight: 1}
"""
WIKI = [
    "Ulm lies on the Danube.",
    "The minster of Ulm is high.",
    "The Danube is long.",
    "Albert Einstein was born in Ulm.",
    "Bees dance.",
]
QUESTIONS = [
    ("w1", "where was einstein born", "Ulm"),
    ("w2", "which river is long", "the Danube"),
    ("w3", "what do bees do", "Dance"),
    ("w4", "who wrote faust in weimar", "Goethe"),
]


def write_data(folder: Path) -> Path:
    """Fill a folder with the files of RECIPE, and the recipe beside them."""
    folder.mkdir(exist_ok=True)

    def lines(name: str, records: list[dict[str, object]]) -> None:
        (folder / name).write_text("".join(json.dumps(one) + "\n" for one in records))

    (folder / "recipe.yaml").write_text(RECIPE)
    lines("web.jsonl", [{"id": n, "question": q, "answers": [a]} for n, q, a in QUESTIONS])
    lines("web2.jsonl", [{"id": "w5", "question": "what is the capital of peru", "answers": ["Lima"]}])
    lines("wiki.jsonl", [{"_id": f"p {n}", "title": "", "text": text} for n, text in enumerate(WIKI)])
    lines("bench.jsonl", [{"id": "b", "question": "What do bees do?", "answers": []}])
    passage = {"id": "x", "text": "Mine."}
    own: dict[str, object] = {
        "source": "elsewhere",
        "task": "rank",
        "question": {"id": "q", "text": "Mine?"},
        "passages": [passage],
        "target": "True",
    }
    lines("own.jsonl", [{"id": str(n)} | own for n in range(3)])
    return folder
