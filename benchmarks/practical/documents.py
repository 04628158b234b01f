"""The documents: written from this interpreter, fetched as Debian packages, and checked against a record.

`documents.json` (of the development set `development-documents.json`) names the packages, the versions that
the questions were written over, which of their files are taken, and a hash over those. Another version is
said, and used: the questions are about what seldom changes, and `missing_evidence` tells which of them the
documents at hand no longer answer.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from judge import has_evidence, normalised
from questions import Practical
from rankrag.errors import FormatError
from rankrag.index.reading.parse import parse

RECORD = Path(__file__).with_name("documents.json")
DEVELOPMENT_RECORD = Path(__file__).with_name("development-documents.json")
TOOLS = Path(__file__).parents[2] / "tools"
PREPARED = "prepared.json"
"""In the folder of documents: what lies there, in the shape of the record."""


class UnavailableError(Exception):
    """The documents cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """What makes one folder of documents.

    `name` is a Debian package, or `python` for the reference that this interpreter carries; the questions
    were written over `version`, whose files have the hash `sha256`. Versions from `since` up to, but
    without, `below` are preferred. `files` are globs below `root` of the package; of manual pages (`.gz`) the
    text is taken.
    """

    name: str
    folder: str
    version: str
    sha256: str
    licence: str
    since: str = ""
    below: str = ""
    root: str = ""
    files: tuple[str, ...] = ()


def read_record(path: Path = RECORD) -> tuple[Shelved, ...]:
    """Return what the questions were written over."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Shelved(**(one | {"files": tuple(one.get("files", ()))})) for one in found)


def prepare(folder: Path, debs: Path | None = None, recorded: Path = RECORD) -> tuple[str, ...]:
    """Make the documents in a folder unless they are there; return what differs from the record, in words.

    `debs` holds packages that were fetched before. Raises UnavailableError where they cannot be fetched,
    FormatError if the documents of another record lie in the folder.
    """
    record = read_record(recorded)
    if (folder / PREPARED).is_file():
        there = read_record(folder / PREPARED)
        if [one.name for one in there] != [one.name for one in record]:
            problem = "found the documents of other questions, wanted a folder of their own: give another one"
            raise FormatError(str(folder / PREPARED), None, problem)
        return differences(record, there)
    with tempfile.TemporaryDirectory() as scratch:
        made = tuple(_made(one, Path(scratch), debs) for one in record)
        for one in made:
            shutil.copytree(Path(scratch) / "made" / one.folder, folder / one.folder, dirs_exist_ok=True)
    shown = [_shown(one) for one in made]
    (folder / PREPARED).write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
    return differences(record, made)


def differences(wanted: Iterable[Shelved], found: Iterable[Shelved]) -> tuple[str, ...]:
    """Return a sentence for each folder whose version or content is not that of the record."""
    return tuple(
        f"{here.name}: found version {here.version}, the questions were written over {there.version}"
        + ("" if here.version != there.version else ", whose files differ")
        for there, here in zip(wanted, found, strict=True)
        if here.sha256 != there.sha256
    )


def digest(folder: Path) -> str:
    """Return 16 hex digits over the names and bytes of the files in a folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def missing_evidence(questions: Iterable[Practical], folder: Path) -> list[str]:
    """Return the phrases that are not in their document, as `question: document: phrase`."""
    missing, texts = [], dict[str, str]()
    for one in questions:
        for evidence in one.evidence:
            path = folder / evidence.document
            if evidence.document not in texts:
                texts[evidence.document] = normalised(parse(path, path.suffix).text) if path.is_file() else ""
            if normalised(evidence.phrase) not in texts[evidence.document]:
                missing.append(f"{one.id}: {evidence.document}: {evidence.phrase}")
    return missing


