"""What holds for the whole suite: no network, and the same random texts in every run."""

import os
import runpy
from pathlib import Path

from hypothesis import settings

# The suite is offline by rule; a test that reaches out fails as it would on a machine without a network.
runpy.run_path(str(Path(__file__).parent / "no_network" / "sitecustomize.py"))

# OpenMP threads spin while they wait for each other. Where other programs want the same cores that made
# the generation of a token 7 times slower (2.8 s against 17 s for 16 tokens on two busy cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Workers side by side share the cores: one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: the time of one example says nothing on a busy machine. Same texts: a failure comes back.
settings.register_profile("house", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("house")
