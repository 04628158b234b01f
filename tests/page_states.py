"""The states of the page, each as the steps that lead a browser there, and a server that has them all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import serving
from rankrag.index import IndexDocuments, build
from rankrag.types import Hit, Question, Ranker
from serving import PATIENCE_S, live, make_app
from test_server_page import ask, upload

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

WORDY = (
    "Which of the many birds that stand in the shallow water of the harbour does the heron eat before noon?"
)

TEXTS = {
    "cats.md": "# Cats\n\nCats sleep for sixteen hours a day. A cat has eighteen toes.",
    "a/folder/whose/name/is/long/enough/to/be/cut/whales.md": "# Whales\n\nThe blue whale weighs 150 tonnes.",
    "ferry.md": "# Ferry\n\n## How often does the ferry to the island go in winter?\n\nHourly.",
    "manual.md": "# Pumps\n\n"
    + "The pump is cleaned once a week, and its seal is greased then. " * 6
    + "The valve of the pump opens at nine bar. "
    + "Whoever greases the seal wears gloves. " * 3,
} | {f"heron{n}.md": f"# Heron {n}\n\nHeron {n} stands in the water and eats {n} fish." for n in range(30)}


@dataclass
class Staged:
    """The ranking of the model beneath, that can be held after its first step; whales are of no relevance."""

    beneath: Ranker
    go: threading.Event
    begun: Question | None = None

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        if "heron" in question.text and self.begun is question:
            assert self.go.wait(PATIENCE_S)
        self.begun = question
        ranked = self.beneath.rank(question, hits)
        return [replace(hit, score=0.01) for hit in ranked] if "whale" in question.text else ranked


class Rewrites:
    """Asks every later question as one about toes."""

    def rewrite(self, question: Question) -> str:
        return "How many toes does a cat have, and does it sleep?"


@dataclass
class Stage:
    """A server on which every state of the page can be had, and what holds its steps."""

    url: str
    go: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Serve 34 documents; a ranking of herons, and an upload, wait for `go`."""
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    build([str(folder)], folder / "index")
    go, over, add = threading.Event(), serving.pipeline_over, IndexDocuments.add

    def staged(*given: Any) -> Any:
        made = over(*given)
        ranker = Staged(cast("Ranker", made.ranker), go)
        return replace(made, ranker=ranker, rank_step=12, calibrated=True, rewriter=Rewrites())

    def held(self: IndexDocuments, paths: Any, progress: Any = None, more: bool = False) -> Any:
        while not go.wait(0.05):
            progress(4, 10, "bytes")
        return add(self, paths, progress, more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "pipeline_over", staged)
        patch.setattr(IndexDocuments, "add", held)
        with live(make_app(folder / "index"), grace_s=0) as url:
            try:
                yield Stage(url, go)
            finally:
                go.set()


def answered(page: Page, question: str = serving.QUESTION) -> None:
    n = page.get_by_test_id("copy").count()
    ask(page, question)
    page.get_by_test_id("copy").nth(n).wait_for()


def first(page: Page) -> None:
    page.get_by_test_id("examples").wait_for()
    assert "never trained to rank" in page.get_by_test_id("notice").inner_text()


def told(page: Page, **changed: object) -> None:
    """Open the page again over a server that says something else of itself."""

    def answer(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | changed)

    page.route("**/v1/info", answer)
    page.reload()


def without_index(page: Page) -> None:
    told(page, index=None, upload=None)
    page.get_by_text("There is no index here yet.").wait_for()


def without_documents(page: Page) -> None:
    told(page, index={"n_documents": 0, "n_passages": 0})
    page.locator("#hero-drop").wait_for()


