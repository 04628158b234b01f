"""Training: a folder that holds everything, a killed run that goes on, errors that lose nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import train_tiny
from rankrag import prompts
from rankrag.errors import InvalidInputError, NotFoundError
from rankrag.model.store.checkpoint import read_checkpoint
from rankrag.train import Stage, TrainingJob, train
from rankrag.train.folder import last_state
from rankrag.train.record import read_metrics
from rankrag.train.start import Start, load_model

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with train_tiny.one_thread():
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny.write_blend(tmp_path_factory.mktemp("blend"))


def two_passes(model: Path) -> Stage:
    return train_tiny.stage(model, num_train_epochs=2)


@pytest.fixture(scope="session")
def unbroken(model: Path, blend: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "out"
    return train(TrainingJob(two_passes(model), 2, blend, out), lambda done, total, unit: None)


def stop_at(share: float) -> Callable[[int, int, str], None]:
    """Return a report that interrupts the run once more than that share of its tokens is done."""

    def stop(done: int, total: int, unit: str) -> None:
        if unit == "tokens" and done > share * total:
            raise KeyboardInterrupt

    return stop


def curve(folder: Path) -> list[dict[str, object]]:
    """Return the lines of metrics without what a clock says.

    Numbers are compared to six digits: products may add up in another order where memory lies elsewhere.
    """
    clock = {"elapsed_s", "tokens_per_s"}
    return [
        {
            k: pytest.approx(v, rel=1e-6) if isinstance(v, float) else v
            for k, v in line.items()
            if k not in clock
        }
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def test_the_checkpoint_holds_everything(unbroken: Path, model: Path) -> None:
    checkpoint = read_checkpoint(unbroken)
    assert checkpoint.trained
    assert (checkpoint.template, checkpoint.base, checkpoint.is_adapter) == ("paper", str(model), True)
    assert sorted(path.name for path in unbroken.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "curves.png", "manifest.json", "metrics.jsonl",
        "rankrag.json", "recipe.yaml", "tensorboard", "tokenizer.json", "tokenizer_config.json",
        "training.json",
    ]  # fmt: skip
    assert (unbroken / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    assert json.loads((unbroken / "manifest.json").read_text()) == {"name": "tiny"}
    assert yaml.safe_load((unbroken / "recipe.yaml").read_text())["stage2"]["learning_rate"] == 0.01
    assert (unbroken / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert any((unbroken / "tensorboard").iterdir())


def test_training_json_says_what_it_took(unbroken: Path) -> None:
    said = json.loads((unbroken / "training.json").read_text())
    assert said["rows"]["rows"] == {
        "rank": 29,
        "context_qa": 5,
        "instruct": 5,
        "retrieval_rank": 5,
        "retrieval_qa": 4,
    }
    assert said["tokens"] == read_metrics(unbroken / "metrics.jsonl")[-1]["tokens"]
    assert said["after"]["eval_loss"] < said["before"]["eval_loss"]
    assert said["n_devices"] == 1
    assert set(said["versions"]) >= {"torch", "transformers", "trl", "peft", "rankrag"}


def test_metrics_tell_every_part(unbroken: Path) -> None:
    lines = read_metrics(unbroken / "metrics.jsonl")
    held_out = [line for line in lines if "eval_loss" in line]
    assert [line["step"] for line in held_out] == [0, 3, 6, 9, 12]
    assert set(held_out[0]) >= {
        "eval_loss", "eval_rank_loss", "eval_rank_accuracy", "eval_rank_auc", "eval_list_loss",
        "eval_answer_loss",
    }  # fmt: skip
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert set(steps[0]) >= {"epoch", "tokens", "elapsed_s", "tokens_per_s", "learning_rate", "grad_norm"}
    assert steps[-1]["epoch"] == 2


@pytest.mark.slow
def test_an_interrupted_run_goes_on_along_the_same_curve(
    model: Path, blend: Path, unbroken: Path, tmp_path: Path
) -> None:
    """It is cut in its second pass, after a state was saved and more steps were logged."""
    job = TrainingJob(two_passes(model), 2, blend, tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        train(job, stop_at(0.74))
    assert last_state(job.out) == job.out / "state" / "checkpoint-8"
    with (job.out / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 10, "lo')  # as a full disk leaves it
    reported: list[tuple[int, int, str]] = []
    train(job, lambda *said: reported.append(said))
    assert curve(job.out) == curve(unbroken)
    assert reported[0] == (0, 0, "loading the model")
    reported = [said for said in reported if said[2] == "tokens"]
    assert len(reported) == 4
    assert reported[-1][0] == reported[-1][1]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import train_tiny
from rankrag.train import TrainingJob, train
def kill(done, total, unit):
    if done > {share} * total: os.kill(os.getpid(), signal.SIGKILL)
stage = train_tiny.stage(Path({model!r}), num_train_epochs=2)
train(TrainingJob(stage, 2, Path({blend!r}), Path({out!r})), kill)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_along_the_same_curve(
    model: Path, blend: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for share in (0.3, 0.7):
        script = KILLED.format(here=str(HERE), model=str(model), blend=str(blend), out=str(out), share=share)
        ended = subprocess.run([sys.executable, "-c", script], check=False)
        assert ended.returncode == -signal.SIGKILL
    train(TrainingJob(two_passes(model), 2, blend, out), lambda done, total, unit: None)
    assert curve(out) == curve(unbroken)


def test_a_state_that_was_not_saved_to_its_end_is_not_used(tmp_path: Path) -> None:
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-4"):
        (tmp_path / "state" / name).mkdir(parents=True)
    for name in ("checkpoint-2", "checkpoint-4"):
        (tmp_path / "state" / name / "trainer_state.json").write_text('{"global_step": 4}')
    assert last_state(tmp_path) == tmp_path / "state" / "checkpoint-4"
    (tmp_path / "state" / "checkpoint-10" / "trainer_state.json").write_text('{"global_st')
    assert last_state(tmp_path) == tmp_path / "state" / "checkpoint-4"


def test_a_folder_with_something_else_is_left_alone(
    model: Path, blend: Path, unbroken: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    job = TrainingJob(train_tiny.stage(model), 2, blend, tmp_path)
    with pytest.raises(InvalidInputError, match="something else in it"):
        train(job, print)
    with pytest.raises(InvalidInputError, match="finished checkpoint"):
        train(TrainingJob(train_tiny.stage(model), 2, blend, unbroken), print)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_another_setting_does_not_go_on_with_an_unfinished_run(
    model: Path, blend: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    with pytest.raises(KeyboardInterrupt):
        train(TrainingJob(train_tiny.stage(model, learning_rate=0.03), 2, blend, out), stop_at(0))
    # Nothing was saved yet, so nothing is lost when other settings take its place.
    with pytest.raises(KeyboardInterrupt):
        train(TrainingJob(train_tiny.stage(model), 2, blend, out), stop_at(0.6))
    with pytest.raises(InvalidInputError, match=r"stage.learning_rate = 0.01, wanted 0.02"):
        train(TrainingJob(train_tiny.stage(model, learning_rate=0.02), 2, blend, out), stop_at(0))


def test_no_blend_names_the_command_that_makes_one(model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="rankrag data build"):
        train(TrainingJob(train_tiny.stage(model), 2, tmp_path / "nothing", tmp_path / "out"), print)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_broken_line_is_named_and_mending_it_is_enough(model: Path, blend: Path, tmp_path: Path) -> None:
    broken = tmp_path / "blend"
    shutil.copytree(blend, broken)
    held_out = (broken / "heldout.jsonl").read_text()
    (broken / "heldout.jsonl").write_text(held_out + "{broken\n")
    job = TrainingJob(train_tiny.stage(model, max_steps=1), 2, broken, tmp_path / "out")
    with pytest.raises(InvalidInputError, match=r"heldout.jsonl:21: found broken JSON"):
        train(job, print)
    (broken / "heldout.jsonl").write_text(held_out)
    assert read_checkpoint(train(job, lambda *said: None)).trained


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import train_tiny
from rankrag.errors import FailureError
from rankrag.train import TrainingJob, train
def fill(done, total, unit):
    if unit == "tokens" and done > 0.6 * total:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    stage = train_tiny.stage(Path({model!r}), num_train_epochs=2)
    train(TrainingJob(stage, 2, Path({blend!r}), Path({out!r})), fill)
except FailureError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix", reason="needs a limit on the size of files, which stands in for a full disk"
)
def test_a_full_disk_loses_nothing(model: Path, blend: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = FULL.format(here=str(HERE), model=str(model), blend=str(blend), out=str(out))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "could not write to" in ended.stdout
    assert "safe up to step 6" in ended.stdout
    assert ended.stdout.count("\n") == 1
    train(TrainingJob(two_passes(model), 2, blend, out), lambda *said: None)
    assert curve(out) == curve(unbroken)


@pytest.mark.slow
def test_nothing_is_sent_anywhere(
    model: Path, blend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL tells its makers of every trainer that is made, from a thread, unless it is stopped."""
    tried: list[object] = []

    def look_up(host: object, *arguments: object, **named: object) -> None:
        tried.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    train(TrainingJob(train_tiny.stage(model, max_steps=1), 2, blend, tmp_path / "out"), lambda *said: None)
    assert tried == []


