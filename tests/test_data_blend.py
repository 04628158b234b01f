"""The whole build: from a recipe and files to examples and a manifest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import blend_small
from blend_small import WIKI
from rankrag.data import Manifest, build, read_recipe, searches, shown
from rankrag.errors import FormatError, InvalidInputError, NotFoundError
from rankrag.formats import read_examples, read_passages, read_questions, write_run
from rankrag.prompts import UNANSWERABLE, template, template_hash
from rankrag.types import Example, Hit

TINY = str(Path(__file__).parents[1] / "recipes" / "tiny.yaml")


def silent(what: str, count: int) -> None:
    assert what
    assert count >= 0


def built(
    out: Path, *settings: str, recipe: str = TINY, root: Path | None = None
) -> tuple[Manifest, list[Example]]:
    manifest = build(read_recipe(recipe, settings), root, out, silent)
    return manifest, list(read_examples(str(out / "examples.jsonl")))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ── the tiny recipe ──────────────────────────────────────────────────────────────────────────────────


def test_the_tiny_recipe_needs_no_data_and_has_all_five_tasks(tmp_path: Path) -> None:
    manifest, examples = built(tmp_path)
    assert len(examples) == 260
    tasks = Counter(one.task for one in examples)
    assert set(tasks) == {"instruct", "context_qa", "retrieval_qa", "retrieval_rank", "rank"}
    assert tasks["rank"] > 100
    labels = Counter(one.target for one in examples if one.task == "rank")
    assert abs(labels["True"] - labels["False"]) <= 1
    assert any(one.question.history for one in examples)
    assert any(one.target == UNANSWERABLE for one in examples)
    assert {one.task for one in read_examples(str(tmp_path / "stage1" / "examples.jsonl"))} == {"instruct"}
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["template"] == {"name": "paper", "hash": template_hash(template("paper"))}
    assert manifest["inputs"].keys() == {"tiny/instructions.jsonl", "tiny/questions.jsonl"}
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    built(tmp_path / "a")
    built(tmp_path / "b")
    built(tmp_path / "c", "blend.seed=5")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["examples.jsonl"] != contents(tmp_path / "c")["examples.jsonl"]


def test_an_ingredient_does_not_depend_on_those_beside_it(tmp_path: Path) -> None:
    """Without `held_out`, which looks at all of them, the lists of one ingredient begin alike."""
    still = ("blend.held_out=0", "blend.draws.stage2=60")
    _, few = built(tmp_path / "a", *still)
    _, many = built(tmp_path / "b", *still, "blend.ingredients.rank.weight=0.3")
    lists = [{one.id: one for one in some if one.id.startswith("list/")} for some in (few, many)]
    assert lists[0]
    assert lists[0].items() <= lists[1].items()


def test_held_out_paragraphs_are_in_no_training_example(tmp_path: Path) -> None:
    _, examples = built(tmp_path)
    held = list(read_examples(str(tmp_path / "heldout.jsonl")))
    gold = {one.passages[0].text for one in held if one.task in ("context_qa", "rank")}
    asked = {one.question.text for one in held if one.task != "instruct"}
    assert len(gold) >= 6
    # Neither as gold nor as a distractor: who learns these by heart must not be judged on them.
    assert not gold & {passage.text for one in examples for passage in one.passages}
    assert {one.target for one in held if one.task == "rank"} == {"True", "False"}
    assert not asked & {one.question.text for one in examples}
    assert {one.task for one in held} >= {"context_qa", "rank", "retrieval_qa"}


def test_the_examples_make_prompts(tmp_path: Path) -> None:
    built(tmp_path)
    pairs = list(shown(tmp_path, "paper", task="rank"))
    assert len(pairs) > 100
    for one, prompt in pairs:
        assert prompt.target == f" {one.target}"
        assert prompt.suffix.endswith("\n\nAssistant:")
    assert [one.source for one, _ in shown(tmp_path, "chat", stage=1)] == ["own"] * 16
    assert not list(shown(tmp_path, "paper", source="squad"))
    with pytest.raises(NotFoundError, match="rankrag data build"):
        next(shown(tmp_path / "none", "paper"))
    with pytest.raises(InvalidInputError, match="found template"):
        next(shown(tmp_path, "chatml"))


# ── a recipe with a benchmark, licences, own examples and a run ──────────────────────────────────────


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root, with the recipe beside its files."""
    return blend_small.write_data(tmp_path)