def files_over_it(page: Page) -> None:
    first(page)
    page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["An owl."], "owl.md"));
            const over = { dataTransfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("dragover", over));
        }"""
    )
    page.get_by_text("Drop files to add them").wait_for()
    fade = page.locator("#veil").evaluate(
        "veil => getComputedStyle(veil).backgroundColor.match(/[\\d.]+(?=\\)$)/)[0]"
    )
    assert float(fade) > 0.95, "what is below shines through"


LONG = "minutes-of-the-meeting-of-the-harbour-board-in-december-2026-second-corrected-version.md"


def upload_running(page: Page) -> None:
    upload(page, LONG, "An owl has two ears.")
    page.get_by_test_id("job").get_by_text("reading, 40 %").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    name = page.get_by_test_id("job").locator("b")
    assert name.inner_text() == LONG
    assert name.evaluate("e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth")


def upload_done(page: Page) -> None:
    upload(page, "owl.md", "An owl has two ears.")
    page.get_by_test_id("job").get_by_text("indexed, 1 passage").wait_for()
    page.get_by_test_id("document").filter(has_text="owl.md").first.wait_for()


def upload_failed(page: Page) -> None:
    upload(page, "broken.pdf", "%PDF-1.4 nothing", **{"slides.key": b"no such kind"})
    page.get_by_test_id("problem").filter(has_text="broken.pdf").wait_for()
    page.get_by_test_id("job").get_by_text("not indexed").wait_for()
    assert "slides.key" in page.get_by_test_id("error").inner_text()


def deleting(page: Page) -> None:
    page.get_by_test_id("documents-button").click()
    page.get_by_test_id("delete-document").first.click()
    page.get_by_test_id("confirm-delete").wait_for()


def ranking(page: Page) -> None:
    ask(page, WORDY)
    page.get_by_text("Ranking 12 of 30").wait_for()
    page.get_by_test_id("stop-button").wait_for()


def stopped(page: Page) -> None:
    ranking(page)
    page.get_by_test_id("stop-button").click()
    assert page.get_by_test_id("stopped").inner_text().startswith("Stopped.")
    page.get_by_test_id("ask-button").wait_for()


def cited(page: Page) -> None:
    answered(page)
    assert page.get_by_test_id("citation").first.inner_text() == "[1]"


def one_word(page: Page) -> None:
    answered(page, "Is it hourly?")
    assert page.get_by_test_id("answer-text").inner_text().startswith("Hourly.")
    left = page.evaluate(
        """() => {
            const turn = document.querySelector(".turn"), foot = turn.getBoundingClientRect().bottom;
            return foot - Math.max(...[...turn.children].map((part) => part.getBoundingClientRect().bottom));
        }"""
    )
    assert left < 40, "room is kept under an answer that is there"
    bar = page.locator(".spent")
    assert (
        bar.evaluate("e => e.lastChild.getBoundingClientRect().right - e.getBoundingClientRect().right") > -1
    )


def weak(page: Page) -> None:
    answered(page, "What does a blue whale weigh?")
    assert "Weak evidence" in page.get_by_test_id("weak").inner_text()


def abstained(page: Page) -> None:
    settings(page)
    page.get_by_test_id("min-relevance").fill("100")
    page.keyboard.press("Escape")
    answered(page, "How heavy is a whale with eighteen toes?")
    assert "an answer needs 1.00" in page.get_by_test_id("abstained").inner_text()


def nothing_found(page: Page) -> None:
    answered(page, "Zzyzx?")
    assert "Nothing was retrieved" in page.get_by_test_id("abstained").inner_text()


def server_stopped(page: Page) -> None:
    event = 'event: answer\ndata: {"text": "A cat has"}\n\n'
    page.route("**/v1/ask", lambda route: route.fulfill(body=event, content_type="text/event-stream"))
    ask(page)
    page.get_by_text("The server stopped before the answer was finished.").wait_for()


def server_busy(page: Page) -> None:
    error = {"error": {"message": "found the line full, wanted room: ask again in 60 s"}}
    page.route(
        "**/v1/ask", lambda route: route.fulfill(status=429, json=error, headers={"retry-after": "60"})
    )
    ask(page)
    page.get_by_test_id("busy").filter(has_text="The server is busy.Trying again in").wait_for()


def server_away(page: Page) -> None:
    page.route("**/v1/info", lambda route: route.abort())
    page.reload()
    page.get_by_test_id("error").get_by_text("Try again").wait_for()


def key_wanted(page: Page) -> None:
    error = {"error": {"message": "found no valid API key, wanted one as `Authorization: Bearer KEY`"}}
    page.route("**/v1/info", lambda route: route.fulfill(status=401, json=error))
    page.reload()
    page.get_by_test_id("key-input").wait_for()
    assert page.locator("#key-why").inner_text() == "Whoever runs the server has one."


def followed_up(page: Page) -> None:
    """A second question, searched for in other words; the list of the first is folded."""
    answered(page)
    answered(page, "Does it sleep?")
    said = page.get_by_test_id("rewritten").inner_text()
    assert said == "Searched for: How many toes does a cat have, and does it sleep?"
    assert page.get_by_test_id("turn").count() == 2
    assert page.locator(".folding").first.get_attribute("aria-expanded") == "false"


def source(page: Page) -> None:
    """A source that is opened scrolls to the sentence that was cited."""
    page.set_viewport_size({"width": 390, "height": 640})
    answered(page, "At what does the valve of the pump open?")
    page.get_by_test_id("citation").first.click()
    mark = page.get_by_test_id("cited-span").first
    assert mark.inner_text() == "The valve of the pump opens at nine bar."
    body, place = page.locator("#panel-body").bounding_box(), mark.bounding_box()
    assert body is not None
    assert place is not None
    assert page.locator("#panel-body").evaluate("body => body.scrollTop") > 0
    assert body["y"] <= place["y"] <= body["y"] + body["height"] - place["height"]


def settings(page: Page) -> None:
    page.locator("#tune-button").click()
    page.get_by_test_id("min-relevance").fill("50")
    assert page.locator("#least-says").inner_text() == "0.25, high"


def shortcuts(page: Page) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_text("Keyboard shortcuts").wait_for()


STATES: dict[str, Callable[[Page], None]] = {
    made.__name__: made
    for made in (
        first, without_index, without_documents, files_over_it, upload_running, upload_done,
        upload_failed, deleting, ranking, stopped, cited, one_word, weak, abstained, nothing_found,
        server_stopped, server_busy, server_away, key_wanted, followed_up, source, settings, shortcuts,
    )
}  # fmt: skip
HELD = {"upload_running", "ranking", "stopped"}
"""States that a server is held in."""
