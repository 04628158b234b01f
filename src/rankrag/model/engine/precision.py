"""Choose the numbers to compute with: the fastest on this machine whose rankings were seen to be as good.

Which those are differs: one processor multiplies 16-bit numbers twice as fast as 32-bit ones, another only
imitates them. So products of the model's own shapes are measured once, and remembered.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal

from ...errors import InvalidInputError
from ...files import remember, remembered
from . import int8
from .blocks import KNOWN
from .memory import bound_kernels

EnginePrecision = Literal["float32", "bfloat16", "float16", "int8"]
"""Numbers to compute with: a format of the weights, or 8-bit integers, made from them when loading."""

MeasuredPrecision = Literal["float32", "bfloat16", "int8"]

EQUAL: tuple[MeasuredPrecision, ...] = ("float32", "bfloat16")
"""Those that are chosen from; docs/performance.md tells what the others cost in quality."""

WORTH_IT = 1.2
"""Times as fast as float32 that others have to be."""

_SMALL = 512
"""Width below which float32 is quick enough on anything."""

_LARGE = 2**28
"""Weights of a layer, a gigabyte of float32, from which nothing is measured: a model of 70 B has fewer."""

_ROWS = 128
_TRIES = 3


def choose(folder: Path, notes: Path) -> EnginePrecision | None:
    """Return the numbers for a model folder; None leaves it to the engine, which takes 16 bits on a GPU.

    `notes` is a file that keeps what was measured, made where it can be.
    """
    import torch

    if torch.cuda.is_available():
        return None
    found = rates(folder, notes)
    best = max(EQUAL, key=lambda name: found.get(name, 0.0))
    return best if found and found[best] > WORTH_IT * found["float32"] else "float32"


def rates(folder: Path, notes: Path) -> dict[MeasuredPrecision, float]:
    """Return operations a second by kind of numbers; empty for a small model or an unknown architecture.

    What the processor cannot do is left out.
    """
    import torch

    config = remembered(folder / "config.json")  # loading the model tells its faults
    width, inner = config.get("hidden_size"), config.get("intermediate_size")
    if not isinstance(width, int) or not isinstance(inner, int):
        return {}
    if str(config.get("model_type")) not in KNOWN or width < _SMALL or width * inner > _LARGE:
        return {}
    machine = (
        f"{platform.machine()} {_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    name = f"{machine}, {width} x {inner}"
    table = remembered(notes)
    if not isinstance(table.get(name), dict):
        table[name] = _measured(width, inner)
        remember(notes, table)
    found: dict[MeasuredPrecision, float] = table[name]
    return found


def _measured(width: int, inner: int) -> dict[MeasuredPrecision, float]:
    """Return operations a second of products from the width of hidden states to that inside of a block."""
    import torch

    bound_kernels()
    weight, rows = torch.randn(inner, width), torch.randn(_ROWS, width)
    half = rows.bfloat16(), weight.bfloat16()
    works: dict[MeasuredPrecision, Callable[[], object]] = {
        "float32": lambda: rows @ weight.t(),
        "bfloat16": lambda: half[0] @ half[1].t(),
    }
    with suppress(InvalidInputError):
        int8.check()
        layer, integers = int8.linear(weight), int8.quantised(rows)
        works["int8"] = partial(layer, integers)
    with torch.inference_mode():
        return {
            name: 2.0 * _ROWS * width * inner / min(map(_seconds, [work] * _TRIES))
            for name, work in works.items()
        }


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first time is one of compiling, and of memory never touched before
    started = perf_counter()
    work()
    return perf_counter() - started


def _processor() -> str:
    """Return the processor's name where the system tells it; it decides which instructions there are."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
