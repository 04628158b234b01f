"""The estimate: published sizes of models, arithmetic that a person can redo, errors that say what to do."""

import json
from pathlib import Path

import pytest

import train_tiny
from rankrag.errors import InvalidInputError, MissingModelError
from rankrag.model.store.checkpoint import Checkpoint, write_checkpoint
from rankrag.model.store.named_models import MODELS
from rankrag.train import Load, Stage, estimate, measure, ways_to_fit
from rankrag.train.estimate import ARCHITECTURES, on_meta

GB = 1e9


def stage(**settings: object) -> Stage:
    plain: dict[str, object] = {
        "model": "llama-3-8b", "learning_rate": 3e-7, "max_steps": 3300, "global_batch_size": 64,
        "per_device_train_batch_size": 1, "max_length": 4096,
    }  # fmt: skip
    return Stage.model_validate(plain | settings)


PUBLISHED = {"llama-3-8b": 8_030_261_248, "llama-3-70b": 70_553_706_496, "smollm2-135m": 134_515_008}


def test_every_shape_is_one_that_was_published() -> None:
    assert ARCHITECTURES.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.slow
def test_the_shapes_are_those_that_were_published(model: str) -> None:
    found = estimate(stage(model=model), Load(0, 1000))
    assert found.parameters == found.trainable == PUBLISHED[model]
    assert MODELS[model].parameters == pytest.approx(PUBLISHED[model], rel=1e-3)


def test_an_8b_stage_of_the_paper() -> None:
    """By hand: 8.03e9 weights less 0.53e9 looked up, times 2 x 4 passes, and attention."""
    found = estimate(stage(), Load(0, 4096), n_devices=32, device="a100")
    assert found.steps == 3300
    assert found.tokens == 3300 * 64 * 4096
    attention = 2 * 32 * 4096 * 4096 * 4
    assert found.flops == pytest.approx(found.tokens * (8 * (8_030_261_248 - 128_256 * 4096) + attention))
    assert found.hours == pytest.approx(found.flops / (32 * 312e12 * 0.4) / 3600)
    assert found.memory["weights"] == pytest.approx(8_030_261_248 * 4 / 32)
    assert found.memory["optimiser"] == pytest.approx(8_030_261_248 * 8 / 32)
    assert found.memory["gradients"] == found.memory["weights"]
    # The paper took 6 hours for the answering stage on the same GPUs; its row lengths are not stated.
    assert 2 < found.hours < 6
    assert found.fits


@pytest.mark.slow
def test_full_training_of_8b_does_not_fit_one_gpu_and_lora_does() -> None:
    full, lora = (
        estimate(stage(**settings), Load(0, 1000))
        for settings in ({}, {"lora": {"r": 16}, "dtype": "bfloat16"})
    )
    assert not full.fits
    assert lora.fits
    assert lora.trainable == 41_943_040  # peft's own count for r=16 on all linear layers of Llama-3-8B
    assert lora.memory["weights"] == pytest.approx(8_030_261_248 * 2 + lora.trainable * 4, rel=1e-6)
    assert lora.flops < full.flops
    assert dict(full.rows())["memory a device"].endswith("does not fit")


@pytest.mark.slow
def test_what_does_not_fit_is_told_what_would() -> None:
    """The numbers of devices are the fewest that share the batch."""
    adapter = "--set stage2.dtype=bfloat16 --set stage2.lora.r=16 --set stage2.learning_rate=2.0e-4"
    assert ways_to_fit(stage(), 2, 1, "a100") == ["--devices 2", f"--devices 1 {adapter}"]
    many, few = stage(per_device_train_batch_size=16), "--set stage2.per_device_train_batch_size=1"
    assert ways_to_fit(many, 2, 2, "a100") == [
        "--devices 4",
        f"--devices 2 {few}",
        f"--devices 2 {few} {adapter}",
    ]


def test_recomputing_saves_memory_and_costs_time() -> None:
    keep, recompute = (
        estimate(stage(gradient_checkpointing=value), Load(0, 1000), 8) for value in (False, True)
    )
    assert keep.memory["activations"] > 10 * recompute.memory["activations"]
    assert recompute.flops == pytest.approx(keep.flops * 4 / 3)


def test_parameters_are_those_of_the_real_model(tmp_path: Path) -> None:
    """The model on the meta device against the same one with numbers."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from rankrag.train.start import hush, lora_config

    hush()
    small = train_tiny.stage(train_tiny.write_model(tmp_path))
    real = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert small.lora is not None
    trained = get_peft_model(real, lora_config(small.lora)).get_nb_trainable_parameters()
    found = estimate(small, Load(80, 100))
    assert (found.trainable, found.parameters) == trained
    assert (found.steps, found.tokens) == (10, 8000)
    assert {p.device.type for p in on_meta(small).parameters()} == {"meta"}


def test_an_adapter_has_the_shape_of_its_base(tmp_path: Path) -> None:
    base = train_tiny.write_model(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 16}))
    write_checkpoint(Checkpoint(tmp_path / "adapter", "paper", str(base), True))
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    one, other = (
        estimate(train_tiny.stage(folder), Load(80, 100)) for folder in (base, tmp_path / "adapter")
    )
    assert one == other


def test_a_blend_is_measured(tmp_path: Path) -> None:
    blend = train_tiny.write_blend(tmp_path, n=30)
    load = measure(blend, train_tiny.stage(tmp_path))
    assert load.n_examples == 30
    assert 100 < load.tokens_per_example < 200
    assert measure(blend, train_tiny.stage(tmp_path, max_length=20)).tokens_per_example == 20
    drawn = measure(blend, train_tiny.stage(tmp_path), 600)  # the recipe's draws, at the blend's lengths
    assert drawn == Load(600, load.tokens_per_example)
    shared = measure(blend, train_tiny.stage(tmp_path, share_prefixes=True))
    assert shared.n_examples < 30  # bundles
    assert (
        measure(blend, train_tiny.stage(tmp_path, share_prefixes=True), 60).n_examples
        == 2 * shared.n_examples
    )
    assert shared.n_examples * shared.tokens_per_example < 30 * load.tokens_per_example


def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANKRAG_CACHE", str(tmp_path))
    with pytest.raises(InvalidInputError, match="found device 'v100', wanted one of a100, h100, h200"):
        estimate(stage(), Load(0, 1000), 1, "v100")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="found global_batch_size 64, wanted a multiple of 128"):
        estimate(stage(), Load(0, 1000), 128)
    with pytest.raises(InvalidInputError, match="wanted max_steps in the stage or a blend"):
        estimate(stage(max_steps=-1), Load(0, 1000))
    with pytest.raises(MissingModelError, match="or estimate one whose shape is known: llama-3-8b"):
        estimate(stage(model="someone/unknown"), Load(0, 1000))


def test_a_moment_is_told_as_one_and_examples_with_their_length() -> None:
    rows = dict(estimate(stage(model="smollm2-135m", max_steps=2), Load(16, 84)).rows())
    assert rows["examples"] == "16, of 84 tokens each"
    assert rows["time"].startswith("under a minute at ")
