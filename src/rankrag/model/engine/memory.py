"""Keep resident memory near what weights and states need: what the libraries keep beside them is bounded."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

_KERNELS, _MOST_KERNELS = 128, 1024
"""Compiled products that are kept for each thread, and in all. A pass needs 20 to 60: four of the weights,
and two of attention for each 64 tokens of a prompt."""


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
