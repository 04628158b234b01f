"""Hostile and broken files: each is refused or read within its limits, and the others go in."""

from __future__ import annotations

import io
import os
import random
import select
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rankrag.errors import InvalidInputError, MissingExtraError
from rankrag.index.reading import Apart, File, Portion, ReadSettings, parser_process
from rankrag.index.reading import kinds as kinds_module
from rankrag.index.reading.parser_process import ParserLimits
from rankrag.index.reading.passages import read_portions
from rankrag.index.reading.texts import Text
from rankrag.index.reading.walk import find_kind

SETTINGS = ReadSettings()


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with Apart(ParserLimits(time_s=20)) as process:
        yield process


def file_of(path: Path) -> File:
    return File(path, path.name, find_kind(path) or "")


def word(change: Callable[[bytes], bytes] = bytes) -> bytes:
    """Return a Word file with a table, its document changed."""
    import docx

    document = docx.Document()
    document.add_paragraph("Before the table.")
    table = document.add_table(2, 2)
    for n, text in enumerate(("river", "length", "Elbe", "1,094 km")):
        table.cell(n // 2, n % 2).text = text
    plain, changed = io.BytesIO(), io.BytesIO()
    document.save(plain)
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, change(data) if name == "word/document.xml" else data)
    return changed.getvalue()


@pytest.mark.slow
def test_a_cell_that_spans_millions_of_columns_is_one_cell(tmp_path: Path, apart: Apart) -> None:
    path = tmp_path / "a.docx"
    span = b'<w:tcPr><w:gridSpan w:val="300000000"/>'
    path.write_bytes(word(lambda data: data.replace(b"<w:tcPr>", span)))
    (portion,) = apart.portions(file_of(path), SETTINGS)
    assert "river | length\nElbe | 1,094 km" in portion.rows[0].passage.text


@pytest.mark.slow
def test_a_word_file_that_swells_is_refused(tmp_path: Path, apart: Apart) -> None:
    path = tmp_path / "a.docx"
    many = b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 600_000
    path.write_bytes(word(lambda data: data.replace(b"<w:body>", b"<w:body>" + many)))
    assert path.stat().st_size < 200_000
    with pytest.raises(InvalidInputError, match="it unpacks to"):
        list(apart.portions(file_of(path), SETTINGS))


@pytest.mark.parametrize(
    ("page", "has"),
    [
        ("<p " + " ".join(f"a{n}=x" for n in range(25_000)) + ">hello there</p>", "hello there"),
        ("".join(f"<p>word{n}</p>" for n in range(5_000)), "word4999"),
        ("<table><tr>" + "".join(f"<td>c{n}" for n in range(20_000)) + "</tr></table>", "c19999"),
    ],
)
def test_pages_that_take_quadratic_time_elsewhere(tmp_path: Path, page: str, has: str) -> None:
    path = tmp_path / "a.html"
    path.write_text(f"<html><body>{page}</body></html>")
    started = time.process_time()
    (portion,) = read_portions(file_of(path), SETTINGS)
    assert has in portion.rows[-1].passage.text
    assert time.process_time() - started < 5


def test_what_is_nested_too_deep_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<p>on top</p>" + "<div>" * 5000 + "below")
    (portion,) = read_portions(file_of(path), SETTINGS)
    assert portion.notes == ("nested too deep: not all of it was read",)


# ── the process ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_one_process_reads_file_after_file(tmp_path: Path) -> None:
    with Apart() as apart:
        processes = set()
        for n in range(3):
            path = tmp_path / f"{n}.html"
            path.write_text(f"<p>number {n}</p>")
            (portion,) = apart.portions(file_of(path), SETTINGS)
            assert portion.rows[0].passage.text == f"number {n}"
            assert apart.process is not None
            processes.add(apart.process)
        (process,) = processes
        (tmp_path / "x.pdf").write_bytes(b"%PDF-1.4 nothing")
        with pytest.raises(InvalidInputError, match="broken PDF"):
            list(apart.portions(file_of(tmp_path / "x.pdf"), SETTINGS))
        assert apart.process is process
        process.kill()
        process.wait()
        assert len(list(apart.portions(file_of(path), SETTINGS))) == 1
    assert process.poll() is not None
    assert apart.process is None


