"""The moving pictures of the documentation: every hit goes where the model ranked it, every line appears."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import recordings

HITS = [{"id": str(n), "title": f"Title <{n}>", "score": 0.1 * n} for n in range(1, 5)]
ANSWER = {"question": "Why & how?", "retrieved": HITS, "ranked": HITS[::-1]}


def test_each_hit_moves_from_its_place_as_retrieved_to_its_rank() -> None:
    picture = recordings.ranking(ANSWER)
    ET.fromstring(picture)
    moved = [int(pixels) for pixels in re.findall(r"translateY\((\d+)px\)", picture)]
    starts, ends = moved[::2], moved[1::2]
    assert starts == sorted(starts)
    assert ends == starts[::-1]
    assert "Why &amp; how?" in picture
    assert "Title &lt;4&gt;" in picture


def test_a_session_appears_line_by_line_and_asks_no_server() -> None:
    spinner = "\x1b[2Kloading\x1b[2K"
    shown = [
        (["index", "d"], "index: 1 file\n"),
        (["ask", "Why so?"], f"{spinner}an answer\nrank 1 s · retrieve 2 s\n"),
    ]
    picture = recordings.session(shown)
    ET.fromstring(picture)
    delays = [float(delay) for delay in re.findall(r"animation-delay:([\d.]+)s", picture)]
    assert len(delays) >= 5
    assert delays == sorted(delays)
    assert "url(http" not in picture
    text = "".join(ET.fromstring(picture).itertext()).replace("\xa0", " ")
    assert 'rankrag ask "Why so?"' in text
    assert "an answer" in text
    assert "loading" not in text
    assert "retrieve 2 s" not in text
