"""Damaged model folders: loaded, or refused in one line; whatever their files say, nothing else comes out."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_documents import BYTES
from scale import times

from model_tiny import LLAMA_3_CHAT, config, write
from rankrag.errors import RankRAGError
from rankrag.system import open_engine
from rankrag.types import Prompt
from test_model_weights import make_adapter

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MOST_S = 20
"""Seconds of a processor that a tiny model may take to load or to be refused."""

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 2**31, 1e308, "", "x", "silu", [], [[]], {}, {"a": 1}, "../../../etc/passwd",
    "http://127.0.0.1:9/x", ["a"] * 50, "{{ 1 / 0 }}", "{% for a in range(99) %}{{ messages }}{% endfor %}",
)  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model with a chat template, and an adapter over it."""
    folder = tmp_path_factory.mktemp("model")
    write(folder, config("qwen2", tie_word_embeddings=True))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = LLAMA_3_CHAT
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return {"whole": folder, "adapter": make_adapter(tmp_path_factory.mktemp("adapter"), folder)}


def damage(path: Path, chance: random.Random) -> None:
    """Change one file of a folder: mostly a value of its JSON, sometimes its bytes, or it is gone."""
    data = path.read_bytes()
    content = _parsed(data)
    if content and chance.random() < 0.8:
        _change(content, chance)
        path.write_text(json.dumps(content))
    elif chance.random() < 0.1:
        path.unlink()
    else:
        path.write_bytes(chance.choice(BYTES)(data, chance))


def _parsed(data: bytes) -> Any:
    """What JSON says; None where it is none, or none any more: a file may be damaged twice."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def _change(content: Any, chance: random.Random) -> None:
    """Change a place of a JSON value, deep or not."""
    while True:
        key = chance.choice([*content]) if isinstance(content, dict) else chance.randrange(len(content))
        if isinstance(content[key], dict | list) and content[key] and chance.random() < 0.7:
            content = content[key]
            continue
        if chance.random() < 0.2:
            del content[key]
        else:
            content[key] = chance.choice(VALUES)
        return


def folders(sound: dict[str, Path], here: Path, count: int) -> Iterator[Path]:
    """Yield damaged copies, each gone when the next is made."""
    chance = random.Random(11)
    for number in range(count):
        folder = here / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound["adapter" if number % 4 == 0 else "whole"], folder)
        for _ in range(chance.choice((1, 1, 2))):
            files = sorted(path for path in folder.iterdir() if path.suffix != ".md")
            if files:
                damage(chance.choice(files), chance)
        yield folder


def test_damaged_model_folders_are_refused_in_one_line(sound: dict[str, Path], tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for folder in folders(sound, tmp_path, times(150)):
        started, said = time.process_time(), "loaded"
        try:
            engine = open_engine(str(folder))
            prompt = Prompt("Where was Marie", " Curie born?", markers=engine.form.markers)
            assert engine.lm.logprobs([prompt], engine.form.labels()).shape == (1, 2)
            "".join(engine.lm.generate(prompt, 4, engine.form.stop))
        except RankRAGError as error:
            said = "refused in lines" if "\n" in str(error) else "refused"
        counts[said] += 1
        assert time.process_time() - started < MOST_S
    print(dict(counts))
    assert set(counts) == {"loaded", "refused"}
    assert counts["refused"] > sum(counts.values()) // 4