@pytest.mark.slow
def test_a_run_cut_before_its_first_state_begins_anew(
    model: Path, blend: Path, unbroken: Path, tmp_path: Path
) -> None:
    job = TrainingJob(two_passes(model), 2, blend, tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        train(job, stop_at(0))
    assert [line["step"] for line in curve(job.out)] == [0]
    train(job, lambda *said: None)
    assert curve(job.out) == curve(unbroken)


@pytest.mark.slow
def test_other_held_out_examples_are_another_run(model: Path, blend: Path, tmp_path: Path) -> None:
    own = tmp_path / "blend"
    shutil.copytree(blend, own)
    job = TrainingJob(two_passes(model), 2, own, tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        train(job, stop_at(0.5))
    lines = (own / "heldout.jsonl").read_text().splitlines(keepends=True)
    (own / "heldout.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(InvalidInputError, match="held_out_sha256"):
        train(job, lambda *said: None)


@pytest.mark.slow
def test_only_who_learnt_to_rank_is_called_trained(model: Path, tmp_path: Path) -> None:
    blend = train_tiny.write_blend(tmp_path / "blend")
    lines = (blend / "examples.jsonl").read_text().splitlines(keepends=True)
    (blend / "examples.jsonl").write_text("".join(line for line in lines if '"rank"' not in line))
    out = train(
        TrainingJob(train_tiny.stage(model, max_steps=1), 2, blend, tmp_path / "out"), lambda *said: None
    )
    assert not read_checkpoint(out).trained


@pytest.mark.slow
def test_a_run_shorter_than_a_line_of_metrics_without_held_out_rows_ends_well(
    model: Path, tmp_path: Path
) -> None:
    blend = train_tiny.write_blend(tmp_path / "blend")
    (blend / "heldout.jsonl").write_text("")
    stage = train_tiny.stage(model, max_steps=3, logging_steps=10)
    out = train(TrainingJob(stage, 2, blend, tmp_path / "out"), lambda *said: None)
    (line,) = read_metrics(out / "metrics.jsonl")
    assert line["step"] == 3


@pytest.mark.slow
def test_stage_two_goes_on_with_the_adapter_of_stage_one(
    unbroken: Path, blend: Path, model: Path, tmp_path: Path
) -> None:
    next_stage = train_tiny.stage(unbroken, max_steps=2)
    out = train(TrainingJob(next_stage, 2, blend, tmp_path / "out"), lambda *said: None)
    assert read_checkpoint(out).base == str(model)
    last, first = (read_metrics(folder / "metrics.jsonl") for folder in (unbroken, out))
    assert first[0]["eval_loss"] == pytest.approx(last[-1]["eval_loss"], abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft calls its old name
def test_saving_an_adapter_over_a_named_base_asks_no_hub(unbroken: Path, model: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(unbroken, tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "org/name"}))
    tuned = load_model(Start(model, "org/name", adapter), train_tiny.stage(adapter))
    with warnings.catch_warnings(action="error", category=UserWarning):  # so peft says that nobody answered
        tuned.save_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"lora": {"r": 8, "lora_alpha": 8}}, "with r=4, wanted 8"), ({"template": "chat"}, "template: paper")],
)
def test_a_start_of_another_shape_is_refused(
    unbroken: Path, blend: Path, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        train(TrainingJob(train_tiny.stage(unbroken, **settings), 2, blend, tmp_path / "out"), print)


@pytest.mark.slow
def test_all_weights_can_be_trained(model: Path, blend: Path, tmp_path: Path) -> None:
    full = train_tiny.stage(model, lora=None, learning_rate=0.002)
    out = train(TrainingJob(full, 1, blend, tmp_path / "out"), lambda *said: None)
    assert not read_checkpoint(out).is_adapter
    lines = read_metrics(out / "metrics.jsonl")
    assert lines[-1]["eval_loss"] < lines[0]["eval_loss"]  # type: ignore[operator]
    assert "template_hash" in json.loads((out / "rankrag.json").read_text())
    assert prompts.template_hash(prompts.PAPER) in (out / "rankrag.json").read_text()
