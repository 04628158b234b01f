"""Every state of the page in a real browser: what it says, and that nothing is faint, cut off or covered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from page_states import HELD, STATES, Stage, stage
from test_server_page import BROWSER, browser, visit  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: apt install chromium)"),
]

AUDIT = (Path(__file__).parent / "page_audit.js").read_text()


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("states")) as found:
        yield found


def faults(page: Page) -> list[str]:
    """Return what is wrong with the page, on a phone and on a desk, in light and in dark."""
    found = []
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += [f"{width} {scheme}: {fault}" for fault in page.evaluate(AUDIT)]
    return found


@pytest.mark.parametrize("state", STATES)
def test_a_state_says_what_it_is_and_can_be_read(browser: Browser, staged: Stage, state: str) -> None:  # noqa: F811
    staged.go.clear() if state in HELD else staged.go.set()
    page = visit(browser, staged.url, reduced_motion="reduce")
    try:
        STATES[state](page)
        assert faults(page) == []
    finally:
        staged.go.set()
        page.close()


BROKEN = {
    "wider than the window": "<p style='width: 200vw; background: red'>wide</p>",
    "without a name": "<button></button>",
    "contrast": "<p style='color: #999; background: #fff'>faint</p>",
    "cut off": "<p style='overflow: hidden; white-space: nowrap; width: 4rem'>too long for its box</p>",
    "one over another": "<p>below</p><p style='margin-top: -1.2rem'>above</p>",
    "covered": "<div style='position: fixed; inset: 0; z-index: 99'></div>",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_looks_over_the_page_finds_each_fault(browser: Browser, staged: Stage, fault: str) -> None:  # noqa: F811
    page = visit(browser, staged.url, reduced_motion="reduce", bypass_csp=True)
    page.evaluate(
        "html => document.querySelector('main').insertAdjacentHTML('beforeend', html)", BROKEN[fault]
    )
    assert any(one.startswith(fault) for one in page.evaluate(AUDIT)), page.evaluate(AUDIT)
    page.close()
