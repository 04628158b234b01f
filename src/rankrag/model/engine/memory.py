"""Resident memory: what of it is weights and states, and bounds for what the libraries keep beside them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .local import LocalLanguageModel

_KERNELS, _MOST_KERNELS = 128, 1024
"""Compiled products that are kept for each thread, and in all. A pass needs 20 to 60: four of the weights,
and two of attention for each 64 tokens of a prompt."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that this process holds now: all that is resident, and of it weights and states of passages."""

    resident: int
    weights: int
    states: int

    @property
    def rest(self) -> int:
        """Programs, their objects, and what allocators keep."""
        return self.resident - self.weights - self.states


def memory(models: Iterable[LocalLanguageModel]) -> Memory | None:
    """Return what this process holds with these models loaded; None where the system is not Linux.

    What is on a GPU is none of it.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    here = [lm for lm in models if lm.device == "cpu"]
    weights, states = sum(lm.weights_bytes for lm in here), sum(lm.cache.n_bytes for lm in here)
    return Memory(pages * os.sysconf("SC_PAGE_SIZE"), weights, states)


def bound_kernels() -> None:
    """Have oneDNN, and PyTorch's layer over it, keep few compiled products; to be called before the first.

    One is compiled for every shape, 0.3 to 0.5 MB each, and packed prompts make ever other shapes. By their
    own limits, 1,024 each, they let a process grow by 0.5 GB. What is in the environment already stays.
    """
    import torch

    most = str(min(_MOST_KERNELS, _KERNELS * torch.get_num_threads()))
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, most)


def give_back() -> None:
    """Return what was freed to the system, where the C library is glibc; elsewhere do nothing.

    A pass leaves its activations free but resident, in the pool of every thread that allocated some: 0.7 GB
    after a model of 0.5B weights was loaded and quantised. Giving back takes milliseconds, and so does
    faulting it in again, where a ranking takes seconds.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], object] | None:
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
        return trim
    except (AttributeError, OSError, TypeError):  # musl and macOS have none, Windows no such library
        return None
