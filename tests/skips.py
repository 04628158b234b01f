"""In `.ci/run` a skip whose reason is not listed here is a failure: a test that never ran holds nothing.

A pytest plugin, registered by `conftest.py` where `RANKRAG_SKIPS=listed` is set.
"""

import re
from collections.abc import Generator

import pytest

LISTED = [
    r"needs the shared data beside the project",
    r"needs (qwen2\.5-coder-0\.5b|llama-3-8b|llama-3-70b): rankrag model pull \S+",  # not a default
    r"\S+ cannot be fetched( from PyPI)?",
    r"needs Chromium \(.*\)",  # .ci/run says aloud when none could be installed
    r"needs (strace|docker-compose|dpkg-deb)",
    # What a container may not do.
    r"needs Linux with unshare and mounts for users",
    r"needs a user who may make a network namespace",
    r"needs 4,096 open files, may have \d+",
    # Tests of what happens without something that is here.
    r"the package datasets is installed",
    r"tesseract may be sure of what is drawn here",
]
"""Patterns for whole reasons. No package is among them: `make check` installs them all."""


def unlisted(skipped: pytest.CollectReport | pytest.TestReport) -> str | None:
    """Return why something was skipped, unless that is listed."""
    reason = str(skipped.longrepr[2] if isinstance(skipped.longrepr, tuple) else skipped.longrepr)
    reason = reason.removeprefix("Skipped: ")
    return None if any(re.fullmatch(pattern, reason) for pattern in LISTED) else reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for a reason of its own; one that is expected to fail is no skip."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that is skipped as a whole, which `importorskip` does."""
    report = yield
    if report.skipped:
        fail(report)
    return report


def fail(report: pytest.CollectReport | pytest.TestReport) -> None:
    if (reason := unlisted(report)) is not None:
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped: {reason}\nThis reason is not listed in tests/skips.py."
        )
