"""One stage of training: a blend on disk in, a checkpoint folder out.

OUT/run.json        what this folder is a run of           } while it runs: what a killed run goes
OUT/rows/           the blend as tokens                    } on from; gone when it is finished
OUT/state/          weights, optimiser, position           }
OUT/metrics.jsonl, OUT/tensorboard/
OUT/…               the checkpoint, when finished; `rankrag.json` is written last
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, MissingExtraError
from ..files import write_json
from ..model.engine.tokenizer import load_tokenizer
from ..model.store.checkpoint import Checkpoint, write_checkpoint
from ..types import Progress
from . import folder as folders
from .folder import MANIFEST, METRICS, RECIPE, RUN, STATE, TRAINING
from .plan import Plan, TrainingJob, make_plan
from .start import (
    Start,
    attention,
    find_start,
    hush,
    in_half,
    load_model,
    lora_config,
    n_devices,
    tokenizer_files,
    vocabulary,
)
from .token_rows import RowCounts, Vocabulary

if TYPE_CHECKING:
    from .trainer import StageConfig, TargetTrainer

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tensorboard", "matplotlib")


def train(job: TrainingJob, report: Progress) -> Path:
    """Train one stage and return its checkpoint folder; a killed run goes on from its last state.

    `report` is called with (tokens done, all tokens, "tokens"). Started by `accelerate launch` or
    `torchrun`, every process calls this and the first one writes. Raises NotFoundError without a blend,
    InvalidInputError for a folder that holds something else, FailureError if it cannot be written.
    """
    versions = _versions()
    hush()
    import torch
    from accelerate import PartialState  # type: ignore[import-untyped, unused-ignore]

    check_launch(torch.cuda.device_count(), n_devices())
    processes = PartialState(cpu=not torch.accelerator.is_available())
    start = find_start(job.stage)
    identity = _identity(job)
    if processes.is_main_process:
        folders.claim(job.out, identity)
    processes.wait_for_everyone()
    with folders.guarded(job.out):
        words = vocabulary(start, job.stage.template)
        with processes.main_process_first():
            plan = make_plan(job, words)
        trainer = _trainer(job, start, plan, words, report)
        state = folders.last_state(job.out)
        trainer.train(resume_from_checkpoint=str(state) if state else None)
        _finish(job, start, trainer, plan.counts, versions)
    return job.out


def _versions() -> dict[str, str]:
    """Return the versions of what training stands on; MissingExtraError for what is not there."""
    versions = {"python": platform.python_version(), "rankrag": version("rankrag")}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError as error:
            raise MissingExtraError(package, "train") from error
    return versions


def _identity(job: TrainingJob) -> dict[str, object]:
    """Return what makes a run the same run when it is started again."""
    return {
        "number": job.number,
        "stage": job.stage.model_dump(mode="json"),
        "blend_sha256": folders.find_examples(job.examples),
        "held_out_sha256": folders.find_held_out(job.examples),
    }


# ── the trainer ──────────────────────────────────────────────────────────────────────────────────────


def _trainer(
    job: TrainingJob, start: Start, plan: Plan, words: Vocabulary, report: Progress
) -> TargetTrainer:
    import torch
    from transformers import PrinterCallback, set_seed

    from .layers import Layers, can_train
    from .record import Recorder
    from .shared import Collator
    from .trainer import TargetTrainer

    set_seed(job.stage.seed)
    fresh = job.stage.lora is not None and start.adapter is None
    report(0, 0, "loading the model")
    trainer = TargetTrainer(
        model=load_model(start, job.stage),
        args=_config(job, plan, words),
        train_dataset=plan.rows,
        eval_dataset=dict(plan.held_out) or None,
        processing_class=load_tokenizer(start.folder),
        callbacks=[Recorder(job.out, plan.tokens_at, plan.steps_in_epoch, report)],
        peft_config=lora_config(job.stage.lora) if job.stage.lora and fresh else None,
        data_collator=Collator() if job.stage.share_prefixes else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.report = report
    model = trainer.model
    recompute = job.stage.gradient_checkpointing is True  # asked for to save memory, which ours does not
    if n_devices() == 1 and not recompute and model is not None and can_train(model, job.stage.max_length):
        trainer.layers = Layers(model, torch.bfloat16 if in_half(job.stage) else torch.float32)
        trainer.data_collator = Collator(mask=False)
    return trainer


COPIED = (
    "per_device_train_batch_size per_device_eval_batch_size learning_rate lr_scheduler_type warmup_steps "
    "weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm seed logging_steps eval_steps save_steps "
    "save_total_limit loss_weighting"
).split()
"""Settings that go to the trainer as they are."""


def _config(job: TrainingJob, plan: Plan, words: Vocabulary) -> StageConfig:
    """Return the trainer's configuration. The order of the rows and their length are already settled."""
    import torch

    from .trainer import StageConfig

    stage, on_gpu = job.stage, torch.cuda.is_available()
    half = in_half(stage)
    recompute = on_gpu if stage.gradient_checkpointing == "auto" else stage.gradient_checkpointing
    true, false = words.labels()
    return StageConfig(
        **stage.model_dump(include=set(COPIED)),
        output_dir=str(job.out / STATE),
        max_steps=plan.n_steps,
        gradient_accumulation_steps=stage.accumulation_steps(n_devices()),
        examples_in_step=plan.examples_in_step,
        label_ids=(true, false),
        bf16=half,
        activation_checkpointing=recompute,
        use_cpu=not torch.accelerator.is_available(),
        dataloader_pin_memory=on_gpu,
        train_sampling_strategy="sequential",
        padding_free=attention(stage, half).startswith("flash"),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        eval_strategy="steps" if plan.held_out else "no",
        eval_on_start=bool(plan.held_out) and folders.last_state(job.out) is None,
        disable_tqdm=True,
        report_to="none",
        ddp_find_unused_parameters=False,
    )


