"""`rankrag eval study`: the studies that are shipped, and small ones on a model of 60,000 weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

import train_tiny
from cli_call import call
from eval_place import make
from eval_sample import RANKRAG, few
from rankrag.cli.study import _checkpoint, counted, digest, ranking_shares, system_of
from rankrag.cli.study_recipe import STUDIES, Setup, Training, read_study
from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.eval.benchmarks import BENCHMARKS
from rankrag.eval.report.layout import DASH, QUOTED
from rankrag.eval.report.score_tables import answer_recall_table
from rankrag.eval.results import read_results
from rankrag.system import DEFAULT_MODEL
from rankrag.train import read_stage

STUDY = """
title: Passages read
x: read_k
benchmarks: [{file}]
missing: [All of Wikipedia.]
base: {{model: fake, index: {index}, retrieve_k: 4, line: reads}}
variants:
  one: {{read_k: 1, x: 1}}
  three: {{read_k: 3, x: 3}}
"""

TRAINED = """
title: Parts
benchmarks: [{file}]
n: 2
base:
  {{index: {index}, retrieve_k: 3, read_k: 1, train: {{recipe: {recipe}, blend: {blend}, stages: [1, 2]}}}}
variants:
  whole: {{}}
  unranked: {{ranking: false}}
  pairs-5: {{train: {{ranking_pairs: 5}}}}
  stage-1: {{variant: "stage I only", train: {{stages: [1]}}, ranking: false}}
"""

STAGE = (
    "{lora: {r: 4, lora_alpha: 8}, learning_rate: 0.01, max_length: 512, global_batch_size: 8, max_steps: 1}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index and questions, a blend, and a recipe for a tiny model."""
    folder = make(tmp_path_factory.mktemp("study"))
    train_tiny.write_blend(folder / "blend")
    (folder / "recipe.yaml").write_text(f"model: {folder / 'model'}\nstage1: {STAGE}\nstage2: {STAGE}\n")
    return folder


@pytest.fixture
def tiny(place: Path) -> Iterator[Path]:
    """The same folder with the tiny model in it."""
    if not (place / "model").exists():
        (place / "model").mkdir()
        train_tiny.write_model(place / "model")
    with train_tiny.one_thread():
        yield place


def training(place: Path, **changed: object) -> Training:
    named = {"recipe": str(place / "recipe.yaml"), "blend": str(place / "blend"), "stages": [1, 2]}
    return Training.model_validate(named | changed)


def setup(place: Path, **changed: object) -> Setup:
    return Setup(train=training(place, **changed))


# ── the studies that are shipped ─────────────────────────────────────────────────────────────────────

CLAIMS = tuple(f"claim-{n}" for n in range(1, 7))
NAMES = ("ablation", *CLAIMS, "k-sweep", "precision", "ranking-data", "retrievers")
TRAINING = ("ablation", "claim-1", "claim-2", "ranking-data")


def test_these_studies_are_shipped() -> None:
    assert tuple(sorted(path.stem for path in STUDIES.glob("*.yaml"))) == NAMES
    with pytest.raises(NotFoundError, match=f"wanted one of {', '.join(NAMES)}"):
        read_study("k-swep")


@pytest.mark.parametrize("name", NAMES)
def test_every_setup_of_a_shipped_study_makes_a_system(name: str, tmp_path: Path) -> None:
    recipe = ["base.train.recipe=r.yaml", "base.train.blend=b"] if name in TRAINING else []
    chosen = read_study(name, ["base.index=wiki", *recipe])
    setups = chosen.setups()
    assert set(chosen.benchmarks) <= {*BENCHMARKS, "trec_dl19", "trec_dl20", "nfcorpus"}
    assert {one for pair in chosen.compare for one in pair.split(":")} <= setups.keys()
    for variant, one in setups.items():
        named = system_of(chosen, variant, one, one.model, tmp_path)
        assert (named.name, named.spec.index, named.spec.model) == (variant, Path("wiki"), one.model)
        assert one.model == DEFAULT_MODEL or (name, variant) in (
            ("claim-5", "untuned"),
            ("claim-6", "generalist"),
        )
        assert named.spec.read_k <= named.spec.retrieve_k
        assert (one.x is None) == (chosen.x is None)


