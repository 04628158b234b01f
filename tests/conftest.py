"""What holds for the whole suite: no network, and the same random texts in every run."""

import gc
import os
import runpy
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

import skips

# The suite is offline by rule; a test that reaches out fails as it would on a machine without a network.
runpy.run_path(str(Path(__file__).parent / "no_network" / "sitecustomize.py"))

# OpenMP threads spin while they wait for each other; briefly, as the command line has it, is enough.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# Waiting for the disk is for what has to survive a power cut; the tests that are about it do it.
os.environ.setdefault("RANKRAG_SYNC", "off")

# Workers side by side share the cores: one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the suite in the background has Ctrl-C ignored, by the processes of the tests as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the time of one example says nothing on a busy machine. Same texts: a failure comes back.
settings.register_profile("house", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Let `.ci/run` accept only the skips that are listed."""
    if os.environ.get("RANKRAG_SKIPS") == "listed":
        config.pluginmanager.register(skips)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while modules are imported, a quarter of the time, nor later in what they left."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
