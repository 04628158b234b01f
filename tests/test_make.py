"""The two commands of a fresh machine: what they say, and what they ask pip for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import install_torch
from pip_install import brief

ROOT = Path(__file__).parents[1]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_help_lists_every_target() -> None:
    listed = [line.split()[1] for line in make("help").stdout.splitlines()]
    assert listed == ["help", "demo", "test", "check", "format", "install", "clean"]


def test_every_target_can_be_made() -> None:
    made = make("--dry-run", "demo", "test", "check", "format", "install", "clean")
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("python", ["false", ""], ids=["too old", "none"])
def test_without_a_python_that_fits_one_line_says_so(tmp_path: Path, python: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    run = make("test", f"PYTHON={python}", folder=tmp_path)
    (line,) = run.stdout.splitlines()
    assert run.returncode == 2
    assert "Python 3.11 or newer" in line
    assert "make PYTHON=/path/to/python3" in line
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting torch>=2.6", ""),
        ("Requirement already satisfied: rich in ./.venv/lib", ""),
        ("Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl.metadata (6.6 kB)", ""),
        ("Downloading mdurl-0.1.2-py3-none-any.whl (10.0 kB)", ""),
        (
            "Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.9 MB)",
            "fetching numpy 2.4.6 (16.9 MB)",
        ),
        (
            "Using cached lxml-6.1.3-cp311-cp311-manylinux_2_26_x86_64.whl (5.2 MB)",
            "fetching lxml 6.1.3 (5.2 MB)",
        ),
        ("Installing collected packages: mpmath, sympy, torch", "installing 3 packages"),
        ("Installing collected packages: pip", "installing 1 package"),
        ("Building editable for rankrag (pyproject.toml): started", "building rankrag"),
        ("Building editable for rankrag (pyproject.toml): finished with status 'done'", ""),
    ],
)
def test_pip_is_brief(line: str, shown: str) -> None:
    assert brief(line) == shown


def test_requirement_of_torch_is_the_project_s() -> None:
    assert install_torch.requirement() in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert install_torch.requirement().startswith("torch>=")


def test_a_missing_or_failing_command_says_nothing() -> None:
    assert install_torch.output(["no-such-command-here"]) == ""
    assert install_torch.output(["false"]) == ""
    assert install_torch.output(["echo", "GPU 0"]) == "GPU 0\n"
    assert not install_torch.succeeds(["sleep", "5"], limit_s=0)