def search(root: Path, out: Path) -> None:
    """Make the run with another BM25 than ours, as `rankrag search` would."""
    for one in searches(read_recipe(str(root / "recipe.yaml")), root, out):
        passages = [found for path in one.corpus for found in read_passages(path)]
        import bm25s  # which takes a quarter of a second, as Numba comes with it

        engine = bm25s.BM25()
        engine.index(bm25s.tokenize([p.text for p in passages], show_progress=False), show_progress=False)
        rankings = []
        for question in read_questions(one.questions):
            tokens = bm25s.tokenize([question.text], show_progress=False)
            found, scores = engine.retrieve(tokens, k=one.k, show_progress=False)
            hits = [Hit(passages[int(n)], float(s)) for n, s in zip(found[0], scores[0], strict=True)]
            rankings.append((question.id, hits))
        write_run(one.run, rankings, "bm25")


def test_mined_passages_become_gold_and_hard_negatives(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "blend"
    search(data, out)
    manifest, examples = built(out, recipe=str(data / "recipe.yaml"), root=data)
    ranked = {
        (one.question.text, one.target, one.passages[0].text) for one in examples if one.id.startswith("web/")
    }
    assert ("where was einstein born", "True", "Albert Einstein was born in Ulm.") in ranked
    assert {text for question, label, text in ranked if label == "False" and "einstein" in question} <= {
        "The Danube is long.",
        "Bees dance.",
    }
    five = [one for one in examples if one.id == "five/w1"]
    assert [len(one.passages) for one in five] == [3]
    assert five[0].target == "Ulm"
    web = manifest["ingredients"]["web"]
    assert web["items_read"] == 5
    assert web["drops"] == {"is a benchmark question": 1, "no passage with the answer": 2}
    assert manifest["inputs"].keys() == {
        "bench*.jsonl", "web*.jsonl: web.jsonl", "web*.jsonl: web2.jsonl", "web.jsonl", "own.jsonl",
        "own.run", "passages.webquestions.jsonl", "wiki.jsonl",
    }  # fmt: skip
    assert [one.source for one in examples if one.id.startswith("mine/")] == ["own"] * 3


def test_a_run_for_other_questions_is_taken_away(data: Path, tmp_path: Path) -> None:
    recipe, out = read_recipe(str(data / "recipe.yaml")), tmp_path / "blend"
    search(data, out)
    assert [one.done for one in searches(recipe, data, out)] == [True]
    with (data / "web.jsonl").open("a") as stream:
        stream.write('{"id": "w9", "question": "which minster is high", "answers": ["Ulm"]}\n')
    assert [one.done for one in searches(recipe, data, out)] == [False]
    assert not (out / "own.run").exists()
    deeper = read_recipe(str(data / "recipe.yaml"), ["blend.runs.own.k=3"])
    search(data, out)
    assert [one.done for one in searches(deeper, data, out)] == [False]


def test_a_run_of_ones_own_is_left_alone(data: Path, tmp_path: Path) -> None:
    (data / "own.run").write_text("w1 Q0 p%203 1 1.0 mine\n")
    recipe, out = read_recipe(str(data / "recipe.yaml")), tmp_path / "blend"
    (one,) = searches(recipe, data, out)
    assert (one.done, one.run) == (True, str(data / "own.run"))
    assert not (out / "questions.own.jsonl").exists()


def test_a_missing_corpus_says_where_it_was_looked_for(data: Path, tmp_path: Path) -> None:
    recipe = read_recipe(str(data / "recipe.yaml"), ["blend.runs.own.corpus=[gone.jsonl]"])
    with pytest.raises(NotFoundError, match=r"found no gone\.jsonl in .* --data-root"):
        searches(recipe, data, tmp_path / "blend")


def test_a_follow_up_is_searched_for_with_its_conversation(data: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "Tell me of Ulm."}, {"role": "assistant", "text": "It is old."}]
    (data / "web.jsonl").write_text(
        "".join(
            json.dumps({"id": f"c#{n}", "question": q, "answers": ["1890"], "history": turns}) + "\n"
            for n, q in enumerate(["and when?", "and who?"])
        )
    )
    out = tmp_path / "blend"
    searches(read_recipe(str(data / "recipe.yaml")), data, out)
    asked = {one.id: one for one in read_questions(str(out / "questions.own.jsonl"))}
    assert asked["c#0"].history[0].text == "Tell me of Ulm."
    assert asked["c#1"].text == "and who?"


