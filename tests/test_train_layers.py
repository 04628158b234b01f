"""Our own way through the layers when an adapter is trained: the losses and gradients of peft's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, set_seed

import train_tiny
from rankrag.train import TrainingJob, train
from rankrag.train.attend import QUERIES, blocks
from rankrag.train.layers import Layers, can_train
from rankrag.train.record import read_metrics
from rankrag.train.shared import Collator, bundles
from rankrag.train.token_rows import TokenRow
from rankrag.train.trainer import TensorBatch, column_logprobs, target_nll
from test_train_shared import random_rows, table

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*is_gradient_checkpointing.*:FutureWarning"
    ),  # peft calls its old name
    pytest.mark.filterwarnings("ignore:.*lora_bias.*"),
]


def llama(folder: Path) -> torch.nn.Module:
    train_tiny.write_model(folder)
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder)
    return model


def qwen(_: Path) -> torch.nn.Module:
    """A tiny Qwen2: biases on queries, keys and values, three heads a group."""
    set_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    for block in model.model.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            torch.nn.init.normal_(getattr(block.self_attn, name).bias)
    return model


def adapted(model: torch.nn.Module, **settings: object) -> PeftModel:
    """Return the model with an adapter that changes something."""
    given: dict[str, object] = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }
    tuned = get_peft_model(model, LoraConfig(**given | settings))  # type: ignore[arg-type]
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return tuned


def batch() -> TensorBatch:
    """Two bundles of unlike lengths and a row that shares nothing, padded into one batch."""
    alone = TokenRow(tuple(range(400, 430)), 26, "context_qa")
    rows = [*random_rows(3, 24), alone]
    packed = sorted(bundles(table(rows), 200), key=lambda bundle: len(bundle.seq_lengths))
    chosen = [packed[0], packed[-1], packed[-2]]
    assert [len(bundle.seq_lengths) > 2 for bundle in chosen] == [False, True, True]
    names = ("input_ids", "labels", "seq_lengths")
    return Collator()([{name: list(getattr(bundle, name)) for name in names} for bundle in chosen])


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    taken = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    for weight in model.parameters():
        weight.grad = None
    return taken


@pytest.mark.parametrize("make", [llama, qwen])
def test_losses_and_gradients_are_those_of_peft(make: object, tmp_path: Path) -> None:
    assert callable(make)
    model, inputs = adapted(make(tmp_path)), batch()
    theirs = target_nll(model, inputs).per_row()
    torch.autograd.backward(theirs.sum())
    wanted = gradients(model)
    assert can_train(model, 512)
    ours = target_nll(Layers(model, torch.float32), inputs).per_row()
    torch.autograd.backward(ours.sum())
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    found = gradients(model)
    assert found.keys() == wanted.keys()
    assert len(found) == 2 * 2 * 7  # layers, weights of an adapter, projections
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, atol=1e-3, rtol=1e-3, msg=name)


def test_blocks_longer_than_one_see_what_came_before() -> None:
    """A shared beginning of two blocks and a half, and branches of which one takes two blocks."""
    shared, long = 2 * QUERIES + 5, QUERIES + 3
    seen = list(blocks([[shared, long, 4]]))
    assert [own.stop - own.start for own, _ in seen] == [QUERIES, QUERIES, 5, QUERIES, 3, 4]
    assert [[(past.start, past.stop) for past in pasts] for _, pasts in seen] == [
        [(0, QUERIES)],
        [(0, 2 * QUERIES)],
        [(0, shared)],
        [(0, shared), (shared, shared + QUERIES)],
        [(0, shared), (shared, shared + long)],
        [(0, shared), (shared + long, shared + long + 4)],
    ]


def test_long_rows_have_the_losses_of_peft(tmp_path: Path) -> None:
    model = adapted(qwen(tmp_path))
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 500, (QUERIES * 3,), generator=drawn).tolist()
    labels = [-100] * (len(ids) - 5) + ids[-5:]
    shared = {"input_ids": ids, "labels": labels, "seq_lengths": [QUERIES + 9, len(ids) - QUERIES - 9]}
    inputs = Collator()([shared])
    theirs = target_nll(model, inputs).nll
    torch.autograd.backward(theirs.sum())
    wanted = gradients(model)
    ours = target_nll(Layers(model, torch.float32), inputs).nll
    torch.autograd.backward(ours.sum())
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    for name, grad in gradients(model).items():
        torch.testing.assert_close(grad, wanted[name], atol=1e-3, rtol=1e-3, msg=name)


def test_16_bits_are_near_and_memory_holds_the_weights_once(tmp_path: Path) -> None:
    model, inputs = adapted(llama(tmp_path)), batch()
    exact = target_nll(model, inputs).per_row()
    layers = Layers(model, torch.bfloat16)
    assert (target_nll(layers, inputs).per_row() - exact).abs().max() < 0.1
    base: Any = model.get_base_model()
    attention = base.model.layers[0].self_attn
    assert attention.q_proj.base_layer.weight.dtype == torch.bfloat16
    joint = attention.k_proj.base_layer.weight.untyped_storage().data_ptr()
    assert joint == attention.q_proj.base_layer.weight.untyped_storage().data_ptr()
    assert {w.dtype for w in model.parameters() if w.requires_grad} == {torch.float32}


def test_labels_are_judged_at_the_same_tokens(tmp_path: Path) -> None:
    model, inputs = adapted(llama(tmp_path)), batch()
    logprobs, labels, rows = column_logprobs(model, inputs)
    ours = column_logprobs(Layers(model, torch.float32), inputs)
    torch.testing.assert_close(ours[0], logprobs, atol=1e-4, rtol=1e-4)
    assert ours[1].tolist() == labels.tolist()
    assert ours[2].tolist() == rows.tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_dropout": 0.1},
        {"target_modules": ["q_proj", "v_proj"]},
        {"use_dora": True},
        {"lora_bias": True},
    ],
)
def test_other_adapters_are_left_to_peft(tmp_path: Path, settings: dict[str, object]) -> None:
    assert not can_train(adapted(llama(tmp_path), **settings), 512)


def test_architectures_of_the_same_parts_are_left_to_peft() -> None:
    """Granite multiplies what it adds; Mistral's tokens may see a window alone."""
    from transformers import GraniteConfig, GraniteForCausalLM, MistralConfig, MistralForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    }  # fmt: skip
    assert not can_train(adapted(GraniteForCausalLM(GraniteConfig(**sizes))), 512)
    narrow = adapted(MistralForCausalLM(MistralConfig(**sizes, sliding_window=256)))
    assert not can_train(narrow, 512)
    assert can_train(narrow, 256)


