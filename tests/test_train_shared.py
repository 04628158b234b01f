"""Rows that begin alike as one bundle: nothing lost, and the loss and gradient of rows on their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import train_tiny
from rankrag.errors import InvalidInputError
from rankrag.train import TrainingJob, train
from rankrag.train.branches import ATTENTION, Branches, _attention_interface, register
from rankrag.train.record import read_metrics
from rankrag.train.shared import MOST_ROWS, Bundle, Collator, bundles, layout, visible
from rankrag.train.stage_recipe import parse_stage
from rankrag.train.token_rows import IGNORED, TokenRow
from rankrag.train.trainer import target_nll


def table(rows: Sequence[TokenRow]) -> dict[str, list[list[int]]]:
    return {"input_ids": [list(r.input_ids) for r in rows], "labels": [list(r.labels) for r in rows]}


def unbundled(found: Sequence[Bundle]) -> list[tuple[list[int], list[int]]]:
    """Return ids and labels of every row, put together again."""
    rows = []
    for bundle in found:
        shared, *branches = bundle.seq_lengths
        at = shared
        for n in branches:
            ids = [*bundle.input_ids[:shared], *bundle.input_ids[at : at + n]]
            rows.append((ids, [*bundle.labels[:shared], *bundle.labels[at : at + n]]))
            at += n
        assert at == len(bundle.input_ids) == len(bundle.labels)
    return sorted(rows)


def random_rows(seed: int, n: int = 60) -> list[TokenRow]:
    """Rows over a few passages, some alike to the last token of the prompt, one of them twice."""
    draw = random.Random(seed)
    passages = [[draw.randrange(3, 500) for _ in range(draw.randrange(5, 40))] for _ in range(6)]
    rows = []
    for _ in range(n):
        prompt = [1, 2, *draw.choice(passages), *draw.choices(range(3, 9), k=draw.randrange(1, 8))]
        target = draw.choices(range(300, 310), k=draw.randrange(1, 4))
        rows.append(TokenRow((*prompt, *target), len(prompt), "rank"))
    return [*rows, rows[0]]


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_one_bundle_as_it_was(seed: int) -> None:
    rows = random_rows(seed)
    found = list(bundles(table(rows), 200))
    assert unbundled(found) == sorted((list(row.input_ids), list(row.labels)) for row in rows)
    assert len(found) < len(rows) / 2
    for bundle in found:
        assert len(bundle.input_ids) <= 200
        assert len(bundle.seq_lengths) <= MOST_ROWS + 1
        assert set(bundle.labels[: bundle.seq_lengths[0]]) <= {IGNORED}


def test_rows_that_share_little_stay_apart() -> None:
    rows = [TokenRow((1, 2, 3, first, 5, 6, 7, 8, 9), 8, "rank") for first in (4, 5, 6)]
    assert [len(bundle.seq_lengths) for bundle in bundles(table(rows), 100)] == [2, 2, 2]


def test_positions_go_on_from_what_is_shared() -> None:
    branch, positions = layout([3, 2, 4])
    assert branch.tolist() == [-1, -1, -1, 0, 0, 1, 1, 1, 1]
    assert positions.tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 6]


@pytest.mark.parametrize("attention", ["sdpa", ATTENTION])
def test_loss_and_gradient_are_those_of_rows_on_their_own(tmp_path: Path, attention: str) -> None:
    from transformers import AutoModelForCausalLM

    register()
    folder = train_tiny.write_model(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    rows = random_rows(7, 24)
    found = list(bundles(table(rows), 200))
    assert any(len(bundle.seq_lengths) > 3 for bundle in found)

    def grad() -> torch.Tensor:
        flat = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        model.zero_grad()
        return flat

    apart = []
    for row in rows:
        ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
        apart.append(target_nll(model, {"input_ids": ids, "labels": labels}).per_row())
    torch.autograd.backward(torch.cat(apart).sum())
    alone = grad()
    model.set_attn_implementation(attention)
    items = [{name: list(getattr(b, name)) for name in ("input_ids", "labels", "seq_lengths")} for b in found]
    together = target_nll(model, Collator()(items)).per_row()
    torch.autograd.backward(together.sum())
    assert sorted(together.tolist()) == pytest.approx(sorted(torch.cat(apart).tolist()), abs=1e-4)
    torch.testing.assert_close(grad(), alone, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_run_that_shares_computes_fewer_tokens_for_as_many_examples(tmp_path: Path) -> None:
    with train_tiny.one_thread():
        model, blend = (
            train_tiny.write_model(tmp_path / "model"),
            train_tiny.write_blend(tmp_path / "blend", 240),
        )
        small = {"global_batch_size": 4, "max_steps": 2}
        last = []
        for name, shares in (("apart", False), ("shared", True)):
            stage = train_tiny.stage(model, share_prefixes=shares, **small)
            out = train(TrainingJob(stage, 2, blend, tmp_path / name), lambda *said: None)
            last.append(read_metrics(out / "metrics.jsonl"))
    apart, shared = last
    assert shared[0]["eval_loss"] == pytest.approx(apart[0]["eval_loss"], abs=1e-4)
    assert shared[0]["eval_rank_auc"] == apart[0]["eval_rank_auc"]
    assert shared[-1]["epoch"] > 2 * apart[-1]["epoch"]  # type: ignore[operator]
    assert shared[-1]["eval_loss"] != shared[0]["eval_loss"]


def test_flash_attention_takes_no_such_mask() -> None:
    with pytest.raises(InvalidInputError, match="attn_implementation sdpa"):
        parse_stage(
            {
                "model": "m",
                "learning_rate": 1,
                "share_prefixes": True,
                "attn_implementation": "flash_attention_2",
            },
            "r",
        )


# ── attention without a mask ─────────────────────────────────────────────────────────────────────────


def test_attention_by_branches_is_attention_by_the_mask() -> None:
    random_numbers = torch.Generator().manual_seed(4)
    lengths = [[5, 2, 1, 4], [0, 7], [3, 6]]
    heads = (4, 2, 2)
    query, key, value = (torch.randn(3, n, 12, 8, generator=random_numbers) for n in heads)
    found = Branches(lengths).attend(query, key, value, 0.3)
    assert found.shape == (3, 12, 4, 8)
    for item, parts in enumerate(lengths):
        n = sum(parts)
        sees = torch.from_numpy(visible(layout(parts)[0], 12))
        masked = torch.nn.functional.scaled_dot_product_attention(
            query[item], key[item], value[item], sees, scale=0.3, enable_gqa=True
        )
        torch.testing.assert_close(found[item, :n], masked.transpose(0, 1)[:n])
        assert not found[item, n:].any()


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"softcap": 30.0}, "softcap"), ({"dropout": 0.1}, "dropout"), ({"sliding_window": 2}, "window")],
)
def test_an_architecture_that_wants_more_is_refused(asked: dict[str, object], named: str) -> None:
    part = torch.zeros(1, 2, 3, 4)
    _attention_interface(None, part, part, part, None, layout=Branches([[0, 3]]), sliding_window=3)
    with pytest.raises(InvalidInputError, match=f"{named}.*attn_implementation: sdpa"):
        _attention_interface(None, part, part, part, None, layout=Branches([[0, 3]]), **asked)
