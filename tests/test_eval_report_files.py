"""The files of a report: results, Markdown, plots and the page."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cli_call import call
from eval_sample import PLAIN, RANKRAG, few, sample
from rankrag.errors import FormatError, NotFoundError
from rankrag.eval.report import write_report
from rankrag.eval.report.page_html import browser_data, embedded, html
from rankrag.eval.report.plots import Plot, inline, plots
from rankrag.eval.report.sections import sections
from rankrag.eval.report.write import escaped, markdown
from rankrag.eval.results import (
    Curve,
    QuestionRow,
    Results,
    ShownAnswer,
    System,
    Value,
    read_results,
    write_results,
)

HOSTILE = '</script><img src=x onerror="alert(1)"><!-- | `x` *y* \u2028'


@pytest.fixture(scope="module")
def results() -> Results:
    return few()


@pytest.fixture(scope="module")
def drawn(results: Results) -> tuple[Plot, ...]:
    return plots(results)


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────


def test_results_survive_the_disk(tmp_path: Path, results: Results) -> None:
    write_results(tmp_path / "r.json", results)
    assert read_results(tmp_path / "r.json") == results


def test_numbers_that_are_none_become_null_and_nan(tmp_path: Path, results: Results) -> None:
    curve = Curve("s", "nq", "EM", "read_k", ((1.0, Value(0.5, math.nan, math.inf, 1, 1)),))
    write_results(tmp_path / "r.json", replace(results, curves=(curve,)))
    (_, found) = read_results(tmp_path / "r.json").curves[0].points[0]
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(extra=1), "results: found unknown extra, wanted title"),
        (lambda r: r["systems"][0].pop("ranker"), r"results.systems\[0\]: found no ranker"),
        (lambda r: r["cells"][0].update(questions="50"), r"cells\[0\].questions: found str '50', wanted int"),
        (lambda r: r.update(systems={}), "results.systems: found dict {}, wanted a list"),
        (lambda r: r["reliability"][0]["bins"][0].pop(), "found 2 values, wanted 3"),
        (lambda r: r.update(format="rankrag results 9"), "found format 'rankrag results 9', wanted"),
    ],
)
def test_other_layouts_are_refused(
    tmp_path: Path, results: Results, change: Callable[[Any], object], message: str
) -> None:
    path = tmp_path / "r.json"
    write_results(path, results)
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        read_results(path)


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="found no file"):
        read_results(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match="found no JSON"):
        read_results(tmp_path / "r.json")


@pytest.mark.slow
def test_a_report_is_the_same_bytes_each_time(tmp_path: Path, results: Results) -> None:
    (tmp_path / "b" / "plots").mkdir(parents=True)
    (tmp_path / "b" / "plots" / "stale.svg").write_text("old", encoding="utf-8")
    paths = write_report(tmp_path / "a", results)
    again = write_report(tmp_path / "b", results)
    names = [str(one.relative_to(tmp_path / "a")) for one in paths]
    assert names[:3] == ["results.json", "report.md", "report.html"]
    assert sorted(names[3:]) == ["plots/curve-1.svg", "plots/forest-1.svg", "plots/reliability-1.svg"]
    assert sorted(one for one in (tmp_path / "b").rglob("*") if one.is_file()) == sorted(again)
    assert [one.read_bytes() for one in paths] == [one.read_bytes() for one in again]


def test_without_the_page_nothing_names_it(tmp_path: Path, results: Results) -> None:
    (tmp_path / "plots").mkdir()
    for stale in (tmp_path / "report.html", tmp_path / "plots" / "forest-1.svg"):
        stale.write_text("old", encoding="utf-8")
    paths = write_report(tmp_path, results, page=False)
    assert sorted(one for one in tmp_path.rglob("*") if one.is_file()) == sorted(paths)
    assert [one.name for one in paths] == ["results.json", "report.md"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "plots/" not in text
    assert "report.html" not in text


def test_an_earlier_report_is_drawn_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, results: Results
) -> None:
    write_report(tmp_path / "kept", results, page=False)
    call(capsys, "eval", "report", str(tmp_path / "kept"), "--to", str(tmp_path / "again"), "--no-page")
    for name in ("results.json", "report.md"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "kept" / name).read_bytes()


@pytest.mark.slow
def test_another_process_draws_the_same_bytes(results: Results, drawn: tuple[Plot, ...]) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.stdout.reconfigure(encoding='utf-8');"
        "from eval_sample import few; from rankrag.eval.report.plots import plots;"
        "print(''.join(one.svg for one in plots(few())), end='')"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert found == "".join(one.svg for one in drawn)


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_markdown_tables_are_well_formed(results: Results, drawn: tuple[Plot, ...]) -> None:
    named = replace(results, title=HOSTILE, systems=tuple(renamed(results)))
    text = markdown(named, sections(named), drawn)
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 9
    for head, rule, *body in blocks:
        assert set(rule) <= set("|-: ")
        assert {cells(line) for line in (head, rule, *body)} == {cells(head)}
    assert "<img" not in text
    assert "\u2028" not in text
    assert "(quoted)" in text
    assert "](plots/forest-1.svg)" in text


def renamed(results: Results) -> list[System]:
    return [replace(one, corpus=HOSTILE) for one in results.systems]


def test_markdown_shows_text_as_it_is() -> None:
    assert escaped("a|b\nc <i> *d* `e`") == r"a\|b c &lt;i&gt; \*d\* \`e\`"


# ── plots ────────────────────────────────────────────────────────────────────────────────────────────


def test_plots_are_svg_without_a_date(drawn: tuple[Plot, ...]) -> None:
    assert [one.name for one in drawn] == ["forest-1", "curve-1", "reliability-1"]
    for one in drawn:
        root = ElementTree.fromstring(one.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not root.findall(".//{*}metadata")
        texts = "".join(root.itertext())
        assert one.title.split(":")[0].split(",")[0].split(" minus")[0] in texts  # text stays text
        assert "xmlns" not in inline(one)


def test_a_plot_says_its_unit_and_the_counts_of_its_bins(drawn: tuple[Plot, ...]) -> None:
    texts = ["".join(ElementTree.fromstring(one.svg).itertext()) for one in drawn]
    assert "difference, points (x100)" in texts[0]
    assert "EM (x100)" in texts[1]
    assert "retrieve_k" in texts[1]
    assert "4,000" in texts[2]


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """Reads a page: its tags, attributes, ids, and the text of its scripts."""

    VOID = frozenset({"meta", "br", "input", "img", "link"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def hostile(results: Results) -> Results:
    """The sample with text that tries to be markup, wherever text comes from outside."""
    given = {name: ShownAnswer(HOSTILE, {"EM": 1.0}, ((HOSTILE, HOSTILE),)) for name in (PLAIN, RANKRAG)}
    return replace(
        results,
        title=HOSTILE,
        command=HOSTILE,
        systems=tuple(renamed(results)),
        questions=(QuestionRow("nq", HOSTILE, HOSTILE, (HOSTILE,), given),),
        missing=(HOSTILE,),
    )


@pytest.fixture(scope="module")
def page(hostile: Results, drawn: tuple[Plot, ...]) -> str:
    return html(hostile, sections(hostile), drawn)


def test_the_page_is_whole(page: str) -> None:
    read = Page(page)
    assert read.open == []
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [attributes.get("href") for tag, attributes in read.tags if tag == "a"]
    assert {f"#{name}" for name in names} >= set(targets)
    labelled = {one.get("aria-labelledby") for tag, one in read.tags if tag == "section"}
    assert labelled <= set(names)


def test_a_page_without_questions_has_no_script(results: Results) -> None:
    bare = Results("t", "now", "cmd", results.systems[:1], (), ())
    page = Page(html(bare, sections(bare), plots(bare)))
    assert not {"script", "form", "figure"} & {tag for tag, _ in page.tags}
    assert "table" in [tag for tag, _ in page.tags]


def test_the_page_loads_nothing(page: str) -> None:
    read = Page(page)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in read.tags}
    for tag, attributes in read.tags:
        assert "src" not in attributes, tag
        href = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert href.startswith("#"), (tag, href)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_hostile_text_stays_text(page: str, hostile: Results) -> None:
    read = Page(page)
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    data, script = read.scripts
    assert json.loads(data) == browser_data(hostile)
    assert json.loads(data)["questions"][0][2] == HOSTILE
    assert "<" not in data
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)


def test_only_the_pages_own_script_may_run(page: str) -> None:
    read = Page(page)
    policy = next(one["content"] for tag, one in read.tags if tag == "meta" and "http-equiv" in one)
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_tables_scroll_in_their_own_box_and_quotes_are_marked(page: str) -> None:
    read = Page(page)
    boxes = [one for tag, one in read.tags if tag == "div" and one.get("class") == "scroll"]
    assert len(boxes) == sum(tag == "table" for tag, _ in read.tags)
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in boxes)
    assert sum(one.get("class") == "quoted" for tag, one in read.tags if tag == "tbody") == 4
    assert "quoted from the paper: other model size, corpus and sample" in page


def test_the_browser_names_things_once_and_stays_small() -> None:
    data = browser_data(sample(2))
    questions, passages = data["questions"], data["passages"]
    assert isinstance(questions, list)
    assert isinstance(passages, list)
    assert len(passages) == len({tuple(one) for one in passages})
    assert data["systems"][data["a"]] == PLAIN  # type: ignore[index]
    assert data["systems"][data["b"]] == RANKRAG  # type: ignore[index]
    text, values, read = questions[0][4][3]
    assert isinstance(text, str)
    assert len(values) == len(data["measures"])  # type: ignore[arg-type]
    assert max(read) < len(passages)
    fifty = len(embedded(data)) / len(questions) * 50 * 14
    assert fifty < 4_000_000
