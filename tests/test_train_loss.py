"""The loss: on targets alone, every example counting the same, however the batch is laid out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train_tiny
from rankrag import prompts
from rankrag.train.start import Start, vocabulary
from rankrag.train.token_rows import RowCounts, TokenRow, make_rows

Model = Any
"""A transformers model: its methods carry no types."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with train_tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rows(model_folder: Path) -> list[TokenRow]:
    words = vocabulary(Start(model_folder, "tiny"), prompts.PAPER.name)
    return list(make_rows(train_tiny.examples(10), words, 512, RowCounts()))


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Model:
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    loaded: Model = AutoModelForCausalLM.from_pretrained(model_folder, local_files_only=True)
    add_fused_lm_head(loaded)
    return loaded.eval()


def batch(rows: list[TokenRow], padding_free: bool) -> dict[str, Any]:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    made: dict[str, Any] = collate(
        [{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in rows]
    )
    return made


def by_hand(model: Model, rows: list[TokenRow]) -> np.ndarray:
    """Return each row's mean loss, from all logits of one row at a time."""
    import torch

    found = []
    for row in rows:
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([row.input_ids])).logits[0].float(), dim=-1)
        taught = range(row.n_prompt, len(row.input_ids))
        found.append(-np.mean([logprobs[place - 1, row.input_ids[place]].item() for place in taught]))
    return np.array(found)


@pytest.mark.parametrize("padding_free", [False, True], ids=["padded", "flattened"])
def test_losses_of_rows_are_those_computed_by_hand(
    model: Model, rows: list[TokenRow], padding_free: bool
) -> None:
    import torch

    from rankrag.train.trainer import target_nll

    with torch.no_grad():
        targets = target_nll(model, batch(rows, padding_free))
    assert targets.n_rows == len(rows)
    assert len(targets.nll) == sum(len(row.input_ids) - row.n_prompt for row in rows)
    assert targets.per_row().numpy() == pytest.approx(by_hand(model, rows), abs=1e-5)


@pytest.mark.parametrize("padding_free", [False, True], ids=["padded", "flattened"])
def test_the_head_of_accelerators_gives_the_same(
    model: Model, rows: list[TokenRow], padding_free: bool
) -> None:
    """TRL's fused head is what runs off the CPU; here it runs on it."""
    import torch

    from rankrag.train.trainer import fused_nll, target_nll

    with torch.no_grad():
        fused, ours = (nll(model, batch(rows, padding_free)) for nll in (fused_nll, target_nll))
    assert fused.per_row().numpy() == pytest.approx(ours.per_row().numpy(), abs=1e-5)


def test_rankings_are_judged_by_the_label_that_is_more_probable() -> None:
    from rankrag.train.trainer import ranking_measures

    margins = np.array([[2.0, 1], [0.5, 1], [-1.0, 1], [1.0, 0], [-2.0, 0]])
    measures = ranking_measures(margins)
    relevance = 1 / (1 + np.exp(-margins[:, 0]))
    right = np.where(margins[:, 1] == 1, relevance, 1 - relevance)
    assert measures["eval_rank_loss"] == pytest.approx(-np.log(right).mean())
    assert measures["eval_rank_accuracy"] == pytest.approx(3 / 5)
    # Of six pairs, 2.0 beats both, 0.5 and -1.0 beat one each.
    assert measures["eval_rank_auc"] == pytest.approx(4 / 6)
    undecided = ranking_measures(np.array([[0.0, 1], [0.0, 0]]))
    assert undecided["eval_rank_auc"] == 0.5
    assert undecided["eval_rank_loss"] == pytest.approx(np.log(2))
    assert "eval_rank_auc" not in ranking_measures(np.array([[2.0, 1]]))


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["example", "token"])
def test_a_step_weighs_as_it_says(model_folder: Path, tmp_path: Path, weighting: str) -> None:
    """The first step's logged loss, before anything was learnt, against the same rows by hand."""
    from transformers import AutoModelForCausalLM

    from rankrag.train import TrainingJob, train
    from rankrag.train.record import read_metrics

    blend = train_tiny.write_blend(tmp_path / "blend", n=10)
    (blend / "heldout.jsonl").unlink()
    stage = train_tiny.stage(
        model_folder,
        global_batch_size=10,
        per_device_train_batch_size=5,
        max_steps=1,
        loss_weighting=weighting,
    )
    out = train(TrainingJob(stage, 2, blend, tmp_path / "out"), lambda *said: None)
    words = vocabulary(Start(model_folder, "tiny"), "paper")
    rows = list(make_rows(train_tiny.examples(10), words, 512, RowCounts()))
    untrained: Model = AutoModelForCausalLM.from_pretrained(model_folder, local_files_only=True)
    losses = by_hand(untrained.eval(), rows)
    counts = np.array([len(row.input_ids) - row.n_prompt for row in rows])
    wanted = {"example": losses.mean(), "token": (losses * counts).sum() / counts.sum()}
    (line,) = read_metrics(out / "metrics.jsonl")
    assert line["loss"] == pytest.approx(wanted[weighting], abs=1e-4)
    assert abs(wanted["example"] - wanted["token"]) > 0.01
