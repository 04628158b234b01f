"""The documentation as a site: short pages, a whole navigation, generated pages that say what --help says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

import site_hook
from rankrag.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if path.name != "report.md"]
"""Pages that people wrote; a report is drawn from its results."""


class Loader(yaml.SafeLoader):
    """YAML with the tag by which mkdocs reads the environment."""


def last_of(loader: Loader, node: yaml.SequenceNode) -> object:
    return loader.construct_sequence(node)[-1]


Loader.add_constructor("!ENV", last_of)


def pages(nav: object) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    assert isinstance(parts, list | type({}.values()))
    return {page for part in parts for page in pages(part)}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_a_page_has_at_most_1500_words(path: Path) -> None:
    prose = re.sub(r"`[^`\n]*::[^`\n]*`", "", path.read_text(encoding="utf-8"))  # names of tests are not read
    assert len(prose.split()) <= 1500


def test_the_navigation_names_every_page_and_no_other() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    of_log = {f"log/{path.name}" for path in (DOCS / "log").glob("[0-9]*.md")}
    there = {path.relative_to(DOCS).as_posix() for path in WRITTEN}
    assert pages(settings["nav"]) == there - of_log


def test_the_lab_book_lists_every_experiment() -> None:
    index = (DOCS / "log" / "README.md").read_text(encoding="utf-8")
    named = sorted(path.name for path in (DOCS / "log").glob("[0-9]*.md"))
    assert [line.rpartition("](")[2].rstrip(")\n") for line in index.splitlines() if "](" in line] == named


@pytest.mark.parametrize("page", [DOCS / "index.md", ROOT / "README.md"], ids=lambda page: page.name)
def test_the_first_picture_has_one_for_phones_and_both_are_there(page: Path) -> None:
    named = re.findall(r' src(?:set)?="([^"]+)"', page.read_text(encoding="utf-8"))
    assert [Path(name).name for name in named][:2] == ["page-phone.png", "page.png"]
    assert all((page.parent / name).is_file() for name in named)


def test_documentation_is_small() -> None:
    assert sum(path.stat().st_size for path in DOCS.rglob("*") if path.is_file()) < 2.5e6


def test_a_page_of_a_command_has_its_options_with_defaults() -> None:
    commands = dict(site_hook.commands_of())
    assert commands.keys() == typer.main.get_command(app).commands.keys()  # type: ignore[attr-defined]
    page = site_hook.command_page("ask", commands["ask"])
    assert "rankrag ask [OPTIONS] QUESTION" in page
    assert "- `--retrieve-k` (`30`): Passages taken from the index." in page
    assert "## pull" in site_hook.command_page("model", commands["model"])


def test_links_out_of_the_documentation_lead_to_the_repository_or_nowhere() -> None:
    page = "[a](../../src/x.py) [b](other.md#c) ![p](p.png) [w](https://w.org/x) [f](performance)"
    assert site_hook.outward(page, "results/README.md", "https://e.org/r") == (
        "[a](https://e.org/r/blob/main/src/x.py) [b](other.md#c) ![p](p.png) [w](https://w.org/x) "
        "[f](https://e.org/r/blob/main/docs/results/performance)"
    )
    assert site_hook.outward("[a](../src/x.py)", "models.md", "") == "a"
