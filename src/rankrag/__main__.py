"""The command `rankrag`, which is also `python -m rankrag`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command of this process."""
    try:
        from .cli.app import main as command
    except KeyboardInterrupt:  # the first moments are imports
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
