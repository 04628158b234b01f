"""Recipes: YAML files whose values `--set a.b=c` puts others over."""

from __future__ import annotations

from pathlib import Path

from ..errors import FormatError, InvalidInputError, NotFoundError
from .lines import Record


def read_yaml(path: Path) -> Record:
    """Return the sections of a YAML file.

    Raises NotFoundError without the file, FormatError (with its line) for broken YAML or another content.
    """
    import yaml

    if not path.is_file():
        raise NotFoundError(f"found no recipe at {path}: check the path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise FormatError(str(path), None, f"found bytes that are not UTF-8 ({error.reason})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        found = f"found broken YAML ({error.problem}): mend it here or just above"
        raise FormatError(str(path), line, found) from error
    except yaml.YAMLError as error:
        raise FormatError(str(path), None, f"found broken YAML ({error})") from error
    if not isinstance(values, dict):
        raise FormatError(str(path), 1, f"found {type(values).__name__}, wanted names and their values")
    return values


def put_setting(values: Record, setting: str) -> None:
    """Put one `a.b.c=value` (the value is YAML) into nested dictionaries; InvalidInputError for another."""
    import yaml

    names, equals, text = setting.partition("=")
    *path, last = names.split(".")
    if not equals or not all([*path, last]):
        raise InvalidInputError(f"found the setting {setting!r}, wanted NAME.NAME=VALUE")
    inner: object = values
    for name in path:
        inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise InvalidInputError(f"found the setting {setting!r}, but {'.'.join(path)} holds no names")
    try:
        inner[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"found the setting {setting!r}, whose value is broken YAML") from error
