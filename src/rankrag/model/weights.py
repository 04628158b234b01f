"""Load the weights of a causal language model: safetensors from a local folder, quietly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import FailureError, InvalidInputError, MissingExtraError, NotFoundError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Precision = Literal["float32", "bfloat16", "float16"]


def load_weights(
    folder: Path, adapter: Path | None, device: str | None, precision: Precision | None
) -> PreTrainedModel:
    """Return the causal language model of a folder, in evaluation mode, its adapter merged.

    Device None chooses a GPU if there is one; precision None chooses 16 bits there and float32 elsewhere.
    Raises NotFoundError if there is no model, InvalidInputError if its weights are not safetensors (other
    formats can run code when they are read), MissingExtraError if a package is missing.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "local") from error
    _check(folder)
    place = _device(device)
    dtype = getattr(torch, precision) if precision else _dtype(place)
    with _quiet():
        try:
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise FailureError(
                f"{folder}: cannot load the model: {_line(error)}: pull or export it again"
            ) from error
        if adapter is not None:
            model = _adapted(model, adapter)
    torch.nn.Module.to(model, place)
    torch.nn.Module.eval(model)
    return model


def _check(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise NotFoundError(
            f"{folder}: found no config.json, wanted a model folder: fetch one with `rankrag model pull`"
        )
    if not any(folder.glob("*.safetensors")):
        raise InvalidInputError(
            f"{folder}: found no *.safetensors, wanted weights in that format: convert the model to it"
        )


def _adapted(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtraError("peft", "local") from error
    if not (adapter / "adapter_model.safetensors").is_file():
        raise NotFoundError(
            f"{adapter}: found no adapter_model.safetensors, wanted an adapter: train or export it again"
        )
    merged: PreTrainedModel = PeftModel.from_pretrained(
        model, str(adapter), local_files_only=True
    ).merge_and_unload()
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
            f"found device {name!r} ({_line(error)}), wanted one that PyTorch can use here: try 'cpu'"
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


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
