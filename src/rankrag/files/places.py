"""Where a user's own things lie: what can be fetched again, and what cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

_OF_THE_USER = {
    "CACHE": ("Cache", "Library/Caches", ".cache"),
    "DATA": ("Data", "Library/Application Support", ".local/share"),
}
"""What a user has on Windows (below our own folder), macOS and Linux."""


def user_folder(kind: Literal["CACHE", "DATA"]) -> Path:
    """Return the folder for what is kept for a user: RANKRAG_CACHE or RANKRAG_DATA, or the platform's.

    It need not exist. What lies in the cache can be fetched again; data cannot.
    """
    windows, mac, unix = _OF_THE_USER[kind]
    if chosen := os.environ.get(f"RANKRAG_{kind}"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "rankrag" / windows
    if sys.platform == "darwin":
        return Path.home() / mac / "rankrag"
    xdg = os.environ.get(f"XDG_{kind}_HOME", "")
    # The XDG specification tells us to ignore a relative path.
    return (Path(xdg) if Path(xdg).is_absolute() else Path.home() / unix) / "rankrag"
