"""Ask the database of known flaws about every package of this environment, by pip-audit.

Usage: `python tools/audit.py`. A flaw is an error that names the version which mends it. Where the database
cannot be reached, or knows none of the packages, that is said, and nothing is held up.
"""

from __future__ import annotations

import json
import subprocess
import sys

WAIT_S = 120


def main() -> int:
    """Ask and print; return 1 if there is a flaw."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--progress-spinner", "off"]
    try:
        asked = subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        code, lines = verdict(asked.stdout, asked.stderr)
    except subprocess.TimeoutExpired:
        code, lines = verdict("", f"no answer in {WAIT_S} s")
    print("\n".join(lines))
    return code


def verdict(found: str, complaint: str = "") -> tuple[int, list[str]]:
    """Return the exit code and what to print, from what pip-audit wrote to its two streams."""
    try:
        packages = json.loads(found)["dependencies"]
    except (ValueError, KeyError):
        said = (complaint.strip().splitlines() or ["no answer"])[-1]
        return 0, [f"NOTE: the database of known flaws cannot be reached ({said}): nothing was checked"]
    known = [package for package in packages if "vulns" in package]
    if not known:
        return 0, ["NOTE: the database of known flaws knows none of these packages: nothing was checked"]
    flaws = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in known
        for flaw in package["vulns"]
    ]
    return int(bool(flaws)), [*flaws, f"{len(flaws)} known flaws in {len(known)} of {len(packages)} packages"]


if __name__ == "__main__":
    raise SystemExit(main())
