"""TRL's SFTTrainer with two things of our own: how a row counts, and what is told about held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from ..errors import InvalidInputError
from .branches import ATTENTION, Branches
from .layers import Layers
from .token_rows import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped, unused-ignore]

    from ..types import Progress

TensorBatch = dict[str, Tensor]


@dataclass
class StageConfig(SFTConfig):
    """SFTConfig with what the loss needs to know.

    `examples_in_step` is the (mean) number of rows of an optimiser step over all devices; `label_ids` are the
    first tokens of the True and the False label.
    """

    loss_weighting: str = "example"
    examples_in_step: float = 1
    label_ids: tuple[int, int] = (0, 0)


class Targets(NamedTuple):
    """The target tokens of a batch, row after row.

    `nll` are their negative natural-log probabilities, `row` the row of each (from 0), both of shape
    (tokens,); `n_rows` counts the rows of the batch.
    """

    nll: Tensor
    row: Tensor
    n_rows: int

    def per_row(self) -> Tensor:
        """Return the mean loss of each row's target, shape (n_rows,)."""
        total = self.nll.new_zeros(self.n_rows).index_add(0, self.row, self.nll)
        return total / torch.bincount(self.row, minlength=self.n_rows).clamp(min=1)


class TargetTrainer(SFTTrainer):
    """Trains on targets alone, every example (or every target token) counting the same.

    SFTTrainer weighs by token: in a blend, where a ranking target has two tokens and an instruction's
    answer hundreds, ranking would be 1 % of the loss at 14 % of the examples. With `loss_weighting`
    `example` the blend's shares are the shares of the loss.
    """

    args: StageConfig
    layers: Layers | None = None
    """The quick way through the model, where there is one."""
    report: Progress | None = None
    """Told how far an evaluation is."""
    # `compute_loss` divides by the rows (or tokens) of the whole step; the trainer is not to do it again.
    loss_is_scaled_for_ga = True  # type: ignore[assignment]  # the base class says None | bool in words only

    def _send_telemetry(self) -> None:
        """Send nothing: TRL would tell its makers about the machine and the model."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: TensorBatch,
        return_outputs: bool = False,  # noqa: ARG002  # the trainer's own signature; nothing asks for outputs
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this device's share of the loss of an optimiser step (a mean over devices undoes it)."""
        targets = target_nll(self.layers or model, inputs)
        if self.args.loss_weighting == "example":
            loss, count = targets.per_row().sum(), torch.tensor(self.args.examples_in_step)
        else:
            loss, count = targets.nll.sum(), torch.as_tensor(self._counted(num_items_in_batch))
        share: Tensor = loss / count.to(loss.device) * self.accelerator.num_processes
        return share

    def _counted(self, tokens: Tensor | int | None) -> Tensor | int:
        """Return the target tokens of the step, which the trainer counts for most models but not for all."""
        if tokens is None:
            raise InvalidInputError(
                f"found {type(self.model).__name__}, whose target tokens the trainer does not count, wanted "
                "another model for loss_weighting: token: set loss_weighting: example"
            )
        return tokens

    def evaluate(
        self,
        eval_dataset: object = None,  # noqa: ARG002  # the trainer's own signature; the parts are settled
        ignore_keys: list[str] | None = None,  # noqa: ARG002
        metric_key_prefix: str = "eval",  # noqa: ARG002
    ) -> dict[str, float]:
        """Return (and log) losses of the held-out rows: all, by part, and how well passages are judged."""
        self.model_wrapped.eval()
        parts = cast("dict[str, Dataset]", self.eval_dataset)
        found = {part: self._evaluate_part(part) for part in parts}
        measures = {"eval_loss": float(np.concatenate([losses for losses, _ in found.values()]).mean())}
        for part, (losses, margins) in found.items():
            own = {f"eval_{part}_loss": float(losses.mean())}
            measures |= ranking_measures(margins) if part == "rank" else own
        self.log(measures)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, measures)
        return measures

    def _evaluate_part(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean loss of each row of a part, shape (rows,), and of rankings the `margins`."""
        losses, margins = [], []
        batches = self.get_eval_dataloader(part)
        for done, inputs in enumerate(batches, 1):
            batch = self._prepare_inputs(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                if part == "rank":
                    loss, margin = self._judged(batch)
                    margins.append(self._gathered(margin))
                else:
                    loss = target_nll(self.layers or self.model_wrapped, batch).per_row()
                losses.append(self._gathered(loss))
            if self.report is not None and self.is_world_process_zero():
                self.report(done, len(batches), f"batches of held-out {part} examples measured")
        return _numbers(losses), _numbers(margins)

    def _gathered(self, values: Tensor) -> Tensor:
        """Return the values of all processes; gathering would drop rows of bundles as repeated ones."""
        gathered: Tensor = self.accelerator.gather_for_metrics(values) if self.args.world_size > 1 else values
        return gathered

    def _judged(self, batch: TensorBatch) -> tuple[Tensor, Tensor]:
        """Return the loss of each row, and log P(True) - log P(False) with whether True is right."""
        logprobs, labels, row = column_logprobs(self.layers or self.model_wrapped, batch)
        nll = -logprobs.gather(1, labels[:, None])[:, 0]
        true, false = self.args.label_ids
        first = torch.cat([row.new_ones(1), row.diff()]) != 0
        margin = torch.stack([logprobs[:, true] - logprobs[:, false], (labels == true).float()], dim=1)
        return Targets(nll, row, _n_rows(batch)).per_row(), margin[first]


def _numbers(batches: list[Tensor]) -> np.ndarray:
    return torch.cat(batches).float().cpu().numpy() if batches else np.empty(0)


def ranking_measures(margins: np.ndarray) -> dict[str, float]:
    """Return how well passages are judged: loss, accuracy, and pairs in the right order (ties half).

    `margins` has shape (rows, 2): log-odds of True, and 1 where True is the target. The loss is that of the
    relevance, -log P(right label) / (P(True) + P(False)): log 2 for a model that cannot tell, however well
    it knows that one of the two labels has to come.
    """
    relevant, irrelevant = margins[margins[:, 1] == 1, 0], margins[margins[:, 1] == 0, 0]
    signed = np.where(margins[:, 1] == 1, margins[:, 0], -margins[:, 0])
    measures = {"eval_rank_loss": float(np.logaddexp(0, -signed).mean())}
    measures["eval_rank_accuracy"] = float(((margins[:, 0] > 0) == (margins[:, 1] == 1)).mean())
    if len(relevant) and len(irrelevant):
        ahead = relevant[:, None] - irrelevant[None, :]
        measures["eval_rank_auc"] = float((ahead > 0).mean() + 0.5 * (ahead == 0).mean())
    return measures


def target_nll(model: torch.nn.Module | Layers, inputs: TensorBatch) -> Targets:
    """Return the losses of the target tokens of a batch (padded, or flattened without padding).

    The language-model head runs at the target positions alone. On an accelerator that is TRL's fused
    head; on a CPU that one scores every position, a quarter of the work of a small model.
    """
    if not isinstance(model, Layers) and inputs["input_ids"].device.type != "cpu":
        return fused_nll(model, inputs)
    logprobs, labels, row = column_logprobs(model, inputs)
    return Targets(-logprobs.gather(1, labels[:, None])[:, 0], row, _n_rows(inputs))


def fused_nll(model: torch.nn.Module, inputs: TensorBatch) -> Targets:
    """Return the same from TRL's fused head, which never holds all logits of a batch."""
    rest = {name: value for name, value in inputs.items() if name != "lengths"}  # the mask says the same
    scored = model(**rest, fused_lm_head=True)
    mask = scored.label_mask
    return Targets(-scored.log_probs[mask], _row_numbers(inputs)[mask], _n_rows(inputs))


def column_logprobs(model: torch.nn.Module | Layers, inputs: TensorBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-probabilities (tokens, vocabulary) of the target tokens, their ids and their rows.

    The head runs at the columns of the batch in which any row has a target token; `Layers` at them alone.
    """
    if isinstance(model, Layers):
        return _flat_logprobs(model, inputs)
    labels = inputs["labels"][:, 1:]
    columns = (labels != IGNORED).any(dim=0).nonzero()[:, 0]
    rest: dict[str, object] = {n: v for n, v in inputs.items() if n not in ("labels", "lengths")}
    mask = inputs.get("attention_mask")
    if mask is not None and mask.ndim == 4:
        if _attention_of(model) == ATTENTION:
            rest = {name: rest[name] for name in ("input_ids", "position_ids")}
            rest["layout"] = Branches(_lengths(inputs["lengths"]))
        else:
            rest["attention_mask"] = _additive(mask)
    logits = model(**rest, use_cache=False, logits_to_keep=columns).logits
    labels, row = labels[:, columns], _row_numbers(inputs)[:, columns]
    mask = labels != IGNORED
    return torch.log_softmax(logits[mask].float(), dim=-1), labels[mask], row[mask]


def _flat_logprobs(layers: Layers, inputs: TensorBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `column_logprobs` does, of the batch's items one after the other without padding."""
    lengths = _lengths(inputs["lengths"])
    width = inputs["input_ids"].shape[1]
    real = torch.arange(width) < torch.tensor([sum(item) for item in lengths])[:, None]
    ids, labels, places, rows = (
        inputs[name][real] for name in ("input_ids", "labels", "position_ids", "seq_idx")
    )
    # The first label of an item has no token before it; it is never a target.
    at = (labels[1:] != IGNORED).nonzero()[:, 0]
    logprobs = torch.log_softmax(layers.logits(ids, places, lengths, at), dim=-1)
    return logprobs, labels[at + 1], rows[at + 1].long()


def _attention_of(model: torch.nn.Module) -> str:
    """Return which attention a model computes with; it may be wrapped for training."""
    inner = getattr(model, "module", model)
    return str(getattr(inner.config, "_attn_implementation", ""))


def _lengths(lengths: Tensor) -> list[list[int]]:
    """Return the lengths of each item without the zeros of branches that it lacks."""
    return [[row[0], *(n for n in row[1:] if n)] for row in lengths.tolist()]


def _additive(mask: Tensor) -> Tensor:
    """Return a mask of booleans as the numbers that are added to attention's logits, where that pays.

    On a CPU attention would do it again in every layer; on a GPU, or in half precision, it wants the mask as
    it is.
    """
    if mask.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return mask
    return torch.zeros(mask.shape).masked_fill_(~mask, float("-inf"))


def _row_numbers(inputs: TensorBatch) -> Tensor:
    """Return which row predicts each label after the first column, shape of `labels[:, 1:]`."""
    if "seq_idx" in inputs:
        return inputs["seq_idx"][:, 1:].long()
    shape = inputs["labels"][:, 1:].shape
    return torch.arange(shape[0], device=inputs["labels"].device)[:, None].expand(shape)


def _n_rows(inputs: TensorBatch) -> int:
    return int(inputs["seq_idx"].max()) + 1 if "seq_idx" in inputs else len(inputs["labels"])
