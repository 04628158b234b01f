"""Files of a Debian package, fetched by its name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def unpacked(package: str, folder: Path) -> bool:
    """Unpack a package into a folder; return False where it cannot be fetched."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    try:
        subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True, timeout=300)
    except subprocess.TimeoutExpired:
        return False
    fetched = [*folder.glob("*.deb")]
    for path in fetched:
        subprocess.run(["dpkg-deb", "-x", str(path), str(folder / "files")], check=True)
    return bool(fetched)
