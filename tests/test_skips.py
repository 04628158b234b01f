"""A skip for a reason that is not listed fails where `RANKRAG_SKIPS=listed` is set, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

TESTS = """
import pytest

def test_listed():
    pytest.skip("needs strace")

def test_by_whim():
    pytest.skip("does not work today")

@pytest.mark.skipif(True, reason="needs strace, or so")
def test_marked():
    pass

@pytest.mark.xfail(reason="known")
def test_expected():
    raise AssertionError
"""
MODULE = "import pytest\npytest.importorskip('no_such_package')\n"


def run(folder: Path, skips: str) -> str:
    (folder / "test_cases.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_module.py").write_text(MODULE, encoding="utf-8")
    (folder / "conftest.py").write_text((HERE / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "no_network").symlink_to(HERE / "no_network")
    (folder / "pytest.ini").touch()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--continue-on-collection-errors",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {
        "RANKRAG_SKIPS": skips,
        "PYTHONPATH": str(HERE),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    ).stdout


def test_a_skip_that_is_not_listed_fails_and_is_named(tmp_path: Path) -> None:
    out = run(tmp_path, "listed")
    assert "test_cases.py::test_by_whim was skipped: does not work today" in out
    assert "test_cases.py::test_marked was skipped: needs strace, or so" in out
    assert "test_module.py was skipped: could not import 'no_such_package'" in out
    assert out.splitlines()[-1].startswith("1 failed, 1 skipped, 1 xfailed, 2 errors")


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert run(tmp_path, "").splitlines()[-1].startswith("4 skipped, 1 xfailed")
