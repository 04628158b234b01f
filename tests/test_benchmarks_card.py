"""The script that measures the model card again: what it calls exists, and what is off is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

import card

WAS = {"value": 0.5, "low": 0.4, "high": 0.6}
PLACE = ("ranked", "nq", "EM")


@pytest.mark.parametrize("step", card.STEPS)
def test_the_scripts_know_the_options_of_every_step(step: str) -> None:
    script, *options = [str(part) for part in card.STEPS[step]]
    # Options are read in their order, so a wrong one is refused before help is given.
    command = [sys.executable, str(card.HERE / script), *options, "--name", step, "--no-browse", "--help"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


@pytest.mark.parametrize("step", card.STEPS)
def test_what_is_measured_again_was_published_as_it_is_asked(step: str) -> None:
    options = [*map(str, card.STEPS[step])]
    published = card.numbers(card.PUBLISHED / step)
    benchmarks = {benchmark for _, benchmark, _ in published}
    if "--only" in options:
        assert benchmarks == {*options[options.index("--only") + 1 : options.index("--systems")]}
        assert {system for system, _, _ in published} == {*options[options.index("--systems") + 1 :]}
    at_most = int(options[options.index("-n") + 1])
    assert max(value["n"] for value in published.values()) == at_most


@pytest.mark.parametrize("value", [0.4, 0.5, 0.6])
def test_a_number_within_its_interval_is_as_published(value: float) -> None:
    assert [*card.differences({PLACE: WAS}, {PLACE: {**WAS, "value": value}})] == []


def test_a_number_outside_of_its_interval_is_said() -> None:
    (line,) = card.differences({PLACE: WAS}, {PLACE: {**WAS, "value": 0.39}})
    assert line == "ranked nq EM: found 39.0, wanted 50.0 [40.0, 60.0]"


def test_a_number_that_was_not_measured_is_said() -> None:
    (line,) = card.differences({PLACE: WAS}, {})
    assert line == "ranked nq EM: 50.0 was published, and nothing measured"
