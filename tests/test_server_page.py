"""The page in a real browser: Chromium without a window, driven as a person would."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import serving
from rankrag.cli.served import default_index
from rankrag.cli.served import make_index as make_empty
from rankrag.index import IndexDocuments
from rankrag.model import Budget
from rankrag.server import Access, ServerSettings
from rankrag.types import Hit, Question
from serving import PATIENCE_S, QUESTION, SlowModel, live, make_app, make_index, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: apt install chromium)"),
]

KEY = "correct-horse-battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=1000 * PATIENCE_S
        )
        yield found
        found.close()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_index(tmp_path)


@pytest.fixture
def url(index: Path) -> Iterator[str]:
    with live(make_app(index)) as found:
        yield found


def visit(browser: Browser, url: str, faults: list[str] | None = None, **more: object) -> Page:
    """Open the page; whatever its console complains of fails the test at the end of `faults`."""
    page = browser.new_page(**more)  # type: ignore[arg-type]
    page.set_default_timeout(1000 * PATIENCE_S)
    if faults is not None:
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(url)
    return page


def ask(page: Page, question: str = QUESTION) -> None:
    page.get_by_test_id("ask-input").fill(question)
    page.keyboard.press("Enter")


def upload(page: Page, name: str, text: str, **more: bytes) -> None:
    """Choose a file, and others beside it, by name without its ending."""
    from playwright.sync_api import FilePayload

    contents = {name: text.encode()} | more
    files = [FilePayload(name=name, mimeType="text/plain", buffer=data) for name, data in contents.items()]
    page.get_by_test_id("upload-input").set_input_files(files)


def top(element: Locator) -> float:
    """Return how far below the top of the window an element begins, in pixels."""
    box = element.bounding_box()
    assert box is not None
    return box["y"]


def test_ask_see_why_and_open_a_source(browser: Browser, url: str) -> None:
    faults: list[str] = []
    page = visit(browser, url, faults)
    ask(page)
    citation = page.get_by_test_id("citation").first
    citation.wait_for()
    assert "eighteen toes" in page.get_by_test_id("answer-text").first.inner_text()
    assert page.get_by_test_id("passage").count() >= 1
    assert page.get_by_test_id("relevance").first.is_visible()
    citation.click()
    panel = page.get_by_test_id("source-panel")
    panel.wait_for()
    assert "cats.md" in panel.inner_text()
    assert page.get_by_test_id("cited-span").first.inner_text() == "A cat has eighteen toes."
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    assert faults == []
    page.close()


def test_the_first_citation_is_the_passage_ranked_first_and_says_what_matters(
    browser: Browser, url: str
) -> None:
    page = visit(browser, url)
    ask(page)
    page.get_by_test_id("citation").first.wait_for()
    assert page.get_by_test_id("citation").first.inner_text() == "[1]"
    quote = page.get_by_test_id("quote").first
    assert "A cat has eighteen toes." in quote.inner_text()
    assert "line 3" in quote.inner_text()
    assert {"cat", "toes", "eighteen"} <= {*quote.locator("b").all_inner_texts()}
    first = page.get_by_test_id("passage").first
    assert first.locator(".snippet").inner_text().startswith("… A cat has eighteen toes.")
    page.close()


def test_a_source_is_named_by_its_section_and_shown_without_lines_under_headings(
    browser: Browser, index: Path
) -> None:
    with live(make_app(index)) as url:
        page = visit(browser, url)
        upload(
            page,
            "owl.rst",
            "====\nOwls\n====\n\nEars\n----\nAn owl has two ears.\n\n=== ===\nsum 2\n=== ===\n",
        )
        page.get_by_test_id("document").filter(has_text="owl.rst").first.wait_for()
        assert re.fullmatch(
            r"([A-Z]+, ){9}[A-Z]+ and \d+ more kinds, up to \d+ MB each", page.locator("#kinds").inner_text()
        )
        page.keyboard.press("Escape")
        ask(page, "How many ears has an owl?")
        page.get_by_test_id("copy").first.wait_for()
        first = page.get_by_test_id("passage").filter(has_text="owl.rst").first
        shown = first.locator(".snippet").inner_text() + page.get_by_test_id("quote").first.inner_text()
        assert shown.count("An owl has two ears.") == 2
        assert not re.search("[=-]{3}", shown)
        name = first.locator(".name")
        assert (name.inner_text(), name.get_attribute("title")) == ("Ears", "Owls › Ears")
        assert first.locator(".path").inner_text().endswith("owl.rst · line 7")
        page.close()


class Whales:
    """Finds whatever is asked of whales of next to no relevance, all else highly relevant."""

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(hit, score=0.01 if "whale" in question.text else 0.5) for hit in hits]


def test_weak_evidence_is_said_and_relevance_has_a_name(
    browser: Browser, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = serving.pipeline_over
    monkeypatch.setattr(
        serving, "pipeline_over", lambda *given: replace(over(*given), calibrated=True, ranker=Whales())
    )
    with live(make_app(index)) as url:
        page = visit(browser, url)
        ask(page)
        page.get_by_test_id("copy").wait_for()
        assert page.locator(".level.high").first.inner_text() == "high"
        assert page.get_by_test_id("weak").count() == 0
        ask(page, "What does a blue whale weigh?")
        page.get_by_test_id("weak").wait_for()
        assert "a relevance of 0.01 (low)" in page.get_by_test_id("weak").inner_text()
        page.get_by_test_id("copy").nth(1).wait_for()
        weak, answer = page.get_by_test_id("weak"), page.get_by_test_id("answer-text").last
        assert top(weak) < top(answer)
        page.close()


def test_a_question_and_a_file_that_come_before_the_page_knows_its_server_wait(
    browser: Browser, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = serving.pipeline_over
    held: list[Any] = []
    monkeypatch.setattr(
        serving, "pipeline_over", lambda *given: replace(over(*given), calibrated=True, ranker=Whales())
    )
    with live(make_app(index)) as url:
        page = visit(browser, "about:blank")
        page.route("**/v1/info", lambda route: held.append(route) if not held else route.continue_())
        with page.expect_request("**/v1/info"):
            page.goto(url)
        ask(page)
        upload(page, "owl.md", "# Owls\n\nAn owl has two ears.")
        held[0].continue_()
        page.get_by_test_id("document").filter(has_text="owl.md").first.wait_for()
        page.keyboard.press("Escape")
        page.locator(".level.high").first.wait_for()
        assert page.get_by_test_id("error").count() == 0
        page.close()


def test_it_shows_how_far_a_ranking_is(
    browser: Browser, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, second = serving.pipeline_over, threading.Event()

    class Waiting(Whales):
        passed = 0

        def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
            assert not self.passed or second.wait(PATIENCE_S)
            self.passed += len(hits)
            return Whales.rank(self, question, hits)

    monkeypatch.setattr(
        serving, "pipeline_over", lambda *given: replace(over(*given), ranker=Waiting(), rank_step=1)
    )
    with live(make_app(index)) as url:
        page = visit(browser, url)
        ask(page, "How many toes does a cat have, and what does a whale weigh?")
        page.get_by_text("Ranking 1 of 2").wait_for()
        second.set()
        page.get_by_test_id("copy").wait_for()
        assert page.get_by_text("being ranked").count() == 0
        page.close()


def test_the_least_relevance_is_asked_for_with_a_slider(browser: Browser, url: str) -> None:
    page = visit(browser, url)
    page.locator("#tune-button").click()
    page.get_by_test_id("min-relevance").fill("100")
    page.keyboard.press("Escape")
    ask(page, "How heavy is a whale with eighteen toes?")
    page.get_by_test_id("abstained").wait_for()
    page.close()


def test_a_server_that_stops_is_named_so(browser: Browser, index: Path) -> None:
    page = browser.new_page()
    page.set_default_timeout(1000 * PATIENCE_S)
    model = SlowModel()
    with live(make_app(index, model), grace_s=0) as url:
        page.goto(url)
        ask(page)
        page.get_by_test_id("passage").first.wait_for()
        model.go.set()
        page.route("**/v1/ask", lambda route: route.abort())
        page.get_by_test_id("copy").first.wait_for()
    ask(page)
    page.get_by_test_id("error").wait_for()
    assert "The server" in page.get_by_test_id("error").inner_text()
    page.close()


def test_a_bad_file_is_named(browser: Browser, url: str) -> None:
    page = visit(browser, url)
    upload(page, "broken.pdf", "%PDF-1.4 nothing")
    problem = page.get_by_test_id("problem").first
    problem.wait_for()
    assert "broken.pdf" in problem.inner_text()
    page.close()


def test_files_beside_a_bad_one_go_in_and_it_is_named(browser: Browser, index: Path) -> None:
    with live(make_app(index)) as url:
        page = visit(browser, url)
        upload(page, "slides.key", "no such kind", program=b"\x7fELF\0\0", notes=b"Moles dig tunnels.")
        page.get_by_test_id("document").filter(has_text="notes").first.wait_for()
        page.get_by_test_id("error").nth(1).wait_for()
        refused = page.get_by_test_id("error").all_inner_texts()
        assert refused[0] == "slides.key: files of this kind cannot be read. Save it as PDF, HTML or text"
        assert refused[1].startswith("program: found a file that is not text")
        assert len(refused) == 2
        assert page.get_by_test_id("document").count() == 4
        page.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_list_that_is_folded_stays_where_it_was_pressed(browser: Browser, url: str, width: int) -> None:
    page = visit(browser, url, viewport={"width": width, "height": 600}, reduced_motion="reduce")
    ask(page)
    page.get_by_test_id("copy").first.wait_for()
    folding = page.locator(".folding").first
    folding.click(trial=True)  # scrolls to where it can be pressed
    before = folding.bounding_box()
    folding.click()
    folding.click()
    after = folding.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 4
    page.close()


def test_the_first_screen_offers_questions_of_the_documents(browser: Browser, index: Path) -> None:
    with live(make_app(index)) as url:
        page = visit(browser, url)
        upload(page, "owl.md", "# Owls\n\n## How many ears has an owl?\n\nAn owl has two ears, both hidden.")
        page.get_by_test_id("document").filter(has_text="owl.md").first.wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="How many ears has an owl?").click()
        page.get_by_test_id("copy").first.wait_for()
        page.close()


def test_text_of_documents_is_never_html(browser: Browser, index: Path) -> None:
    evil = "<img src=x onerror=document.title='owned'> <script>document.title='owned'</script> "
    evil += "A dog has nine tails."
    with live(make_app(index)) as url:
        faults: list[str] = []
        page = visit(browser, url, faults)
        upload(page, "<i>dog.md", evil)
        page.get_by_test_id("document").filter(has_text="idog.md").first.wait_for()
        page.keyboard.press("Escape")
        ask(page, "How many tails has a dog?")
        page.get_by_test_id("answer-text").filter(has_text="nine tails").first.wait_for()
        page.get_by_test_id("citation").first.click()
        page.get_by_test_id("source-panel").wait_for()
        assert "<script>" in page.get_by_test_id("source-panel").inner_text()
        assert page.title() != "owned"
        assert page.locator("img[src=x]").count() == 0
        assert faults == []
        page.close()


def test_documents_are_uploaded_listed_and_deleted(browser: Browser, index: Path) -> None:
    with live(make_app(index)) as url:
        page = visit(browser, url)
        upload(page, "owl.md", "# Owls\n\nAn owl has two ears.")
        owl = page.get_by_test_id("document").filter(has_text="owl.md").first
        owl.wait_for()
        assert page.get_by_test_id("document").count() == 4
        page.keyboard.press("Escape")
        ask(page, "How many ears has an owl?")
        page.get_by_test_id("answer-text").filter(has_text="two ears").first.wait_for()
        page.get_by_test_id("documents-button").click()
        owl.get_by_test_id("delete-document").click()
        page.get_by_test_id("confirm-delete").click()
        owl.wait_for(state="detached")
        assert not (index / "uploads" / "owl.md").exists()
        page.close()


def test_it_begins_with_nothing_at_a_drop_zone(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKRAG_DATA", str(tmp_path))
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))  # no encoder, whatever was pulled
    monkeypatch.delenv("RANKRAG_INDEX", raising=False)
    monkeypatch.chdir(tmp_path)
    assert make_empty(default_index())
    faults: list[str] = []
    with live(make_app(default_index())) as url:
        page = visit(browser, url, faults)
        page.locator("#hero-drop").wait_for()
        assert "There are no documents yet." in page.locator("main").inner_text()
        assert page.locator("#hero-choose").is_visible()
        upload(page, "owl.md", "# Owls\n\nAn owl has two ears.")
        page.get_by_test_id("document").filter(has_text="owl.md").first.wait_for()
        page.keyboard.press("Escape")
        ask(page, "How many ears has an owl?")
        page.get_by_test_id("answer-text").filter(has_text="two ears").first.wait_for()
        assert faults == []
        page.close()


def test_an_upload_that_goes_in_can_be_cancelled(
    browser: Browser, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, add = threading.Event(), IndexDocuments.add

    def wait(self: IndexDocuments, paths: Any, progress: Any = None, more: bool = False) -> Any:
        while not go.wait(0.05):
            progress(1, 10, "bytes")
        return add(self, paths, progress, more)

    monkeypatch.setattr(IndexDocuments, "add", wait)
    with live(make_app(index)) as url:
        page = visit(browser, url)
        upload(page, "owl.md", "# Owls\n\nAn owl has two ears.")
        job = page.get_by_test_id("job").first
        job.get_by_text("reading, ").wait_for()
        job.get_by_role("button", name="Cancel").click()
        job.get_by_text("cancelled").wait_for()
        job.get_by_role("button", name="Dismiss").click()
        job.wait_for(state="detached")
        until(lambda: not (index / "uploads" / "owl.md").exists())
        page.close()


def test_an_error_is_shown_and_work_can_be_stopped(browser: Browser, index: Path) -> None:
    model = SlowModel()
    app = make_app(index, model)
    with live(app) as url:
        page = visit(browser, url)
        ask(page)
        page.get_by_test_id("passage").first.wait_for()
        page.get_by_test_id("stop-button").click()
        page.get_by_test_id("stop-button").wait_for(state="hidden")
        until(lambda: app.state.rankrag.desk.n_running == 0)
        model.go.set()
        page.get_by_test_id("ask-input").fill("x" * 200)
        page.close()


def test_it_says_why_it_abstained(browser: Browser, index: Path) -> None:
    with live(make_app(index, min_relevance=1.0)) as url:
        page = visit(browser, url)
        ask(page)
        abstained = page.get_by_test_id("abstained")
        abstained.wait_for()
        assert re.search(r"relevan", abstained.inner_text())
        page.close()


def test_it_says_what_a_budget_left_unscored(browser: Browser, index: Path) -> None:
    with live(make_app(index, budget=Budget(rank_k=2))) as url:
        page = visit(browser, url)
        ask(page, "What do cats, whales and tea have in common?")
        page.locator(".folding").get_by_text("2 of 3 passages ranked").wait_for()
        found = page.get_by_test_id("relevance").all_inner_texts()
        assert found[2] == "not scored"
        assert "not scored" not in found[:2]
        page.close()


def test_it_asks_for_a_key(browser: Browser, index: Path) -> None:
    with live(make_app(index, settings=ServerSettings(access=Access((KEY,))))) as url:
        page = visit(browser, url)
        page.locator("dialog[open] input").first.fill(KEY)
        page.keyboard.press("Enter")
        ask(page)
        page.get_by_test_id("answer-text").filter(has_text="eighteen").first.wait_for()
        page.close()


@pytest.mark.parametrize("n_documents", [0, 3])
def test_the_first_screen_of_a_phone_has_the_place_to_ask(
    browser: Browser, index: Path, n_documents: int
) -> None:
    app = make_app(index)
    for document in [*app.state.rankrag.documents.list()][n_documents:]:
        app.state.rankrag.documents.delete([document.id])
    with live(app) as url:
        page = visit(browser, url, viewport={"width": 390, "height": 640})
        page.route("**/v1/examples", lambda route: route.fulfill(json={"data": ["How long is it? " * 5] * 4}))
        page.reload()
        page.locator("#hero-drop, #examples button").locator("visible=true").first.wait_for()
        box = page.get_by_test_id("ask-input").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 640
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, url: str, scheme: str) -> None:
    page = visit(browser, url, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    ask(page)
    page.get_by_test_id("citation").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_every_control_has_a_name(browser: Browser, url: str) -> None:
    page = visit(browser, url)
    ask(page)
    page.get_by_test_id("citation").first.wait_for()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, [role=button]')]
            .filter(e => e.type !== 'hidden' && !(e.getAttribute('aria-label') || e.labels?.length
                || e.getAttribute('aria-labelledby') || e.title || e.textContent.trim()))
            .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    assert page.locator("main").count() == 1
    assert page.locator("[aria-live=polite]").count() >= 1
    assert page.evaluate("document.documentElement.lang") == "en"
    page.close()
