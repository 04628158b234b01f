"""Imports only point down: the table of docs/architecture.md as a dict, and a walk over every import."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "rankrag"

GROUND = {"types", "errors", "spans"}
"""Floor 1: everyone may import it, it imports nothing of ours."""

ROOMS: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "spans": set(),
    "files": set(),
    "formats": {"files"},
    "prompts": set(),
    "fitting": set(),
    "data": {"formats", "prompts", "files"},
    "index": {"formats", "files"},
    "model": {"prompts", "fitting", "files"},
    "pipeline": {"prompts"},
    "eval": {"formats", "prompts", "files"},
    "train": {"model", "prompts", "fitting", "formats", "files"},
    "server": {"pipeline", "formats", "prompts", "fitting", "files"},
    "system": {"index", "model", "pipeline", "prompts", "formats", "files"},
    "integrations": {"system"},
}
"""Room to the rooms that it may import besides floor 1."""

TOP = {"cli", "__init__", "__main__"}
"""Floor 6: may import every room."""

PARSERS = {
    *{"chardet", "lxml", "pptx", "pypdf", "python_calamine", "tree_sitter"},
    "tree_sitter_language_pack",
    *{"PIL", "pypdfium2", "rapidocr"},
}
WEIGHTS = {"gguf", "huggingface_hub", "peft", "safetensors", "sentence_transformers", "tokenizers"}

THIRD_PARTY: dict[str, set[str]] = {
    # types names numpy in one annotation only.
    "types": {"numpy"},
    "files": {"pyarrow", "yaml"},
    "data": {"datasets", "huggingface_hub", "pyarrow", "pydantic"},
    "index": {
        "watchfiles",  # not heavy: uvicorn brings it where it is installed
        "lancedb",
        *{"overrides", "pydantic"},  # LanceDB's own, which is loaded with less of them
        "numpy",
        "pyarrow",
        "qdrant_client",
        "ray",
        *PARSERS,
        *WEIGHTS,
        "threadpoolctl",
        "torch",
        "transformers",
    },
    "model": {"filelock", "httpx", "jinja2", "numpy", "torch", "transformers", *WEIGHTS},
    "eval": {"ir_measures", "matplotlib", "numpy", "scipy"},
    "train": {
        *{"accelerate", "datasets", "matplotlib", "numpy", "pyarrow", "pydantic", "tensorboard", "torch"},
        *{"transformers", "trl", "yaml"},
        *WEIGHTS,
    },
    "server": {
        *{
            "anyio",
            "fastapi",
            "h11",
            "mcp",
            "mcp_types",
            "numpy",
            "prometheus_client",
            "pydantic",
            "starlette",
            "uvicorn",
        }
    },
    "integrations": {"haystack", "langchain_core", "llama_index", "pydantic"},
    # `rankrag doctor` asks PyTorch for the device; `rankrag prompt show` counts tokens without the weights.
    "cli": {"click", "fastapi", "numpy", "pydantic", "rich", "tokenizers", "torch", "typer", "yaml"},
}
"""Room to the packages that it may import; a room that is not named may import none."""

HEAVY = {
    *PARSERS,
    *WEIGHTS,
    *{
        "accelerate",
        "datasets",
        "ir_measures",
        "lancedb",
        "matplotlib",
        "pandas",
        "pyarrow",
        "qdrant_client",
        "ray",
    },
    *{"scipy", "torch", "transformers", "trl"},
}
"""Packages that no module may load when it is imported; `train` is the exception, since it is never free."""


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted absolute name, the line, and whether importing the file loads it."""

    name: str
    line: int
    eager: bool


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, package: Path) -> Iterator[Import]:
    """Yield every import of a file, wherever it stands; relative ones are made absolute."""
    here = [package.name, *path.relative_to(package).parent.parts]
    tree = parsed(path)
    eager = set(_run_at_import(tree))
    for node in ast.walk(tree):
        for name in _names(node, here):
            yield Import(name, getattr(node, "lineno", 0), node in eager)


