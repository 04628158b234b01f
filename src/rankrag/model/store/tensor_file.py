"""Writes a safetensors file one tensor at a time, so that a model need not fit in memory to be converted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

Format = Literal["F32", "F16"]

_NUMPY: dict[Format, str] = {"F32": "<f4", "F16": "<f2"}
_LARGEST_F16 = 65504.0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to be written: `read` makes its values, float32, when its turn comes, some rows at a time."""

    name: str
    shape: tuple[int, ...]
    form: Format
    read: Callable[[], Iterable[np.ndarray]]

    @property
    def n_bytes(self) -> int:
        """Bytes of its values in the file."""
        return prod(self.shape) * (4 if self.form == "F32" else 2)


def write(tensors: Iterable[Tensor], path: Path, progress: Callable[[int, int], None]) -> None:
    """Write tensors to a new file; `progress` is told how many of how many are done.

    The bytes are those that the safetensors package writes: first by width of the numbers, then by name.
    Raises InvalidInputError for a value that is not finite or does not fit the format, or for a wrong number
    of values.
    """
    ordered = sorted(tensors, key=lambda tensor: (tensor.form != "F32", tensor.name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for tensor in ordered:
        offsets = [place, place := place + tensor.n_bytes]
        header[tensor.name] = {"dtype": tensor.form, "shape": [*tensor.shape], "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for done, tensor in enumerate(ordered, 1):
            for values in _values(tensor):
                file.write(values)
            progress(done, len(ordered))


def _values(tensor: Tensor) -> Iterator[bytes]:
    import numpy as np

    limit = _LARGEST_F16 if tensor.form == "F16" else float(np.finfo(np.float32).max)
    written = 0
    for rows in tensor.read():
        largest = max(float(rows.max(initial=0.0)), -float(rows.min(initial=0.0)))
        if not largest <= limit:  # this holds for NaN as well
            raise InvalidInputError(
                f"found {tensor.name} with numbers up to {largest:.3g}, wanted finite ones up to "
                f"{limit:.3g}: fetch the file again"
            )
        content = rows.astype(_NUMPY[tensor.form], copy=False).tobytes()
        written += len(content)
        yield content
    if written != tensor.n_bytes:
        raise InvalidInputError(
            f"found {written} bytes of {tensor.name}, wanted {tensor.n_bytes}: fetch the file again"
        )