def test_two_runs_are_heard_in_turn(data: Path, tmp_path: Path) -> None:
    (data / "a.run").write_text("".join(f"w2 Q0 p%20{n} {n + 1} {9 - n} a\n" for n in (0, 1)))
    (data / "b.run").write_text("w2 Q0 p%204 1 9 b\n")
    runs = {name: {"run": f"{name}.run", "corpus": ["wiki.jsonl"]} for name in "ab"}
    web = {"source": "webquestions", "format": "neutral", "files": ["one.jsonl"], "task": "rank", "weight": 1}
    web |= {"mine": ["a", "b"], "depth": 2, "negatives": 2}
    recipe = read_recipe(
        str(data / "recipe.yaml"),
        [
            f"blend.runs={json.dumps(runs)}",
            f"blend.ingredients={json.dumps({'web': web})}",
        ],
    )
    gold = {"id": "g", "title": "", "text": "The Danube is long.", "relevant": True}
    one = {"id": "w2", "question": "which river is long", "answers": ["the Rhine"], "passages": [gold]}
    (data / "one.jsonl").write_text(json.dumps(one) + "\n")
    build(recipe, data, tmp_path / "blend", silent)
    examples = list(read_examples(str(tmp_path / "blend" / "examples.jsonl")))
    assert {one.passages[0].text for one in examples if one.target == "False"} == {WIKI[0], WIKI[4]}


def test_labelled_passages_may_be_put_aside_for_mined_ones(data: Path, tmp_path: Path) -> None:
    (data / "a.run").write_text("".join(f"w2 Q0 p%20{n} {n + 1} {9 - n} a\n" for n in (4, 2)))
    runs = {"a": {"run": "a.run", "corpus": ["wiki.jsonl"]}}
    web = {"source": "webquestions", "format": "neutral", "files": ["one.jsonl"], "task": "rank", "weight": 1}
    gold = {"id": "g", "title": "", "text": "In another print: the Danube .", "relevant": True}
    one = {"id": "w2", "question": "which river is long", "answers": ["the Danube"], "passages": [gold]}
    (data / "one.jsonl").write_text(json.dumps(one) + "\n")
    for own, wanted in ((True, gold["text"]), (False, WIKI[2])):
        web |= {"mine": ["a"], "own_passages": own}
        settings = [
            f"blend.runs={json.dumps(runs)}", f"blend.ingredients={json.dumps({'web': web})}",
        ]  # fmt: skip
        _, examples = built(tmp_path / str(own), *settings, recipe=str(data / "recipe.yaml"), root=data)
        assert [one.passages[0].text for one in examples if one.target == "True"] == [wanted]
        assert [one.passages[0].text for one in examples if one.target == "False"] == [WIKI[4]]


