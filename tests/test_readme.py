"""The README says what is true: its commands and its Python are run, its links lead somewhere.

Lines of a ```console block that start with `$ ` are commands, a ```python block is a program; all run one
after the other in one folder that holds copies of `docs/`, `recipes/` and the README. A comment before a
block tells more: `<!-- needs: models -->` (run only where the default models are, with `-m model`) and
`<!-- not run: the reason -->`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

FENCE = re.compile(
    r"(?:<!-- (?P<remark>[^\n]*?) -->\s*\n)?^```(?P<kind>console|python)\n(?P<body>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
SETUP = ("git", "cd", "pip", "pipx", "uv", "source", "python", "python3")
"""Commands that set a machine up; the wheel check of `.ci/run` does what they do."""


@dataclass(frozen=True)
class Step:
    """One command or program of the README, and the line of the README where its block starts."""

    line: int
    command: tuple[str, ...]
    remark: str

    @property
    def needs_models(self) -> bool:
        return self.remark == "needs: models"


def steps(text: str) -> list[Step]:
    """Return everything in a README that can be run, in its order."""
    found = []
    for block in FENCE.finditer(text):
        remark = block["remark"] or ""
        assert remark in ("", "needs: models") or remark.startswith("not run: "), f"unknown remark {remark!r}"
        if not remark.startswith("not run: "):
            line = text.count("\n", 0, block.start("kind")) + 1
            found += [Step(line, command, remark) for command in _commands(block["kind"], block["body"])]
    return found


def _commands(kind: str, body: str) -> list[tuple[str, ...]]:
    if kind == "python":
        return [(sys.executable, "-W", "ignore", "-c", body)]
    lines = [line[2:] for line in body.replace("\\\n", "").split("\n") if line.startswith("$ ")]
    return [_shell(line) for line in lines if shlex.split(line)[0] not in SETUP]


def _shell(line: str) -> tuple[str, ...]:
    # A README that runs make inside the tests would run the tests; that the target exists is checked here.
    if line.startswith("make "):
        return ("make", "--dry-run", "--directory", str(ROOT), *shlex.split(line)[1:])
    return ("bash", "-c", f"set -o pipefail; {line}")


def run_all(chosen: list[Step], folder: Path) -> None:
    """Run steps one after the other; the first that fails names its line."""
    for name in ("docs", "recipes"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(README, folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in chosen:
        run = subprocess.run(
            step.command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
        )
        assert run.returncode == 0, f"README.md:{step.line}: {step.command[-1]}\n{run.stdout}{run.stderr}"


def test_readme_has_commands_and_python() -> None:
    found = steps(README.read_text(encoding="utf-8"))
    assert {step.command[0] for step in found} >= {"bash", "make", sys.executable}


@pytest.mark.slow
def test_readme_without_models(tmp_path: Path) -> None:
    run_all([step for step in steps(README.read_text(encoding="utf-8")) if not step.needs_models], tmp_path)


@pytest.mark.model
def test_readme_with_models(tmp_path: Path) -> None:
    run_all(steps(README.read_text(encoding="utf-8")), tmp_path)


PAGES = [
    path.relative_to(ROOT)
    for path in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)\"", text)
    inside = [a or b for a, b in links if "://" not in (a or b) and not (a or b).startswith("mailto:")]
    assert [link for link in inside if not (ROOT / page.parent / link).exists()] == []


EXAMPLE = """
<!-- needs: models -->
```console
$ rankrag ask "why?" \\
    --index here
The answer.
$ make demo
```

```python
print("x")
```

<!-- not run: opens a conversation -->
```console
$ rankrag ask --index here
```

```console
$ pip install rankrag
$ false
```
"""


def test_steps_of_an_example() -> None:
    ask, demo, program, wrong = steps(EXAMPLE)
    assert ask.command == ("bash", "-c", 'set -o pipefail; rankrag ask "why?"     --index here')
    assert demo.command[-1] == "demo"
    assert (ask.needs_models, program.needs_models) == (True, False)
    assert program.command[-1] == 'print("x")\n'
    assert wrong.line == 19


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:19"):
        run_all(steps(EXAMPLE)[-1:], tmp_path)
