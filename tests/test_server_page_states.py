"""Every state of the page in a real browser: what it says, and that nothing is faint, cut off or covered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from page_states import HELD, STATES, Stage, answered, stage
from rankrag.server import Access, ServerSettings
from serving import SlowModel, live, make_app
from test_server_page import BROWSER, ask, browser, index, visit  # noqa: F401 - fixtures

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


def test_what_looks_over_the_page_finds_each_fault(browser: Browser, staged: Stage) -> None:  # noqa: F811
    page = visit(browser, staged.url, reduced_motion="reduce", bypass_csp=True)
    for fault, html in BROKEN.items():
        page.evaluate("html => document.querySelector('main').insertAdjacentHTML('beforeend', html)", html)
        found = page.evaluate(AUDIT)
        assert any(one.startswith(fault) for one in found), (fault, found)
    page.close()


def test_a_long_list_on_a_phone_folds_back_to_its_place(browser: Browser, staged: Stage) -> None:  # noqa: F811
    staged.go.set()
    phone = {"width": 390, "height": 844}
    page = visit(browser, staged.url, viewport=phone, reduced_motion="reduce")
    answered(page, "How many fish does heron 7 eat in the water?")
    page.get_by_test_id("show-all").click()
    folding = page.locator(".folding")
    page.evaluate("document.querySelector('.folding').scrollIntoView({ block: 'start' })")
    place = page.evaluate("scrollY")
    assert place > 100
    folding.click()
    page.get_by_test_id("passage").first.wait_for(state="hidden")
    assert page.evaluate("scrollY") < place
    folding.click()
    assert page.evaluate("scrollY") == place
    assert page.get_by_test_id("passage").last.is_visible()
    page.close()


def test_a_key_that_is_not_known_is_asked_for_again(browser: Browser, index: Path) -> None:  # noqa: F811
    key = "correct-horse-battery"
    with live(make_app(index, settings=ServerSettings(access=Access((key,))))) as url:
        page = visit(browser, url)
        page.get_by_text("Whoever runs the server has one.").wait_for()
        page.get_by_test_id("key-input").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("The server does not know the key that was given.").wait_for()
        page.get_by_test_id("key-input").fill(key)
        page.keyboard.press("Enter")
        page.get_by_text("Ask your documents, and see why.").wait_for()
        page.locator("#docs-count").get_by_text("3").wait_for()
        page.close()


@pytest.fixture
def writer() -> SlowModel:
    """A model that takes its time for every word of an answer."""
    model = SlowModel(piece_s=0.3)
    model.go.set()
    return model


def begun(browser: Browser, url: str) -> Page:  # noqa: F811
    """Return a page on which an answer has begun."""
    page = visit(browser, url)
    ask(page)
    page.get_by_test_id("answer-text").filter(has_text="A cat").wait_for()
    return page


def test_what_was_written_stays_when_it_is_stopped(
    browser: Browser,  # noqa: F811
    index: Path,  # noqa: F811
    writer: SlowModel,
) -> None:
    with live(make_app(index, writer), grace_s=0) as url:
        page = begun(browser, url)
        page.get_by_test_id("stop-button").click()
        page.get_by_test_id("stopped").get_by_text("Ask again").wait_for()
        assert page.get_by_test_id("answer-text").inner_text().startswith("A cat")
        assert page.get_by_test_id("copy").count() == 0
        writer.piece_s = 0
        page.get_by_text("Ask again").click()
        page.get_by_test_id("copy").wait_for()
        assert page.get_by_test_id("turn").count() == 1
        page.close()


def test_a_server_that_stops_while_it_writes_is_named(
    browser: Browser,  # noqa: F811
    index: Path,  # noqa: F811
    writer: SlowModel,
) -> None:
    with live(make_app(index, writer), grace_s=0) as url:
        page = begun(browser, url)
    error = page.get_by_test_id("error")
    error.wait_for()
    assert re.match("The server stopped before|found the server closing", error.inner_text())
    assert "Ask again" in error.inner_text()
    assert page.get_by_test_id("answer-text").inner_text().startswith("A cat")
    page.close()


def test_keys_lead_through_an_answer(browser: Browser, staged: Stage) -> None:  # noqa: F811
    staged.go.set()
    page = visit(browser, staged.url, reduced_motion="reduce")
    answered(page, "Is it hourly?")
    panel = page.get_by_test_id("source-panel")
    page.keyboard.press("Escape")  # leaves the box
    page.keyboard.press("1")
    panel.get_by_text("The answer says").wait_for()
    page.keyboard.press("j")
    panel.get_by_text("Ranked 2 by the model").wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    page.keyboard.press("d")
    page.get_by_test_id("document").first.wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("Is")
    assert page.get_by_test_id("ask-input").input_value() == "Is"
    page.get_by_test_id("new-conversation").click()
    page.get_by_text("Ask your documents, and see why.").wait_for()
    assert page.get_by_test_id("turn").count() == 0
    page.close()


def test_a_theme_that_is_chosen_stays(browser: Browser, staged: Stage) -> None:  # noqa: F811
    page = visit(browser, staged.url, color_scheme="light", reduced_motion="reduce")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    theme = page.locator("#theme-button")
    theme.click()
    theme.click()
    assert theme.get_attribute("aria-label") == "Theme: dark"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.close()
