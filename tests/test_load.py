"""The Python border: `rankrag.load` and what it returns, over a real small index without weights."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import model_tiny
import rankrag
from rankrag import Passage, Question, Turn
from rankrag.cli.app import run
from rankrag.errors import InvalidInputError, MissingModelError, NotFoundError
from rankrag.index.encoder import Encoder
from rankrag.prompts import CHAT, UNANSWERABLE
from rankrag.system import DEFAULT_MODEL, open_engine, open_retrieval
from rankrag.types import RetrieverKind

PAGES = {
    "nairobi.md": "# Nairobi\n\nIt is the capital of Kenya. Nairobi was founded in 1899 as a depot.\n",
    "snowdrop.txt": "The snowdrop flowers in January, often through the snow. It is up to 20 cm tall.\n",
    "harbours/mombasa.txt": "Mombasa is a port of Kenya on the Indian Ocean.\n",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    for name, text in PAGES.items():
        (folder / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pages" / name).write_text(text, encoding="utf-8")
    assert run(["index", str(folder / "pages"), "--index", str(folder / "index"), "--encoder", "none"]) == 0
    return folder / "index"


@pytest.fixture(scope="module")
def rag(index: Path) -> rankrag.RAG:
    return rankrag.load(index, model="fake", read_k=2)


def test_a_question_is_answered_from_the_best_passages_with_citations(rag: rankrag.RAG) -> None:
    answer = rag.ask("When was Nairobi founded?")
    assert answer.done
    assert "1899" in answer.text
    assert answer.read_k == 2
    assert answer.ranked[0].passage.title == "Nairobi"
    assert answer.citations[0].passage_id == answer.ranked[0].passage.id
    start, end = answer.citations[0].source_start, answer.citations[0].source_end
    assert "1899" in PAGES["nairobi.md"][start:end]


def test_an_answer_grows_and_ends_as_ask_returns_it(rag: rankrag.RAG) -> None:
    steps = [*rag.stream("When was Nairobi founded?")]
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    assert all(late.text.startswith(early.text) for early, late in pairwise(steps))
    assert steps[-1].text == rag.ask("When was Nairobi founded?").text


def test_one_language_model_ranks_answers_and_cites(rag: rankrag.RAG) -> None:
    from rankrag.model import ModelCiter, ModelGenerator, ModelRanker

    pipeline = rag.pipeline
    assert isinstance(pipeline.ranker, ModelRanker)
    assert isinstance(pipeline.generator, ModelGenerator)
    assert isinstance(pipeline.citer, ModelCiter)
    assert pipeline.ranker.lm is pipeline.generator.lm
    assert isinstance(pipeline.citer.ranker, ModelRanker)
    assert pipeline.citer.ranker.lm is pipeline.ranker.lm


def test_ranking_takes_texts_and_passages_and_keeps_them_all(rag: rankrag.RAG) -> None:
    given: list[str | Passage] = ["Snow is white.", Passage("n", "Nairobi was founded in 1899."), "Kenya."]
    hits = rag.rank("When was Nairobi founded?", given)
    assert hits[0].passage.id == "n"
    assert sorted(hit.passage.id for hit in hits) == ["1", "3", "n"]


def test_ranking_needs_no_index() -> None:
    rag = rankrag.load(model="fake")
    assert rag.rank("snow?", ["rain", "snow"])[0].passage.text == "snow"
    with pytest.raises(NotFoundError, match="load\\(index=DIR\\)"):
        rag.ask("snow?")


def test_search_is_the_retriever_alone(rag: rankrag.RAG) -> None:
    hits = rag.search("snowdrop", k=2)
    assert hits[0].passage.source
    assert hits[0].passage.source.path.endswith("snowdrop.txt")


def test_filters_reach_the_retriever(rag: rankrag.RAG) -> None:
    answer = rag.ask("Kenya", filters={"path": "*harbours*"})
    assert [hit.passage.text for hit in answer.retrieved] == [PAGES["harbours/mombasa.txt"].strip()]


def test_an_index_is_built_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("The heron waits in shallow water.", encoding="utf-8")
    report = rankrag.build_index([Path("a.txt")], tmp_path / "index", encoder="none")
    assert (report.added, report.n_passages) == (("a.txt",), 1)
    (hit,) = rankrag.load(tmp_path / "index", model="fake").search("heron", 1)
    assert str(hit.passage.source) == "a.txt:0-33"


def test_a_source_reads_as_people_write_it() -> None:
    assert str(rankrag.Source("guide.md", start=120, end=180)) == "guide.md:120-180"
    assert str(rankrag.Source("guide.pdf", page=3, start=1, end=2)) == "guide.pdf, page 3"
    assert str(rankrag.Source("guide.md")) == "guide.md"


def test_history_is_part_of_what_is_searched(rag: rankrag.RAG) -> None:
    turns = [Turn("user", "What is Nairobi?"), Turn("assistant", "The capital of Kenya.")]
    answer = rag.ask("When was it founded?", history=turns)
    assert "Nairobi" in answer.query
    assert answer.question.history == tuple(turns)


def test_nothing_found_is_an_abstention(rag: rankrag.RAG) -> None:
    answer = rag.ask("zzz qqq", filters={"path": "nowhere/*"})
    assert answer.abstained
    assert answer.text == UNANSWERABLE


def test_without_ranking_the_retrievers_order_stands(index: Path) -> None:
    rag = rankrag.load(index, model="fake", ranking=False)
    answer = rag.ask("When was Nairobi founded?")
    assert answer.ranked == answer.retrieved


def test_a_question_carries_its_own_history_and_style(rag: rankrag.RAG) -> None:
    asked = Question("q7", "When was Nairobi founded?", style="phrase")
    assert rag.ask(asked).question == asked
    with pytest.raises(InvalidInputError, match=r"dataclasses\.replace"):
        rag.ask(asked, style="full")


@pytest.mark.parametrize("question", ["", "  \n", Question("q", " ")])
def test_an_empty_question_is_refused(rag: rankrag.RAG, question: str | Question) -> None:
    for call in (rag.ask, rag.search, lambda text: rag.rank(text, ["a"])):
        with pytest.raises(InvalidInputError, match="empty question"):
            call(question)


def test_a_question_that_no_encoding_holds_is_refused(rag: rankrag.RAG) -> None:
    with pytest.raises(InvalidInputError, match="wanted text in UTF-8"):
        rag.ask("why \udcff?")


@pytest.mark.parametrize(("retrieve_k", "read_k"), [(3, 4), (0, 0), (5, 0), (5, -1)])
def test_impossible_counts_are_refused(index: Path, retrieve_k: int, read_k: int) -> None:
    with pytest.raises(InvalidInputError, match="read_k <= retrieve_k"):
        rankrag.load(index, model="fake", retrieve_k=retrieve_k, read_k=read_k)


def test_a_missing_model_names_the_command_that_fetches_it(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    with pytest.raises(MissingModelError, match="rankrag model pull rankrag-135m"):
        rankrag.load(index)


def test_an_unknown_model_lists_the_names(index: Path) -> None:
    with pytest.raises(InvalidInputError, match="smollm2-135m"):
        rankrag.load(index, model="no such model")


def test_a_missing_index_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="rankrag index"):
        rankrag.load(tmp_path / "nowhere", model="fake")


def test_the_default_model_is_that_of_the_table() -> None:
    from rankrag.model.store.named_models import DEFAULTS

    assert DEFAULTS["language_model"] == DEFAULT_MODEL


def test_importing_rankrag_loads_nothing_heavy() -> None:
    heavy = "'torch', 'transformers', 'numpy', 'lancedb', 'pyarrow', 'typer', 'rich', 'pydantic'"
    code = f"import sys, rankrag; print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_read_is_what_the_prompt_held(rag: rankrag.RAG) -> None:
    answer = rag.ask(replace(Question("q", "When was Nairobi founded?"), style="phrase"))
    assert answer.usage.prompt_tokens > 0
    assert answer.cuts == ()


def test_a_model_folder_becomes_an_engine(tmp_path: Path) -> None:
    from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint

    folder = model_tiny.write(tmp_path, model_tiny.config("llama"))
    plain = open_engine(str(folder))
    assert (plain.form.name, plain.trained, plain.threshold) == ("paper", False, None)
    write_checkpoint(Checkpoint(folder, "chat", trained=True, threshold=0.4))
    engine = open_engine(str(folder))
    assert (engine.form, engine.trained, engine.threshold) == (CHAT, True, 0.4)
    assert engine.lm.n_tokens("The fox") > 1


def pulled_encoder() -> None:
    """Put a tiny BERT of random weights where a pull puts the default encoder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    from rankrag.model.store import named_models, registry

    folder = registry.model_folder("minilm-l6")
    folder.mkdir(parents=True)
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] snow is white".split()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig.from_dict({"vocab_size": len(words), **sizes})).save_pretrained(folder)
    origin = str(named_models.MODELS["minilm-l6"].origin)
    registry.write_manifest(registry.Installed(folder, "minilm-l6", "encoder", origin, "", "", "", "", {}))


def test_an_index_with_vectors_is_searched_with_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "cache"))
    pulled_encoder()
    (tmp_path / "page.txt").write_text("Snow is white.")
    place = str(tmp_path / "index")
    for _ in range(2):
        assert run(["index", str(tmp_path / "page.txt"), "--index", place]) == 0
    question = Question("q", "snow")
    kinds: dict[RetrieverKind | None, str] = {None: "hybrid", "dense": "dense", "bm25": "bm25"}
    for kind, wanted in kinds.items():
        shelf = open_retrieval(place, kind)
        assert shelf.kind == wanted
        if shelf.at_once:
            with monkeypatch.context() as without:
                without.setattr(Encoder, "encode_queries", None)
                assert shelf.at_once.search("snow", 3)[0].passage.text == "Snow is white."
        assert (shelf.at_once is not None) is (wanted == "hybrid")
        assert shelf.search(question, 3)[0].passage.text == "Snow is white."
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path / "empty"))
    with pytest.raises(MissingModelError, match="rankrag model pull minilm-l6"):
        open_retrieval(place)
    assert open_retrieval(place, "bm25").search(question, 3)
