"""What the image runs: the server with keys, one of its commands, or the question whether it is healthy.

    container.py [OPTION…]     rankrag serve, for others to reach, with the options given
    container.py COMMAND …     rankrag COMMAND …
    container.py healthy       exit code 0 where the server takes requests

Keys come from RANKRAG_API_KEY (several with commas between them), from the file that RANKRAG_API_KEY_FILE
names, or from `keys` in RANKRAG_DATA, which the first start makes and prints. Standard library only.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

SERVE = ("rankrag", "serve", "--host", "0.0.0.0", "--port", "8000")
READY = "http://127.0.0.1:8000/readyz"
OWN_KEYS = ("--api-key-file", "--no-key")
"""Options that say which keys there are, so that nothing else need say it."""


def main() -> NoReturn:
    """Do what the arguments of this process ask for; a command takes the place of the process."""
    arguments = sys.argv[1:]
    if arguments == ["healthy"]:
        sys.exit(0 if is_healthy() else 1)
    wanted = command(arguments, os.environ)
    os.execvp(wanted[0], wanted)


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command to run; makes the file of keys that a server needs."""
    if arguments and not arguments[0].startswith("-"):
        return ["rankrag", *arguments]
    if any(option.split("=", 1)[0] in OWN_KEYS for option in arguments):
        return [*SERVE, *arguments]
    return [*SERVE, "--api-key-file", str(key_file(environment)), *arguments]


def key_file(environment: Mapping[str, str]) -> Path:
    """Return the file of keys for the server: one that is named, one of the keys given, or one made here."""
    if named := environment.get("RANKRAG_API_KEY_FILE"):
        return Path(named)
    if given := environment.get("RANKRAG_API_KEY"):
        handle, path = tempfile.mkstemp(
            prefix="rankrag-keys-"
        )  # not on the volume: the environment may change
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write("".join(f"{key.strip()}\n" for key in given.split(",")))
        return Path(path)
    made = Path(environment.get("RANKRAG_DATA", "/data")) / "keys"
    if made.exists():
        print(f"rankrag: key: one from the first start, in {made}", file=sys.stderr, flush=True)
    else:
        key = secrets.token_urlsafe()
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(f"{key}\n")
        print(f"rankrag: key: made {key} (kept in {made})", file=sys.stderr, flush=True)
    return made


def is_healthy() -> bool:
    """Say whether the server of this container takes requests."""
    try:
        with urllib.request.urlopen(READY, timeout=4) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
