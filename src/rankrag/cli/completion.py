"""What a shell completes: names of models, benchmarks and studies, and files beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def language_models(incomplete: str) -> list[str]:
    """Return the language models whose name begins so, and folders."""
    return _models(incomplete, "language_model", "fake")


def encoders(incomplete: str) -> list[str]:
    """Return the encoders whose name begins so, none, and folders."""
    return _models(incomplete, "encoder", "none")


def _models(incomplete: str, kind: str, without: str) -> list[str]:
    from ..model.store.named_models import MODELS

    names = (name for name, model in MODELS.items() if model.kind == kind)
    return [*_beginning(incomplete, (without, *names)), *_paths(incomplete, folders=True)]


def model_names(incomplete: str) -> list[str]:
    """Return the named models of any kind."""
    from ..model.store.named_models import MODELS

    return _beginning(incomplete, MODELS)


def benchmarks(incomplete: str) -> list[str]:
    """Return the benchmarks whose name begins so, and files."""
    from ..eval.benchmarks import BENCHMARKS

    return [*_beginning(incomplete, BENCHMARKS), *_paths(incomplete)]


def studies(incomplete: str) -> list[str]:
    """Return the studies whose name begins so, and files."""
    from .study_recipe import study_names

    return [*_beginning(incomplete, study_names()), *_paths(incomplete)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, folders: bool = False) -> list[str]:
    """Return the files and folders whose path begins so: a shell has no more than what it is told."""
    above = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    if not above.is_dir():
        return []
    names = sorted(f"{path}/" if path.is_dir() else str(path) for path in above.iterdir())
    return [
        name
        for name in names
        if incomplete and name.startswith(incomplete) and (name[-1] == "/" or not folders)
    ]