def test_the_sweeps_are_those_of_the_paper() -> None:
    retrieved = read_study("k-sweep").setups().values()
    assert [(one.x, one.retrieve_k, one.read_k) for one in retrieved] == [
        (n, n, 5) for n in (20, 30, 40, 50, 100)
    ]
    read = read_study("claim-3")
    assert (read.x, read.benchmarks) == ("read_k", ["nq", "triviaqa", "popqa", "fever"])
    assert {(one.line, one.ranking, one.x, one.read_k) for one in read.setups().values()} == {
        (line, line == "ranked", k, k) for line in ("ranked", "unranked") for k in (5, 10, 20)
    }


@pytest.mark.parametrize("name", TRAINING)
def test_what_is_trained_is_trained_in_both_stages(name: str) -> None:
    recipe = ["base.train.recipe=r.yaml", "base.train.blend=b"]
    setups = read_study(name, recipe).setups()
    stages = {variant: one.train.stages for variant, one in setups.items() if one.train}
    assert stages.keys() == setups.keys()
    assert {variant for variant, one in stages.items() if one != [1, 2]} <= {"stage-1"}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_tested_by_pairs_that_are_compared(name: str) -> None:
    recipe = ["base.train.recipe=r.yaml", "base.train.blend=b"] if name in TRAINING else []
    chosen = read_study(name, recipe)
    assert chosen.title.startswith(f"Claim {name[-1]}: ")
    assert chosen.claim is not None
    assert {*chosen.claim.pairs} <= {*chosen.compare}
    wanted = ((None, 0), (150, 150))
    assert (chosen.n, chosen.skip) in wanted, "fewer are no result, nor those of the rounds"


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────


def test_settings_reach_the_system(tmp_path: Path) -> None:
    settings = [
        "base.precision=int8",
        "base.ranker=cross",
        "base.corpus=[c.jsonl]",
        "cache=false",
        'missing=["All of Wikipedia."]',
    ]
    chosen = read_study("retrievers", settings)
    named = system_of(chosen, "dense-ranked", chosen.setups()["dense-ranked"], "m", tmp_path)
    assert (named.spec.loading.precision, named.spec.ranker) == ("int8", "cross")
    assert (named.corpus, named.cache) == (("c.jsonl",), None)
    assert chosen.missing == ["All of Wikipedia."]


def test_a_variant_is_left_out() -> None:
    assert "n100" not in read_study("k-sweep", ["variants.n100=null"]).variants
    with pytest.raises(InvalidInputError, match="found no variant 'n10' to leave out, wanted one of n020"):
        read_study("k-sweep", ["variants.n10=null"])


# ── ranking data ─────────────────────────────────────────────────────────────────────────────────────


def test_a_part_of_the_ranking_data_is_said_in_shares(place: Path) -> None:
    setups = {f"pairs-{n}": setup(place, ranking_pairs=n) for n in (0, 7)}
    held = (place / "blend" / "examples.jsonl").read_text().count('"task": "rank"')
    assert ranking_shares(setups | {"all": setup(place), "plain": Setup()}) == {
        "pairs-0": f"0 ranking pairs (0.0% of the blend's {held}, 0.0% of MS MARCO's 503,000)",
        "pairs-7": f"7 ranking pairs ({7 / held:.1%} of the blend's {held}, 0.0% of MS MARCO's 503,000)",
    }


def test_a_share_of_the_ranking_data_is_the_number_that_it_is(place: Path) -> None:
    held = (place / "blend" / "examples.jsonl").read_text().count('"task": "rank"')
    shares = {f"pairs-{share:g}": setup(place, ranking_share=share) for share in (0, 0.1, 1)}
    found = counted(shares | {"plain": Setup()})
    pairs = [one.train and one.train.ranking_pairs for one in found.values()]
    assert pairs == [0, round(held / 10), held, None]
    assert ranking_shares(found)["pairs-0.1"].startswith(f"{round(held / 10)} ranking pairs (10")
    with pytest.raises(InvalidInputError, match=rf"found {held} ranking pairs in .*, of which 1% are none"):
        counted({"a": setup(place, ranking_share=0.01)})
    with pytest.raises(NotFoundError, match=r"found no examples\.jsonl in gone"):
        counted({"a": setup(place, blend="gone", ranking_share=0.1)})


