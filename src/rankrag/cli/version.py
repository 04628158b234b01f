"""The versions of installed packages, ours first of all."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__version__ = version("rankrag")


def installed(package: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