def unfindable(questions: Iterable[Practical], passages: Sequence[str]) -> list[str]:
    """Return the ids of answerable questions of which no passage of an index holds any evidence."""
    plain = [normalised(text) for text in passages]
    return [
        one.id for one in questions if one.answerable and not any(has_evidence(one, text) for text in plain)
    ]


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def _made(one: Shelved, scratch: Path, debs: Path | None) -> Shelved:
    """Write the files of one folder below the scratch folder; return it with the version and hash found."""
    to = scratch / "made" / one.folder
    if one.name == "python":
        version = ".".join(map(str, sys.version_info[:3]))
        _write_reference(to)
    else:
        package = _package(one, scratch, debs)
        version = _told("dpkg-deb", "--field", package, "Version")
        _unpack(one, package, scratch / one.name, to)
    return replace(one, version=version, sha256=digest(to))


def _write_reference(folder: Path) -> None:
    sys.path.append(str(TOOLS))
    from demo import write_reference

    write_reference(folder)


def _package(one: Shelved, scratch: Path, debs: Path | None) -> Path:
    """Return the file of a package: one fetched before, else what apt has, best of the wanted versions."""
    if debs is not None:
        found = sorted(debs.glob(f"{one.name}_*.deb"))
        if not found:
            raise UnavailableError(f"found no {one.name}_*.deb in {debs}, wanted the package there")
        return found[-1].resolve()
    if missing := [tool for tool in ("apt-get", "apt-cache", "dpkg", "dpkg-deb") if not shutil.which(tool)]:
        raise UnavailableError(
            f"found no {missing[0]}, wanted a Debian system to fetch {one.name} (or --debs DIR)"
        )
    scratch.chmod(0o755)  # apt fetches as a user of its own
    version = next((version for version in _versions(one.name) if _in_range(version, one)), "")
    wanted = f"{one.name}={version}" if version else one.name
    try:
        _told("apt-get", "download", "-q", wanted, folder=scratch)
    except UnavailableError as problem:
        raise UnavailableError(f"{one.name} cannot be fetched ({problem}): offline?") from problem
    return next(scratch.glob(f"{one.name}_*.deb"))


def _versions(package: str) -> list[str]:
    """Return the versions that apt knows of a package, newest first."""
    lines = _told("apt-cache", "madison", package).splitlines()
    return [line.split("|")[1].strip() for line in lines if line.count("|") >= 2]


def _in_range(version: str, one: Shelved) -> bool:
    bounds = (("ge", one.since), ("lt", one.below))
    checks = (["dpkg", "--compare-versions", version, compared, bound] for compared, bound in bounds)
    return all(subprocess.run(check, check=False).returncode == 0 for check in checks)


def _unpack(one: Shelved, package: Path, unpacked: Path, to: Path) -> None:
    _told("dpkg-deb", "--extract", package, unpacked)
    root = unpacked / one.root
    paths = sorted({path for pattern in one.files for path in root.glob(pattern) if path.is_file()})
    if not paths:
        raise UnavailableError(f"found none of the files of {one.name} in {package.name}, wanted {one.root}")
    for path in paths:
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            text = _manual(gzip.decompress(path.read_bytes()).decode())
            target.with_suffix(".txt").write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(path, target)


def _manual(page: str) -> str:
    """Return the text of a manual page with few macros: each is a blank line and what it names."""
    page = re.sub(r'^\.(?:\\"|TH|UE).*\n', "", page, flags=re.MULTILINE)
    page = re.sub(r'^\.[A-Za-z]+ ?"?(.*?)"?$', r"\n\1", page, flags=re.MULTILINE)
    return re.sub(r"\\(?:f.|&|([-\\ ]))", r"\1", page)


def _told(*command: object, folder: Path | None = None) -> str:
    """Return what a command prints; raises UnavailableError with its last line of complaint."""
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout.strip()


def _shown(one: Shelved) -> dict[str, object]:
    return {name: getattr(one, name) for name in Shelved.__dataclass_fields__ if getattr(one, name)}
