"""A checkpoint as other programs want it: one folder that transformers, sentence-transformers and vLLM load.

OUT/*.safetensors, config.json, tokenizer…    whole weights, for `AutoModelForCausalLM` and `vllm serve`
OUT/chat_template.jinja                       our prompts, for both jobs
OUT/modules.json, 1_LogitScore/, …            for `sentence_transformers.CrossEncoder`
OUT/vllm.json                                 overrides that make vLLM's `/score` and `/rerank` of it
OUT/rankrag.json, recipe, manifest, metrics   what it is, and what it was made of
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from .. import prompts
from ..errors import InvalidInputError
from ..files import write_json
from ..model.engine.tokenizer import Tokenizer, control_tokens, load_tokenizer
from ..model.engine.weights import WeightPrecision, load_weights
from ..model.store.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from ..model.store.registry import locate
from .folder import CURVES, METRICS, TRAINING, guarded
from .jinja import chat_template
from .start import hush, tokenizer_files


def export(checkpoint: Path, out: Path, precision: WeightPrecision | None = None) -> Path:
    """Write the exported model to a new folder `out` and return it.

    An adapter is merged into its base. `precision` is the format of the weights (None: float32). Raises
    InvalidInputError if `out` has something in it, or if a label of the template is more than one token of
    the model, which no scoring head can read; MissingModelError if the base is not on this machine.
    """
    hush()
    card = read_checkpoint(checkpoint)
    if out.exists() and any(out.iterdir()):
        raise InvalidInputError(f"found {out} with something in it, wanted a new folder: choose another")
    base = locate(card.base) if card.is_adapter else checkpoint
    labels = label_tokens(base, card.template)
    out.mkdir(parents=True, exist_ok=True)
    with guarded(out):
        adapter = checkpoint if card.is_adapter else None
        load_weights(base, adapter, "cpu", precision or "float32").save_pretrained(out)
        _copy(card, base, out)
        _write_template(card, base, out)
        _write_cross_encoder(out, labels)
        _write_vllm(out, list(load_tokenizer(base).convert_ids_to_tokens(list(labels))))
        write_checkpoint(replace(card, folder=out, base="", plain=False))
    return out


def label_tokens(folder: Path, template: str) -> tuple[int, int]:
    """Return the tokens of True and False after a ranking prompt.

    Raises InvalidInputError if one of them is several tokens.
    """
    tokenizer, form = Tokenizer(folder), prompts.template(template)
    true, false = (tokenizer.continuation(form.open_answer, label) for label in form.labels())
    if len(true) != 1 or len(false) != 1 or true == false:
        raise InvalidInputError(
            f"found {len(true)} and {len(false)} tokens for True and False in {folder}, wanted one each: use "
            "the model here as it is, no scoring head can be made of it"
        )
    return true[0], false[0]


def _copy(card: Checkpoint, base: Path, out: Path) -> None:
    """Copy the tokenizer as it is, and what tells where the weights come from."""
    names = {card.recipe, card.manifest, METRICS, CURVES, TRAINING} - {""}
    papers = [card.folder / name for name in names]
    for path in [*tokenizer_files(base), *papers]:
        if path.exists():
            shutil.copyfile(path, out / path.name)


def _write_template(card: Checkpoint, base: Path, out: Path) -> None:
    tokenizer = load_tokenizer(base)
    start = "".join(tokenizer.convert_ids_to_tokens(list(Tokenizer(base).start)))
    control = [*control_tokens(tokenizer)]
    template = chat_template(prompts.template(card.template), start, control)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def _write_cross_encoder(out: Path, labels: tuple[int, int]) -> None:
    """Write what `CrossEncoder(out)` reads: log P(True) - log P(False), through a sigmoid: its label.

    The format is that of sentence-transformers 6.
    """
    score = "1_LogitScore"
    types = {
        "": "base.modules.transformer.Transformer",
        score: "cross_encoder.modules.logit_score.LogitScore",
    }
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.{kind}"}
        for n, (path, kind) in enumerate(types.items())
    ]
    write_json(out / "modules.json", modules)
    (out / score).mkdir()
    write_json(out / score / "config.json", {"true_token_id": labels[0], "false_token_id": labels[1]})
    logits = {"method": "forward", "method_output_name": "logits"}
    write_json(
        out / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {"text": logits, "message": {**logits, "format": "flat"}},
            "module_output_name": "causal_logits",
        },
    )
    activation = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Sigmoid"}
    write_json(out / "config_sentence_transformers.json", activation)


def _write_vllm(out: Path, labels: list[str]) -> None:
    """Write the overrides with which vLLM makes a scoring head of two rows of the output layer."""
    (architecture,) = json.loads((out / "config.json").read_text(encoding="utf-8"))["architectures"]
    write_json(
        out / "vllm.json",
        {
            "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": [labels[1], labels[0]],
            "method": "from_2_way_softmax",
        },
    )