def test_more_ranking_data_than_there_is_is_refused_first(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    train = (f"base.train.recipe={place / 'recipe.yaml'}", f"base.train.blend={place / 'blend'}")
    settings = [part for setting in train for part in ("--set", setting)]
    _, err = call(capsys, "eval", "study", "ranking-data", "--out", str(tmp_path / "o"), *settings, code=5)
    assert err.splitlines()[-1].endswith("leave the variant out with --set variants.pairs-5k=null")
    assert not (tmp_path / "o").exists()
    with pytest.raises(NotFoundError, match=r"found no examples\.jsonl in gone"):
        ranking_shares({"a": setup(place, blend="gone", ranking_pairs=1)})


# ── the paper's table ────────────────────────────────────────────────────────────────────────────────


def test_table_8_is_quoted_beside_several_retrievers() -> None:
    results = few()
    quoted = [one for one in answer_recall_table(results).groups if one.kind == "quoted"]
    assert [one.title for one in quoted] == [QUOTED]
    systems = tuple(
        replace(one, retriever="dense") if one.name == RANKRAG else one for one in results.systems
    )
    table = answer_recall_table(replace(results, systems=systems))
    _, _, eighth = table.groups
    assert (eighth.kind, eighth.title) == ("quoted", f"Table 8, {QUOTED}")
    assert any(note.startswith("Its Table 8") for note in table.notes)
    columns = [(one.group, one.title) for one in table.headings]
    rows = {one.head: dict(zip(columns, one.entries, strict=True)) for one in eighth.rows}
    assert rows["DPR, as retrieved"]["NQ", "R@5"].text == "69.50"
    assert rows["Contriever, ranked"]["PopQA", "R@20"].text == "71.77"
    assert rows["DPR, ranked"]["HotpotQA", "R@5"].text == DASH


# ── training ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_is_named_by_what_decides_it(place: Path, tmp_path: Path) -> None:
    def named(number: Literal[1, 2], start: Path | None = None, **changed: object) -> str:
        chosen = training(place, **changed)
        return digest(chosen, read_stage(chosen.recipe, number, chosen.settings), number, start)

    other = train_tiny.write_blend(tmp_path / "other", n=50)
    first = named(1)
    for changed in ({"without": ["rank"]}, {"ranking_pairs": 3}, {"settings": ["stage2.seed=1"]}):
        assert named(1, **changed) == first
        assert named(2, **changed) != named(2)
    (other / "examples.jsonl").write_bytes((place / "blend" / "examples.jsonl").read_bytes())
    assert named(2, blend=str(other)) == named(2)
    assert named(1, blend=str(other)) != first
    assert named(1, settings=["stage1.seed=1"]) != first
    starts = [named(2, tmp_path / one / "stage1") for one in ("a", "b")]
    assert len({named(2), *starts}) == 3


@pytest.mark.slow
def test_stage_one_is_trained_once(capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "study.yaml", tmp_path / "out"
    named = {name: tiny / name for name in ("index", "blend")} | {"recipe": tiny / "recipe.yaml"}
    recipe.write_text(TRAINED.format(file=tiny / "capitals.jsonl", **named))
    command = ("eval", "study", str(recipe), "--out", str(out))
    _, err = call(capsys, *command)
    share = f"5 ranking pairs ({5 / 29:.1%} of the blend's 29, 0.0% of MS MARCO's 503,000)"
    assert f"pairs-5: {share}" in err
    stages = {n: list((out / "checkpoints").glob(f"*/stage{n}/training.json")) for n in (1, 2)}
    assert (len(stages[1]), len(stages[2])) == (1, 2)
    first = str(stages[1][0].parent)
    assert {json.loads(path.read_text())["stage"]["model"] for path in stages[2]} == {first}

    results = read_results(out / "report" / "results.json")
    systems = {one.name: one for one in results.systems}
    assert systems["stage-1"].generator == first
    assert systems["whole"].generator == systems["unranked"].generator != systems["pairs-5"].generator
    assert systems["pairs-5"].facts["variant"] == share
    assert {*results.questions[0].given} == {"whole", "unranked", "pairs-5", "stage-1"}

    written = {path: path.stat().st_mtime_ns for paths in stages.values() for path in paths}
    _, err = call(capsys, *command)
    assert f"pairs-5: {share}" in err, "the shares are said where nothing is trained, too"
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_stage_two_alone_goes_on_from_the_recipes_model(tiny: Path, tmp_path: Path) -> None:
    made = Path(_checkpoint(training(tiny, stages=[2]), tmp_path))
    assert json.loads((made / "training.json").read_text())["stage"]["model"] == str(tiny / "model")
    assert not list((tmp_path / "checkpoints").glob("*/stage1"))


def trained_claim(tiny: Path, number: int) -> tuple[str, ...]:
    settings = (
        *(f"base.train.recipe={tiny / 'recipe.yaml'}", f"base.train.blend={tiny / 'blend'}"),
        *(f"base.index={tiny / 'index'}", f"benchmarks=[{tiny / 'capitals.jsonl'}]"),
        *("base.retrieve_k=3", "base.read_k=1", "n=4", "skip=1"),
    )
    return (
        "eval",
        "study",
        f"claim-{number}",
        *(part for setting in settings for part in ("--set", setting)),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "variants"), [(1, 4), (2, 2)])
def test_a_claim_about_training_runs_end_to_end(
    capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path, number: int, variants: int
) -> None:
    """The shipped study itself, on a model of 60,000 weights: only recipe, blend, index and sizes are set."""
    # 1 % of so small a blend is no pair.
    shares = ["pairs-1.train.ranking_share=0.1", "pairs-10.train.ranking_share=0.5"] if number == 1 else []
    larger = [part for share in shares for part in ("--set", f"variants.{share}")]
    out, _ = call(capsys, *trained_claim(tiny, number), *larger, "--out", str(tmp_path / "out"))
    stages = [len([*(tmp_path / "out" / "checkpoints").glob(f"*/stage{n}/training.json")]) for n in (1, 2)]
    assert stages == [1, variants]
    counts = [
        json.loads(path.read_text())["examples"].get("rank", 0)
        for path in (tmp_path / "out" / "checkpoints").glob("*/blend/subset.json")
    ]
    held = (tiny / "blend" / "examples.jsonl").read_text().count('"task": "rank"')
    assert sorted(counts) == ([0, round(held / 10), round(held / 2), held] if number == 1 else [0, held])
    results = read_results(tmp_path / "out" / "report" / "results.json")
    assert {cell.made_of["questions"] for cell in results.cells} == {"2 to 5 of the order of seed 0"}
    assert results.claim
    says = read_study(f"claim-{number}", ["base.train.recipe=r", "base.train.blend=b"]).claim
    assert says is not None
    assert results.claim[0].startswith(says.says)
    assert "fewer than 150 of a set" in results.claim[1]
    assert out.startswith(results.claim[0])


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_study_draws_a_curve(capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "study.yaml"
    recipe.write_text(STUDY.format(file=place / "capitals.jsonl", index=place / "index"))
    command = ("eval", "study", str(recipe), "--out", str(tmp_path / "out"), "--set", "n=4")
    call(capsys, *command, "--data-root", str(place))
    results = read_results(tmp_path / "out" / "report" / "results.json")
    curve = next(one for one in results.curves if one.measure == "EM")
    assert (curve.system, curve.x_name, [x for x, _ in curve.points]) == ("reads", "read_k", [1.0, 3.0])
    assert results.cells[0].questions == 4
    assert results.missing == ("All of Wikipedia.",)
    assert [{*row.given} for row in results.questions] == [{"one", "three"}] * 4
    call(capsys, *command, "--data-root", str(place), "--set", "browse=false")
    assert read_results(tmp_path / "out" / "report" / "results.json").questions == ()


def test_what_is_wrong_with_a_study_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "study.yaml"
    recipe.write_text(STUDY.format(file=place / "capitals.jsonl", index=place / "index"))
    command = ("eval", "study", str(recipe), "--out", str(tmp_path / "out"))
    _, err = call(capsys, *command, "--set", "m=4", code=5)
    assert "m: extra inputs are not permitted" in err
    _, err = call(capsys, *command, "--set", "base.precision=int8", code=5)
    assert "found --precision int8 for fake" in err
    _, err = call(capsys, "eval", "study", "k-swep", "--out", str(tmp_path), code=4)
    assert f"wanted one of {', '.join(NAMES)}" in err