def check_launch(n_gpus: int, n_processes: int) -> None:
    """Raise InvalidInputError if one process sees several GPUs: it could use but one of them."""
    if n_gpus > 1 and n_processes == 1:
        raise InvalidInputError(
            f"found {n_gpus} GPUs and one process, wanted a process each: start with `accelerate launch "
            f"--num_processes {n_gpus} -m rankrag train ...`, or choose one with CUDA_VISIBLE_DEVICES=0"
        )


# ── the checkpoint ───────────────────────────────────────────────────────────────────────────────────


def _finish(
    job: TrainingJob, start: Start, trainer: TargetTrainer, counts: RowCounts, versions: Mapping[str, str]
) -> None:
    """Turn the folder of the run into a checkpoint."""
    from .record import draw_curves

    finished = job.out / STATE / "finished"
    sharded = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if sharded is not None:  # a state is saved in shards, a checkpoint whole
        sharded.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(finished))  # on every process: each has a share of sharded weights
    if trainer.is_world_process_zero():
        _tidy(finished, start)
        folders.settle(job.out, finished)
        draw_curves(job.out)
        _write_facts(job, start, counts, versions)
        folders.clear(job.out)
    trainer.accelerator.wait_for_everyone()


UNWANTED = ("training_args.bin", "README.md")
"""What the trainer saves beside the weights: pickled settings, and a page that names local paths."""


def _tidy(finished: Path, start: Start) -> None:
    """Leave only weights and tokenizer, and the name of the base in place of a path of this machine."""
    for name in UNWANTED:
        (finished / name).unlink(missing_ok=True)
    adapter = finished / "adapter_config.json"
    if adapter.exists():
        write_json(adapter, folders.read_json(adapter) | {"base_model_name_or_path": start.base})
    for path in tokenizer_files(start.folder):
        shutil.copyfile(path, finished / path.name)


def _write_facts(job: TrainingJob, start: Start, counts: RowCounts, versions: Mapping[str, str]) -> None:
    import yaml

    settings = {f"stage{job.number}": job.stage.model_dump(mode="json")}
    (job.out / RECIPE).write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    facts = {**_hardware(), **_outcome(job.out), "rows": asdict(counts), "versions": versions}
    write_json(job.out / TRAINING, folders.read_json(job.out / RUN) | facts)
    manifest = job.examples / MANIFEST
    if manifest.exists():
        shutil.copyfile(manifest, job.out / MANIFEST)
    write_checkpoint(
        Checkpoint(
            folder=job.out,
            template=job.stage.template,
            base=start.base,
            trained="rank" in counts.rows,
            recipe=RECIPE,
            manifest=MANIFEST if manifest.exists() else "",
        )
    )


def _outcome(out: Path) -> dict[str, object]:
    """Return what was learnt, and for how much: the held-out losses before and after."""
    from .record import read_metrics

    lines = read_metrics(out / METRICS)
    held_out = [
        {k: v for k, v in line.items() if k.startswith("eval_")} for line in lines if "eval_loss" in line
    ]
    told = {"before": held_out[0], "after": held_out[-1]} if held_out else {}
    return {name: lines[-1][name] for name in ("step", "tokens", "elapsed_s")} | told


def _hardware() -> dict[str, object]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine() or "cpu"
    return {"device": device, "n_devices": n_devices(), "n_threads": torch.get_num_threads()}
