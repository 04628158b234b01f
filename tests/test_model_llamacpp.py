"""A model behind llama.cpp's own server, beside the same weights in our engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import test_model_gguf as tiny
from cli_call import call
from rankrag import prompts
from rankrag.errors import FailureError
from rankrag.model.engine.local import LocalLanguageModel
from rankrag.model.remote import client as remote
from rankrag.model.store import gguf
from rankrag.types import Passage, Prompt, Question

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs llama.cpp: pip install xllamacpp"),
]

ASKED = [
    prompts.rank(Question("q", "Where do owls hunt?"), Passage(str(n), f"Owls hunt {n} mice."), prompts.PAPER)
    for n in range(6)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a tiny model as llama.cpp reads it, and as we do."""
    found = tmp_path_factory.mktemp("tiny")
    tiny.write(found / "tiny.gguf", tiny.random_llama(), context=2048)
    gguf.convert(found / "tiny.gguf", found, lambda done, total: None)
    return found


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("llama_server.py")), str(folder / "tiny.gguf")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        yield server.stdout.readline().strip() + "/v1"
        server.stdin.close()
        server.wait(120)


def likely(lm: LocalLanguageModel, asked: list[Prompt]) -> list[str]:
    """Return two printable tokens that are among the likeliest after every prompt."""
    texts = [text.replace("Ġ", " ") for text in tiny.vocabulary()[0] if text.replace("Ġ", " ").isascii()]
    table = lm.logprobs(asked, texts)
    order = np.argsort(-table.min(axis=0))
    return [texts[n] for n in order if texts[n].strip()][:2]


def test_probabilities_are_those_of_our_engine(folder: Path, url: str) -> None:
    local, served = LocalLanguageModel(folder), remote.open_remote(f"openai-text:tiny@{url}")
    choices = likely(local, ASKED)
    wanted = local.logprobs(ASKED, choices)
    assert np.ptp(wanted[:, 0]) > 0.01
    found = served.logprobs(ASKED, choices)
    assert np.abs(found - wanted).max() < 0.02  # llama.cpp rounds keys and values to 16 bits


def test_answers_are_those_of_our_engine(folder: Path, url: str) -> None:
    local, served = LocalLanguageModel(folder), remote.open_remote(f"openai-text:tiny@{url}")
    prompt = Prompt("Owls hunt at night. ", "They eat the")
    wanted = "".join(local.generate(prompt, 8))
    writing = served.generate(prompt, 8)
    assert "".join(writing) == wanted != ""
    counted = writing.usage
    assert counted
    assert counted.prompt_tokens == local.n_tokens("Owls hunt at night. They eat the")


def test_the_server_tells_its_context(url: str) -> None:
    assert remote.open_remote(f"openai-text:tiny@{url}").context_length == 2048


def test_a_model_that_says_neither_label_does_not_rank(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passages.txt").write_text("Owls hunt at night.\nMice hide.\n")
    command = ("rank", "Who hunts?", "--passages", str(tmp_path / "passages.txt"))
    _, err = call(capsys, *command, "--model", f"openai-text:tiny@{url}", code=6)
    assert "found neither True nor False among the" in err
    with pytest.raises(FailureError):
        remote.open_remote(f"openai:tiny@{url}").logprobs(ASKED[:1], [" True", " False"])
