"""What a release needs beside the build: its notes, its address, a wheel tried as a stranger would.

    python tools/release.py notes TAG        check that the changelog has dated the tag; print the notes
    python tools/release.py stamp URL TAG    write the repository's address into what the package index shows
    python tools/release.py try FOLDER       install the wheel of a folder into an empty environment; use it

Standard library only. The version is that of the tag: the build asks git, or the archive that it builds from.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "Why do passages come before the question?"


def main() -> int:
    """Do what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("notes").add_argument("tag")
    stamping = verbs.add_parser("stamp")
    stamping.add_argument("url")
    stamping.add_argument("tag")
    verbs.add_parser("try").add_argument("folder", type=Path)
    wanted = parser.parse_args()
    if wanted.verb == "notes":
        print(notes(ROOT, wanted.tag))
    elif wanted.verb == "stamp":
        stamp(ROOT, wanted.url, wanted.tag)
    else:
        try_wheel(wanted.folder)
    return 0


def notes(root: Path, tag: str) -> str:
    """Return what the changelog says of a tag; ends the process where it says nothing, or without a date."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", tag):
        raise SystemExit(f"found the tag {tag}, wanted a version like v0.1.0 or v0.2.0rc1: name it so")
    number = tag.removeprefix("v")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## \[{re.escape(number)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |^\[|\Z)",
        changes,
        re.MULTILINE | re.DOTALL,
    )
    if section is None or not section[1].strip():
        raise SystemExit(
            f"found nothing dated for {number} in CHANGELOG.md, wanted a section: "
            f"write ## [{number}] - YEAR-MM-DD"
        )
    return section[1].strip()


def stamp(root: Path, url: str, tag: str) -> None:
    """Write the repository's address into pyproject.toml, and into the links of the README."""
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    urls = {
        "Source": url,
        "Documentation": f"{url}/tree/{tag}/docs",
        "Changelog": f"{url}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }
    lines = "".join(f'{name} = "{address}"\n' for name, address in urls.items())
    head = "[project.urls]\n"
    if text.count(head) != 1:
        raise SystemExit(f"found no table of addresses in {path}, wanted one: write {head.strip()}")
    path.write_text(text.replace(head, head + lines), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(absolute(readme.read_text(encoding="utf-8"), url, tag), encoding="utf-8")


def absolute(page: str, url: str, tag: str) -> str:
    """Return a Markdown page whose links into the repository lead there from anywhere."""

    def whole(link: re.Match[str]) -> str:
        kind = "raw" if link[1] == "!" else "blob"
        return f"{link[1]}[{link[2]}]({url}/{kind}/{tag}/{link[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)", whole, page)


def try_wheel(folder: Path) -> None:
    """Install the wheel of a folder into an empty environment; index, search and ask, without weights."""
    (wheel,) = folder.resolve().glob("*.whl")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        away = Path(name)
        subprocess.run([sys.executable, "-m", "venv", away / "venv"], check=True)
        programs = away / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python, rankrag = str(programs / "python"), str(programs / "rankrag")
        documents = away / "documents"
        documents.mkdir()
        text = "Passages come before the question, so that a passage is computed once for all questions."
        (documents / "order.md").write_text(f"# Order\n\n{text}\n", encoding="utf-8")
        for command in (
            [python, "-m", "pip", "install", "--quiet", str(wheel)],
            [rankrag, "--version"],
            [rankrag, "index", "documents", "--index", "index", "--encoder", "none"],
            [rankrag, "search", QUESTION, "--index", "index"],
            [rankrag, "ask", QUESTION, "--index", "index", "--model", "fake"],
        ):
            print("$", *command, flush=True)
            # Outside the tree, so that the wheel is what answers.
            subprocess.run(command, check=True, cwd=away, env=os.environ | {"PYTHONUTF8": "1"})


if __name__ == "__main__":
    raise SystemExit(main())
