"""The faces are exact: what a room offers is listed here, and its `__init__.py` defines nothing."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "rankrag"

FACES: dict[str, set[str]] = {
    "rankrag": {
        "Answer",
        "Citation",
        "Cut",
        "Document",
        "Example",
        "Hit",
        "Passage",
        "Prompt",
        "Question",
        "RAG",
        "RankRAGError",
        "Source",
        "Turn",
        "Usage",
        "__version__",
        "build_index",
        "load",
    },
    "rankrag.cli": set(),
    "rankrag.integrations": set(),
    "rankrag.eval": set(),
    "rankrag.eval.measures": set(),
    "rankrag.eval.readers": set(),
    "rankrag.eval.report": {"write_report"},
    "rankrag.data": {
        "Manifest",
        "Need",
        "Search",
        "build",
        "needs",
        "read_recipe",
        "searches",
        "shown",
        "subset",
        "unpinned",
    },
    "rankrag.data.readers": set(),
    "rankrag.files": {
        "BROKEN",
        "Record",
        "Row",
        "UNPACK",
        "as_object",
        "is_text",
        "kind_of",
        "locked",
        "messages",
        "open_text",
        "parse_object",
        "put_setting",
        "read_json",
        "read_lines",
        "read_records",
        "read_yaml",
        "remember",
        "remembered",
        "replacing",
        "rows",
        "sha256",
        "stem",
        "summed",
        "sync",
        "typed",
        "unsummed",
        "user_folder",
        "whole_object",
        "write_json",
        "write_records",
        "writing",
    },
    "rankrag.formats": {
        "answer_of",
        "answer_record",
        "hit_of",
        "hit_record",
        "id_in_run",
        "passage",
        "passage_record",
        "question",
        "read_examples",
        "read_history",
        "read_passages",
        "read_qrels",
        "read_questions",
        "read_rankings",
        "read_run",
        "run_name",
        "write_examples",
        "write_run",
    },
    "rankrag.index": {
        "BM25",
        "Dense",
        "BuildEstimate",
        "Hybrid",
        "IndexDocuments",
        "LANGUAGES",
        "IndexManifest",
        "Location",
        "PassageEncoder",
        "READABLE",
        "BuildReport",
        "Settings",
        "Store",
        "StoreName",
        "StorePlace",
        "UPLOADS",
        "build",
        "changing",
        "collection_of",
        "compare",
        "copy_index",
        "estimate",
        "faults",
        "fuse",
        "locate",
        "older_kind",
        "open_store",
        "read_manifest",
        "retriever",
        "why_nothing",
    },
    "rankrag.index.cluster": set(),
    "rankrag.index.reading": {
        "Apart",
        "COLLECTIONS",
        "File",
        "LocalReader",
        "LineSpan",
        "ReadPlan",
        "Portion",
        "READABLE",
        "ReadSettings",
        "FileReader",
        "CollectionRecord",
        "clean",
        "find",
        "find_kind",
        "is_under",
        "passages_of_record",
        "records_of",
    },
    "rankrag.index.stores": set(),
    "rankrag.model": {
        "Budget",
        "BudgetedRanker",
        "FakeLanguageModel",
        "ModelCiter",
        "ModelGenerator",
        "ModelRanker",
        "ModelRewriter",
    },
    "rankrag.model.engine": set(),
    "rankrag.model.remote": set(),
    "rankrag.model.skills": set(),
    "rankrag.model.store": set(),
    "rankrag.server": {
        "About",
        "Access",
        "Limits",
        "ServerSettings",
        "SharedLanguageModel",
        "Telemetry",
        "Vectors",
        "check_stopped",
        "create_app",
        "listen",
        "log_lines",
        "speak",
        "tools",
    },
    "rankrag.server.routes": set(),
    "rankrag.system": {
        "DEFAULT_MODEL",
        "FAKE_MODEL",
        "RAG",
        "Engine",
        "Loading",
        "Retrieval",
        "SystemSpec",
        "build_index",
        "load",
        "open_engine",
        "open_retrieval",
        "open_system",
    },
    "rankrag.server.safety": set(),
    "rankrag.train": {
        "TrainingEstimate",
        "TrainingJob",
        "Load",
        "Stage",
        "estimate",
        "export",
        "measure",
        "read_stage",
        "train",
        "ways_to_fit",
    },
}


def rooms() -> set[str]:
    """Return every package of the tree, by its dotted name."""
    inits = PACKAGE.rglob("__init__.py")
    return {".".join(("rankrag", *path.parent.relative_to(PACKAGE).parts)) for path in inits}


@pytest.mark.parametrize("room", sorted(rooms()))
def test_face_is_exact(room: str) -> None:
    """What is imported into the face, what it says it offers, and the list above are the same."""
    assert room in FACES, f"{room} is not listed above"
    tree = ast.parse(PACKAGE.parent.joinpath(*room.split("."), "__init__.py").read_text(encoding="utf-8"))
    offered = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    brought = [a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    assert sorted(*offered or [[]]) == sorted(FACES[room])
    assert sorted(brought) == sorted(FACES[room])


def definitions(text: str) -> list[str]:
    """Return the statements of a module that are neither its docstring, an import, nor `__all__`."""
    first, *rest = ast.parse(text).body or [ast.Pass()]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    found = rest if is_docstring else [first, *rest]
    return [ast.unparse(node) for node in found if not _reexports(node)]


def _reexports(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_init_defines_nothing(path: Path) -> None:
    assert definitions(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["x = 1", "'''Doc.'''\ndef f(): ...", "class A: ...", "for x in []: pass", "f()"]
)
def test_a_definition_is_found(text: str) -> None:
    assert len(definitions(text)) == 1
