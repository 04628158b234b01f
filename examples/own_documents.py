"""Fine-tune on your documents: `python own_documents.py INDEX`, an hour or two on a small machine.

A model writes questions on your passages. A question is kept if it comes back: search and ranking find its
passage again and the model answers as it did from the passage alone. Then stage 2 goes on from the checkpoint
that ships. Whether that helped say questions that people wrote: see `does_ranking_help.py`.
"""

# %% What to start from
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "own-documents.yaml"
MODEL = os.environ.get("RANKRAG_MODEL", "rankrag-135m")
WRITER = os.environ.get("RANKRAG_WRITER", MODEL)  # a larger one writes better: openai:MODEL@URL
index = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("rankrag.index")
work = Path(os.environ.get("RANKRAG_WORK") or tempfile.mkdtemp())


def rankrag(*arguments: object) -> None:
    """Run a command of RankRAG and show what it says."""
    subprocess.run([sys.executable, "-m", "rankrag", *map(str, arguments)], check=True)


# %% Questions on your passages: most are dropped, each for a reason that is told
questions = work / "questions.jsonl"
rankrag(
    "data", "questions", "--index", index, "--to", questions, "--model", MODEL, "--writer", WRITER, "-n", 300
)

# %% A blend of them: pairs to rank, passages to answer from
rankrag("data", "build", RECIPE, "--data-root", work, "--out", work / "blend")
rankrag("data", "show", work / "blend", "-n", 2)

# %% Stage 2 once more
rankrag("train", RECIPE, "--stage", 2, "--blend", work / "blend", "--out", work / "checkpoint")
print(f"now: rankrag ask QUESTION --index {index} --model {work / 'checkpoint'}")
