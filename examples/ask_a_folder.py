"""A folder becomes an index, a question an answer with sources: `python ask_a_folder.py FOLDER QUESTION`."""

# %% What to read, and what to ask
import os
import sys
import tempfile
from pathlib import Path

import rankrag
from rankrag.index import Settings, build

MODEL = os.environ.get("RANKRAG_MODEL", "rankrag-135m")
folder, question = (*sys.argv[1:3], None, None)[:2]
work = Path(tempfile.mkdtemp())
if folder is None:
    folder = work / "documents"
    folder.mkdir()
    (folder / "tea.md").write_text(
        "# Tea\n\nGreen tea is steeped at eighty degrees. Black tea wants boiling water.\n"
    )
    (folder / "cats.md").write_text(
        "# Cats\n\nCats sleep for sixteen hours a day. A cat has eighteen toes.\n"
    )
question = question or "How many toes does a cat have?"

# %% Index: words only, which needs no encoder
report = build([str(folder)], work / "index", Settings())
print(f"{len(report.added)} files")

# %% Ask
rag = rankrag.load(index=work / "index", model=MODEL)
answer = rag.ask(question)
print(answer.text)
for hit in answer.ranked[: answer.read_k]:
    print(f"{hit.score:.3f}", hit.passage.title, hit.passage.source.path if hit.passage.source else "")
