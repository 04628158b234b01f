"""What a run leaves to look at: metrics line by line, TensorBoard events, a picture of the curves."""

# ruff: noqa: ARG002  # the arguments of a callback are the trainer's

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import FormatError
from ..files import read_records, writing
from ..model.engine.memory import give_back
from ..types import Progress
from .folder import CURVES, EVENTS, METRICS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Recorder(TrainerCallback):
    """Writes every log of the trainer to `metrics.jsonl` and TensorBoard, and reports tokens done.

    A line has `step`, `epoch` (passes over the blend), `tokens` (read so far, targets included) and
    `elapsed_s`, and of a training step `loss`, `learning_rate`, `grad_norm` and `tokens_per_s`, or of an
    evaluation `eval_loss` and its parts. `tokens_at[n]` are the tokens read after n steps.
    """

    def __init__(self, folder: Path, tokens_at: np.ndarray, steps_in_epoch: float, report: Progress) -> None:
        self.path = folder / METRICS
        self.events = folder / EVENTS
        self.tokens_at = tokens_at
        self.steps_in_epoch = steps_in_epoch
        self.report = report
        self.writer: SummaryWriter | None = None
        self.elapsed_s = 0.0
        self.mark = (0.0, 0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Forget what a killed run wrote after the state that this one goes on from."""
        from torch.utils.tensorboard import SummaryWriter

        # Before the first state a run begins anew, its evaluation of the start included.
        reached = state.global_step or -1
        kept = [line for line in read_metrics(self.path) if _number(line, "step") <= reached]
        if state.is_world_process_zero:
            with writing(str(self.path)) as stream:
                stream.writelines(json.dumps(line) + "\n" for line in kept)
            self.writer = SummaryWriter(str(self.events), purge_step=state.global_step + 1)
        self.elapsed_s = _number(kept[-1], "elapsed_s") if kept else 0.0
        self.started = perf_counter() - self.elapsed_s
        self.mark = (self.elapsed_s, int(self.tokens_at[state.global_step]))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Progress the tokens done, and give back what the step left free: 0.7 of 2.8 GB for 0.5B weights."""
        give_back()
        # A short run has a line of its end too, whatever it is that `logging_steps` divides.
        control.should_log = control.should_log or state.global_step == state.max_steps
        if state.is_world_process_zero:
            self.report(int(self.tokens_at[state.global_step]), int(self.tokens_at[-1]), "tokens")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Append a line, unless it is the trainer's summary at the end."""
        values = {name: value for name, value in (logs or {}).items() if name != "epoch"}
        if (
            not state.is_world_process_zero
            or self.writer is None
            or not {"loss", "eval_loss"} & values.keys()
        ):
            return
        line = self._line(state.global_step, values)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self.writer.add_scalar(name.replace("eval_", "eval/", 1), value, state.global_step)
        self.writer.flush()

    def _line(self, step: int, values: dict[str, float]) -> dict[str, float]:
        now, tokens = perf_counter() - self.started, int(self.tokens_at[step])
        line = {"step": step, "epoch": round(step / self.steps_in_epoch, 4), "tokens": tokens}
        line |= {"elapsed_s": round(now, 2)} | values
        if "loss" in values:
            line["tokens_per_s"] = round((tokens - self.mark[1]) / max(now - self.mark[0], 1e-9), 1)
        # The time of an evaluation is no training time.
        self.mark = (now, tokens)
        return line


def read_metrics(path: Path) -> list[dict[str, object]]:
    """Return the lines of `metrics.jsonl`, none if there is no file.

    A write that failed may have left half a line at its end, which is not one.
    """
    lines: list[dict[str, object]] = []
    try:
        lines += (record for _, record in read_records(str(path))) if path.exists() else ()
    except FormatError:
        if path.read_bytes().endswith(b"\n"):
            raise
    return lines


def _number(line: dict[str, object], name: str) -> float:
    value = line.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def draw_curves(folder: Path) -> None:
    """Draw `curves.png` from `metrics.jsonl`: losses left, how well passages are judged right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_metrics(folder / METRICS)
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, judged = figure.subplots(1, 2)
    _draw(losses, lines, ("loss", "eval_loss", "eval_rank_loss", "eval_list_loss", "eval_answer_loss"))
    _draw(judged, lines, ("eval_rank_accuracy", "eval_rank_auc"))
    losses.set(xlabel="step", ylabel="loss (nats a target token)", ylim=(0, None))
    judged.set(xlabel="step", ylabel="share", ylim=(0, 1))
    FigureCanvasAgg(figure).print_png(str(folder / CURVES))  # type: ignore[no-untyped-call]


def _draw(axes: object, lines: Sequence[dict[str, object]], names: Sequence[str]) -> None:
    for name in names:
        points = [(_number(line, "step"), _number(line, name)) for line in lines if name in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker="." if "eval" in name else None)  # type: ignore[attr-defined]
    if any(name in line for line in lines for name in names):
        axes.legend(fontsize="small")  # type: ignore[attr-defined]
