"""How any file is opened, written whole, hashed and held; recipes with `--set`; rows of data."""

from .compression import BROKEN, UNPACK
from .lines import (
    Record,
    as_object,
    is_text,
    kind_of,
    open_text,
    parse_object,
    read_json,
    read_lines,
    read_records,
)
from .places import user_folder
from .recipes import put_setting, read_yaml
from .rows import Row, messages, rows, stem, whole_object
from .typed_json import typed
from .whole import (
    locked,
    remember,
    remembered,
    replacing,
    sha256,
    summed,
    sync,
    unsummed,
    write_json,
    write_records,
    writing,
)

__all__ = [
    "BROKEN",
    "UNPACK",
    "Record",
    "Row",
    "as_object",
    "is_text",
    "kind_of",
    "locked",
    "messages",
    "open_text",
    "parse_object",
    "put_setting",
    "read_json",
    "read_lines",
    "read_records",
    "read_yaml",
    "remember",
    "remembered",
    "replacing",
    "rows",
    "sha256",
    "stem",
    "summed",
    "sync",
    "typed",
    "unsummed",
    "user_folder",
    "whole_object",
    "write_json",
    "write_records",
    "writing",
]