def test_plain_text_needs_no_process(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words")
    with Apart() as apart:
        assert len(list(apart.portions(file_of(tmp_path / "a.txt"), SETTINGS))) == 1
        assert apart.process is None


@pytest.mark.slow
def test_what_takes_too_long_or_too_much_is_given_up_and_the_next_is_read(tmp_path: Path) -> None:
    slow, good = tmp_path / "slow.html", tmp_path / "good.html"
    slow.write_text("<p>" + "<b>word</b> " * 200_000)
    good.write_text("<p>fine")
    with Apart(ParserLimits(time_s=0.05, time_per_mb_s=0)) as apart:
        with pytest.raises(InvalidInputError, match=r"took more than 0 s and was given up"):
            list(apart.portions(file_of(slow), SETTINGS))
        assert apart.process is None
    of_memory = r"more than 63 MB of memory|ended its parser|no HTML"
    with Apart(ParserLimits(memory=60 * 2**20)) as apart, pytest.raises(InvalidInputError, match=of_memory):
        list(apart.portions(file_of(slow), SETTINGS))
    with Apart(ParserLimits(output=100)) as apart:
        with pytest.raises(InvalidInputError, match="its passages have more than 0 MB"):
            list(apart.portions(file_of(good), SETTINGS))
        apart.limits = ParserLimits()
        assert len(list(apart.portions(file_of(good), SETTINGS))) == 1


_READS = """
import sys
from pathlib import Path
from rankrag.index.reading import Apart, File, ReadSettings
with Apart() as apart:
    list(apart.portions(File(Path(sys.argv[1]), "endless.html", ".html"), ReadSettings()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes among its files")
def test_a_parser_ends_with_the_process_that_asked_it(tmp_path: Path) -> None:
    endless = tmp_path / "endless.html"
    os.mkfifo(endless)
    asking = subprocess.Popen([sys.executable, "-c", _READS, str(endless)])
    with endless.open("wb") as file:  # it opens once the parser reads it
        gone = select.poll()
        gone.register(file, 0)
        assert not gone.poll(0)
        asking.kill()
        asking.wait()
        assert gone.poll(120_000), "nobody is left to read what the parser would be told"


@pytest.mark.parametrize(("wanting", "patience"), [(0.3, 4), (2, 4), (50, 100)])
def test_a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch, wanting: float, patience: int) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (wanting, 0.0, 0.0), raising=False)
    assert parser_process._patience(2) == patience
    monkeypatch.delattr("os.getloadavg")  # as on Windows
    assert parser_process._patience(2) == 4


def test_a_parser_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(data: bytes, name: str) -> None:
        raise MissingExtraError("nothing", "docs")

    monkeypatch.setitem(kinds_module.DOCUMENTS, ".txt", kinds_module.DocumentKind(missing, apart=False))  # type: ignore[arg-type]
    path = tmp_path / "a.txt"
    path.write_text("x")
    with pytest.raises(MissingExtraError, match=r"pip install 'rankrag\[docs\]'"):
        list(read_portions(file_of(path), SETTINGS))


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


def presentation() -> bytes:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Bridges"
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


@pytest.mark.parametrize(("suffix", "make"), [(".docx", word), (".pptx", presentation)])
def test_damaged_files_give_only_our_own_errors(
    tmp_path: Path, suffix: str, make: Callable[[], bytes]
) -> None:
    whole, chance = make(), random.Random(7)
    path = tmp_path / f"a{suffix}"
    outcomes = set()
    for n in range(40):
        data = bytearray(whole)
        if n % 4 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(1 + n % 7):
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        outcomes.add(_outcome(path))
    assert outcomes == {"read", "refused"}


def _outcome(path: Path) -> str:
    try:
        portions = list(read_portions(file_of(path), SETTINGS))
    except InvalidInputError as error:
        return "refused" if "\n" not in str(error) else "not in one line"
    return "read" if all(isinstance(portion, Portion) for portion in portions) else "something else"


@pytest.mark.parametrize("header", ["Content-Type", "To", "Subject"])
def test_a_header_without_end_costs_no_time(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.eml"
    path.write_text(f"{header}: {'[' * 40_000}\n\nThe pump has size 3.\n")
    started = time.process_time()
    (portion,) = read_portions(file_of(path), SETTINGS)
    assert portion.rows[-1].passage.text.endswith("The pump has size 3.")
    assert time.process_time() - started < 2


def test_a_reason_is_one_line_that_does_nothing_to_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes, name: str) -> Text:
        if data == b"refused":
            raise InvalidInputError("it is\nbroken \x1b[2J")
        raise ValueError("it is broken \x1b[2J\nsomewhere")

    monkeypatch.setitem(kinds_module.DOCUMENTS, ".txt", kinds_module.DocumentKind(broken, apart=False))
    path = tmp_path / "a.txt"
    for content in ("refused", "fails"):
        path.write_text(content)
        with pytest.raises(InvalidInputError, match=r"it is broken +\[2J"):
            list(read_portions(file_of(path), SETTINGS))


def test_a_spreadsheet_that_its_reader_panics_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import python_calamine

    class PanicException(BaseException):
        """As calamine's Rust raises it, which counts as grave as an exit."""

    def panics(stream: object) -> None:
        raise PanicException("range end index 2060 out of range")

    monkeypatch.setattr(python_calamine.CalamineWorkbook, "from_filelike", panics)
    path = tmp_path / "a.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(InvalidInputError, match="no spreadsheet that can be read"):
        list(read_portions(file_of(path), SETTINGS))


def test_a_spreadsheet_that_ends_in_the_middle_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml", "<office:spreadsheet><table:table table:name='Parts'><table:table-row>"
        )
    with pytest.raises(InvalidInputError, match=r"no spreadsheet that can be read \(no element found"):
        list(read_portions(file_of(path), SETTINGS))
