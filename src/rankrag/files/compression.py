"""How what is compressed is opened, by its ending, and what says that it is broken."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import IO

UNPACK: Mapping[str, Callable[[IO[bytes]], gzip.GzipFile | lzma.LZMAFile]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".xz": lzma.LZMAFile,
}
"""What gives the bytes of a compressed file that is open, by the ending of its name."""

BROKEN = (gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error)
"""What reading one raises where it is not whole, or not compressed at all."""
