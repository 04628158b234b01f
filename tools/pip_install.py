"""Run `pip install` and show one short line for each thing that takes time.

Usage: `python tools/pip_install.py ARGUMENT…`, with the arguments of `pip install`.
Standard library only: it runs before anything is installed. Warnings and errors of pip pass through whole.
"""

from __future__ import annotations

import re
import subprocess
import sys


def pip_install(arguments: list[str]) -> int:
    """Run `pip install` with these arguments in this interpreter's environment; return its exit code."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout or ():
            if shown := brief(line.strip()):
                print(f"  {shown}", flush=True)
    return pip.returncode


def brief(line: str) -> str:
    """Return what is worth showing of a line that pip prints, in a few words; nothing for most lines."""
    # Small files come by the dozen and in no time: only those of a megabyte and more are named.
    pattern = r"(?:Downloading|Using cached) .*?([^/\s]+)-(\d[^-\s]*)-\S+ (\(.*[MG]B\))"
    if fetched := re.fullmatch(pattern, line):
        return "fetching {} {} {}".format(*fetched.groups())
    if line.startswith("Installing collected packages:"):
        n_packages = line.count(",") + 1
        return f"installing {n_packages} package{'' if n_packages == 1 else 's'}"
    started = re.fullmatch(r"Building (?:editable|wheel) for rankrag .*: started", line)
    return "building rankrag" if started else ""


if __name__ == "__main__":
    raise SystemExit(pip_install(sys.argv[1:]))