def test_what_has_no_adapter_is_left_to_transformers(tmp_path: Path) -> None:
    assert not can_train(llama(tmp_path), 512)


@pytest.mark.slow
def test_a_run_learns_what_it_learnt_through_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with train_tiny.one_thread():
        model, blend = train_tiny.write_model(tmp_path / "model"), train_tiny.write_blend(tmp_path / "blend")
        losses = []
        for name in ("ours", "theirs"):
            if name == "theirs":
                monkeypatch.setattr("rankrag.train.layers.can_train", lambda *_: False)
            stage = train_tiny.stage(model, share_prefixes=True, max_steps=4)
            out = train(TrainingJob(stage, 2, blend, tmp_path / name), lambda *said: None)
            losses.append([line["loss"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
def test_as_many_held_out_examples_are_measured_as_asked_for(tmp_path: Path) -> None:
    with train_tiny.one_thread():
        model, blend = train_tiny.write_model(tmp_path / "model"), train_tiny.write_blend(tmp_path / "blend")
        said: list[tuple[int, int, str]] = []
        stage = train_tiny.stage(model, max_steps=1, max_eval_examples=5, per_device_eval_batch_size=1)
        train(TrainingJob(stage, 2, blend, tmp_path / "out"), lambda *words: said.append(words))
    measured = {unit: total for _, total, unit in said if "held-out" in unit}
    # A quarter of 12 pairs, of 2 lists and of 6 answers, each rounded up.
    assert measured == {
        "batches of held-out rank examples measured": 3,
        "batches of held-out list examples measured": 1,
        "batches of held-out answer examples measured": 2,
    }
