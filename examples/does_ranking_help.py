"""Does ranking help on your data? `python does_ranking_help.py INDEX QUESTIONS.jsonl`.

A line of the questions is `{"id": "1", "question": "...", "answers": ["..."]}`. Some thirty are enough to
see a large effect, a hundred for a moderate one: the interval in the report says what can be told.
"""

# %% The index and the questions; without any, three small documents
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rankrag.index import Settings, build

MODEL = os.environ.get("RANKRAG_MODEL", "rankrag-135m")
index, questions = (*sys.argv[1:3], None, None)[:2]
work = Path(tempfile.mkdtemp())
if index is None or questions is None:
    documents, index, questions = work / "documents", work / "index", work / "questions.jsonl"
    documents.mkdir()
    facts = {"cat": "eighteen", "otter": "twenty", "heron": "eight"}
    for animal, toes in facts.items():
        (documents / f"{animal}.md").write_text(
            f"# The {animal}\n\nA {animal} has {toes} toes. It likes fish.\n"
        )
    build([str(documents)], index, Settings())
    lines = [
        json.dumps({"id": animal, "question": f"How many toes has the {animal}?", "answers": [toes]})
        for animal, toes in facts.items()
    ]
    questions.write_text("\n".join(lines) + "\n")


def rankrag(*arguments: object) -> None:
    """Run a command of RankRAG and show what it says."""
    subprocess.run([sys.executable, "-m", "rankrag", *map(str, arguments)], check=True)


# %% The same questions twice: as retrieved, and ranked
out = work / "measured"
for name, options in (("plain", ["--no-rank"]), ("ranked", [])):
    predict = ("eval", "predict", questions, "--index", index, "--model", MODEL, "--name", name, "--out", out)
    rankrag(*predict, *options)

# %% The difference, question by question, with its interval
rankrag("eval", "score", out)
rankrag("eval", "report", out, "--compare", "plain:ranked", "--to", work / "report")
print(f"{work / 'report' / 'report.html'}: every question, both answers")
