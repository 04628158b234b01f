"""Install PyTorch into the environment that runs this file: a CPU build where a GPU build would be wasted.

The ordinary Linux build brings several gigabytes of CUDA libraries. Without an NVIDIA GPU a CPU build is
tried first: one that pip's own configuration offers (a version ending in `+cpu`), then the one that uv knows
(`--torch-backend=cpu`). Whatever happens there, the ordinary build is the last resort, so this fails only
if no PyTorch at all can be installed. Standard library only; it prints one line saying what it took.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from pip_install import pip_install

ROOT = Path(__file__).resolve().parents[1]
LOOK_S, INSTALL_S = 60, 900
"""Seconds allowed for asking whether a CPU build can be had, and for fetching it."""


def main() -> int:
    """Install PyTorch unless it is there; return pip's exit code."""
    if (version := installed()) is not None:
        print(f"PyTorch {version} is there already")
        return 0
    wanted = requirement()
    if sys.platform == "linux" and not has_nvidia_gpu():
        print("PyTorch: no NVIDIA GPU here, looking for a CPU build", flush=True)
        if from_pip(wanted) or from_uv(wanted):
            print(f"PyTorch {installed()}: a CPU build")
            return 0
        print("PyTorch: no CPU build can be had, taking the ordinary one (larger)", flush=True)
    code = pip_install([wanted])
    print(f"PyTorch {installed()}: the ordinary build" if code == 0 else "PyTorch could not be installed")
    return code


def installed() -> str | None:
    """Return the version of PyTorch in this environment, None without one."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def requirement() -> str:
    """Return what pyproject.toml asks of PyTorch, for example `torch>=2.6`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines: list[str] = project["optional-dependencies"]["local"]
    return next(line for line in lines if line.startswith("torch"))


def has_nvidia_gpu() -> bool:
    """Say whether the driver's own tool lists at least one GPU."""
    return "GPU " in output(["nvidia-smi", "-L"])


def from_pip(wanted: str) -> bool:
    """Install the newest version ending in `+cpu` that pip's configured indexes and folders offer."""
    listing = output([sys.executable, "-m", "pip", "index", "versions", "torch"])
    versions = [word.strip(",") for word in listing.split() if word.strip(",").endswith("+cpu")]
    return bool(versions) and pip_install([f"{wanted},=={versions[0]}"]) == 0


def from_uv(wanted: str) -> bool:
    """Install the CPU build that uv finds; uv itself goes to a temporary folder only."""
    with tempfile.TemporaryDirectory() as folder:
        if not succeeds([sys.executable, "-m", "pip", "install", "-q", "--target", folder, "uv"], LOOK_S):
            return False
        uv = [f"{folder}/bin/uv", "pip", "install", "--python", sys.executable, "--torch-backend=cpu", wanted]
        return succeeds([*uv, "--dry-run"], LOOK_S) and succeeds(uv, INSTALL_S)


def output(command: list[str]) -> str:
    """Return what a command prints, or nothing if it is missing, fails or takes too long."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout


def succeeds(command: list[str], limit_s: int) -> bool:
    """Say whether a command ends well in time."""
    try:
        return subprocess.run(command, capture_output=True, timeout=limit_s, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