def _names(node: ast.AST, here: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = here[: len(here) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        # `from .. import prompts` names a room, `from ..types import Hit` a room and a noun in it.
        return [f"{module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
        return [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return []


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _run_at_import(child)


def faults(package: Path) -> list[str]:
    """Return every import that breaks the table, as `file:line: what`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for item in imports(path, package):
            if problem := _problem(room, item, package.name):
                found.append(f"{path.relative_to(package)}:{item.line}: {problem}")
    return found


def _problem(room: str, item: Import, package: str) -> str:
    if room not in ROOMS and room not in TOP:
        return f"room {room!r} is not in the table of floors"
    top, *rest = item.name.split(".")
    if top == package:
        there = rest[0] if rest else ""
        allowed = {room, *GROUND, *ROOMS.get(room, set())}
        return "" if room in TOP or there in allowed else f"{room} -> {there or package}"
    if top in sys.stdlib_module_names:
        return ""
    if top not in THIRD_PARTY.get(room, set()):
        return f"{room} may not import {top}"
    return f"imports {top} when imported" if item.eager and top in HEAVY and room != "train" else ""


def test_imports_only_point_down() -> None:
    assert faults(PACKAGE) == []


def test_the_table_itself_only_points_down() -> None:
    floors = {
        **dict.fromkeys(GROUND, 1),
        **dict.fromkeys(("files", "fitting", "formats", "prompts"), 2),
        **dict.fromkeys(("data", "index", "model", "pipeline", "eval"), 3),
        **dict.fromkeys(("train", "server"), 4),
        "system": 5,
        "integrations": 6,
    }
    assert floors.keys() == ROOMS.keys()
    for room, below in ROOMS.items():
        beside = {"files"} if room == "formats" else set()  # records are read out of files: the one exception
        assert all(floors[other] < floors[room] for other in below - beside), room


def test_every_module_of_the_package_is_in_a_room() -> None:
    rooms = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.name not in ("py.typed", "__pycache__", "checkpoints")  # weights and their card, no code
    }
    assert rooms <= ROOMS.keys() | TOP


BAD = {
    "index/a.py": ("from ..model import ranker", "index -> model"),
    "index/b.py": ("from rankrag import prompts", "index -> prompts"),
    "index/c.py": ("import rankrag.eval.report", "index -> eval"),
    "prompts.py": ("def f():\n    from .index import store", "prompts -> index"),
    "formats.py": ("from importlib import import_module\nimport_module('rankrag.model')", "formats -> model"),
    "model/a.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..index import x",
        "model -> index",
    ),
    "errors.py": ("from . import types, cli", "errors -> cli"),
    "data/readers/a.py": ("from ...index import cut", "data -> index"),
    "pipeline.py": ("import numpy", "pipeline may not import numpy"),
    "model/b.py": ("import torch", "imports torch when imported"),
    "model/c.py": (
        "try:\n    from transformers import x\nexcept ImportError:\n    pass",
        "imports transformers when",
    ),
    "eval/a.py": ("class A:\n    import scipy.stats", "imports scipy when imported"),
    "eval/b.py": ("import lancedb", "eval may not import lancedb"),
    "utils.py": ("import os", "room 'utils' is not in the table"),
    "server/a.py": ("from .. import load", "server -> load"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_import_is_found(tmp_path: Path, name: str) -> None:
    text, fault = BAD[name]
    path = tmp_path / "rankrag" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    found = faults(tmp_path / "rankrag")
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")
    assert fault in found[0]


GOOD = {
    "index/a.py": "def f():\n    import lancedb\n    from ..formats import read",
    "model/a.py": "from .. import prompts\nfrom ..types import Hit\nfrom . import b\nfrom .b import c",
    "types.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy as np",
    "train/a.py": "import torch\nfrom ..model import local",
    "cli/a.py": "import typer\nfrom .. import data, index, model, pipeline",
    "__init__.py": "from .system import load\nfrom .types import Hit",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_import_is_let_through(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rankrag" / name
    path.parent.mkdir(parents=True)
    path.write_text(GOOD[name], encoding="utf-8")
    assert faults(tmp_path / "rankrag") == []


def test_no_class_has_the_name_of_another() -> None:
    homes: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(path.relative_to(PACKAGE).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