def test_a_run_by_vectors_is_another_search(data: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "blend", str(data / "recipe.yaml")
    search(data, out)
    (one,) = searches(read_recipe(recipe, ["blend.runs.own.retriever=dense"]), data, out)
    assert (one.done, one.vectors) == (False, True)  # what BM25 found does not pass for it
    assert "--retriever dense" in one.commands()
    assert "--encoder none" not in one.commands()
    (one,) = searches(read_recipe(recipe), data, out)
    assert "--encoder none" in one.commands()
    with pytest.raises(FormatError, match=r"retriever"):
        read_recipe(recipe, ["blend.runs.own.retriever=splade"])


def test_what_holds_nothing_is_left_out(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "blend"
    with (data / "web.jsonl").open("a") as stream:
        stream.write('{"id": "w9", "question": " ", "answers": ["Ulm"]}\n')
    search(data, out)
    manifest, examples = built(out, recipe=str(data / "recipe.yaml"), root=data)
    drops = manifest["ingredients"]["web"]["drops"]
    assert isinstance(drops, dict)
    assert drops["no question"] == 1
    assert examples


def test_a_missing_run_says_which_commands_make_it(data: Path, tmp_path: Path) -> None:
    recipe = read_recipe(str(data / "recipe.yaml"))
    with pytest.raises(NotFoundError, match=r"rankrag index .*wiki\.jsonl .*&& rankrag search .*own\.run"):
        build(recipe, data, tmp_path / "blend", silent)


def test_a_run_that_does_not_fit_its_corpus_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "blend"
    search(data, out)
    (out / "own.run").write_text("w1 Q0 nowhere 1 1.0 x\n")
    with pytest.raises(InvalidInputError, match=r"found 1 passage \(first 'nowhere'\) not in"):
        build(read_recipe(str(data / "recipe.yaml")), data, out, silent)


def test_a_missing_source_and_a_broken_line_are_named(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "blend"
    search(data, out)
    recipe = str(data / "recipe.yaml")
    with pytest.raises(NotFoundError, match=r"found no gone\.jsonl in .* --data-root"):
        built(out, "blend.ingredients.mine.files=[gone.jsonl]", recipe=recipe, root=data)
    with (data / "own.jsonl").open("a") as stream:
        stream.write('{"id": "3", "task": "rank"\n')
    with pytest.raises(FormatError, match=r"own\.jsonl:4: "):
        built(out, recipe=recipe, root=data)
    assert not (out / "examples.jsonl").exists()


def test_a_licence_that_the_recipe_refuses_stops_the_build(data: Path, tmp_path: Path) -> None:
    settings = ["blend.commercial_only=true", "blend.ingredients.web.source=msmarco"]
    recipe = read_recipe(str(data / "recipe.yaml"), settings)
    with pytest.raises(InvalidInputError, match="ingredient 'web': found source 'msmarco' with the licence"):
        build(recipe, data, tmp_path / "blend", silent)


def test_a_layout_without_reader_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = read_recipe(
        str(data / "recipe.yaml"),
        ["blend.ingredients={one: {source: nq_open, files: [web.jsonl], task: rank, weight: 1}}"],
    )
    with pytest.raises(InvalidInputError, match="use format neutral"):
        build(recipe, data, tmp_path / "blend", silent)


def test_limits_and_parts(data: Path, tmp_path: Path) -> None:
    chat = [
        {"id": str(n), "template": "gsm8k" if n % 2 else "sensemaking", "messages": [
            {"role": "user", "content": f"Number {n}?"}, {"role": "assistant", "content": str(n)}]}
        for n in range(40)
    ]  # fmt: skip
    (data / "chat.jsonl").write_text("".join(json.dumps(one) + "\n" for one in chat))
    one = "{source: flan_cot, format: neutral, files: [chat.jsonl], task: instruct, weight: 1, limit: 5,"
    one += " repeat: 2}"
    settings = [f"blend.ingredients={{chat: {one}}}", "blend.commercial_only=true"]
    manifest, examples = built(tmp_path / "a", *settings, recipe=str(data / "recipe.yaml"), root=data)
    assert manifest["ingredients"]["chat"]["drops"] == {"licence: not verified": 20, "over the limit": 15}
    assert manifest["licences"] == {"MIT": 5}
    counts = Counter(one.target for one in examples)
    assert set(counts.values()) == {2}
    assert all(int(target) % 2 for target in counts)
    more = [*settings, "blend.ingredients.chat.parts=[sensemaking]", "blend.commercial_only=false"]
    _, examples = built(tmp_path / "b", *more, recipe=str(data / "recipe.yaml"), root=data)
    assert all(int(one.target) % 2 == 0 for one in examples)
