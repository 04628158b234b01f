"""Load the weights of a causal language model: safetensors from a folder, quietly, whole or not at all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InvalidInputError, MissingExtraError, NotFoundError, in_a_line, needs, told

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

WeightPrecision = Literal["float32", "bfloat16", "float16"]


def load_weights(
    folder: Path, adapter: Path | None, device: str | None, precision: WeightPrecision | None
) -> PreTrainedModel:
    """Return the causal language model of a folder, in evaluation mode, its adapter merged.

    Device None chooses a GPU if there is one; precision None chooses 16 bits there and float32 elsewhere.
    Raises NotFoundError if there is no model, InvalidInputError if its weights are not safetensors (other
    formats can run code when they are read), not all there, more than the model has or not finite,
    FailureError if they cannot be read, MissingExtraError if a package is missing.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "local") from error
    _check(folder)
    chosen = _device(device)
    dtype = getattr(torch, precision) if precision else _dtype(chosen)
    with _quiet():
        with told(folder, "the model"):
            auto: Any = AutoModelForCausalLM  # transformers types one of the two shapes that come back
            loaded: tuple[PreTrainedModel, dict[str, set[str]]] = auto.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, keys = loaded
        _check_names(folder, keys["missing_keys"], keys["unexpected_keys"])
        _check_numbers(folder, model.named_parameters())
        if adapter is not None:
            model = _adapted(model, adapter)
    torch.nn.Module.to(model, chosen)
    torch.nn.Module.eval(model)
    return model


def _check(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise NotFoundError(
            f"{folder}: found no config.json, wanted a model folder: fetch one with `rankrag model pull`"
        )
    # transformers passes over one that it cannot read, and the model writes on where it should end.
    generation = folder / "generation_config.json"
    if generation.exists():
        with told(folder, generation.name):
            dict(json.loads(generation.read_text(encoding="utf-8")))
    if not any(folder.glob("*.safetensors")):
        raise InvalidInputError(
            f"{folder}: found no *.safetensors, wanted weights in that format: convert the model to it"
        )


def _check_names(folder: Path, missing: Collection[str], extra: Collection[str]) -> None:
    """Refuse weights that leave some of the model random, or that belong to another one."""
    for names, fault in ((missing, "no weights for"), (extra, "weights that the model does not have,")):
        if names:
            raise InvalidInputError(
                f"{folder}: found {fault} {min(names)} ({len(names)} in all), wanted those of its "
                "config.json: pull or export it again"
            )


def _check_numbers(folder: Path, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    import torch

    for name, weight in weights:
        # A sum is not finite if one number is not, and costs a tenth of looking at each of them.
        if not torch.isfinite(weight.detach().sum(dtype=torch.float32)):
            raise InvalidInputError(
                f"{folder}: found numbers in {name} that are not finite, wanted weights: pull or train it "
                "again"
            )


def _adapted(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    with needs("peft", "local"):
        from peft import PeftModel, get_peft_model_state_dict
        from safetensors import safe_open
    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        raise NotFoundError(
            f"{adapter}: found no adapter_model.safetensors, wanted an adapter: train or export it again"
        )
    with told(adapter, "the adapter"):
        with safe_open(path, framework="pt") as file:
            stored = set(file.keys())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of missing names, which are checked next
            tuned = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
        wanted = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
        _check_names(adapter, wanted - stored, {name for name in stored - wanted if "lora" in name})
        _check_numbers(adapter, ((n, w) for n, w in tuned.named_parameters() if "lora" in n))
        return _merged(tuned)


def _merged(tuned: PeftModel) -> PreTrainedModel:
    """Return the model with its adapter in the weights, each sum taken in float32 and rounded once."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in [module for module in tuned.modules() if isinstance(module, BaseTunerLayer)]:
        base: torch.nn.Module = layer.get_base_layer()
        numbers = next(base.parameters()).dtype
        if numbers != torch.float32:
            layer.float()
        layer.merge()
        base.to(numbers)
    merged: PreTrainedModel = tuned.unload()
    return merged


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(
            f"found device {name!r} ({in_a_line(error)}), wanted one that PyTorch can use here: try 'cpu'"
        ) from error
    return device


def _dtype(device: torch.device) -> torch.dtype:
    import torch

    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers and peft from writing bars, hints and each other's deprecations to the terminal."""
    logging = import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
