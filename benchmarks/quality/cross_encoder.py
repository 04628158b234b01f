"""The specialist that RankRAG is compared with: a cross-encoder fine-tuned on the ranking pairs of a blend.

    python benchmarks/quality/cross_encoder.py --blend BLEND --out OUT [--base minilm-l6] [--epochs 1]
    rankrag eval predict nq --index DIR --ranker cross-encoder --name cross-encoder --out measured

It sees the very pairs that the language model was taught with (the `rank` examples of the blend), in the form
in which it will be asked: the query of a retriever, then title and text of a passage.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rankrag import prompts
from rankrag.formats import read_examples
from rankrag.model.store import registry
from rankrag.types import Example

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from sentence_transformers.base.sampler import DefaultBatchSampler


def pair(example: Example) -> tuple[str, str, float]:
    """Return question, passage and label of a ranking example."""
    (passage,) = example.passages
    text = f"{passage.title}\n{passage.text}" if passage.title else passage.text
    return prompts.search_query(example.question), text, float(example.target == prompts.TRUE)


def pairs(path: Path) -> dict[str, list[object]]:
    """Return the ranking pairs of a file of examples as columns."""
    found = [pair(one) for one in read_examples(str(path)) if one.task == "rank"]
    queries, passages, labels = map(list, zip(*found, strict=True))
    return {"query": queries, "passage": passages, "label": labels}


def by_length(
    dataset: Dataset, batch_size: int, generator: torch.Generator | None = None, **_: object
) -> DefaultBatchSampler:
    """Return batches of pairs of about one length: in any order half of what is computed is padding."""
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers.trainer_pt_utils import LengthGroupedSampler

    lengths = [
        len(query) + len(text) for query, text in zip(dataset["query"], dataset["passage"], strict=True)
    ]
    order = LengthGroupedSampler(batch_size, lengths=lengths, generator=generator)
    return DefaultBatchSampler(order, batch_size=batch_size, drop_last=False)


def train(chosen: argparse.Namespace) -> None:
    """Fine-tune a base on a blend and save it; the loss is the binary cross-entropy of its one output.

    A run that was cut short goes on from the last state in `out`.
    """
    blend, out = chosen.blend, chosen.out
    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    place = str(registry.locate(chosen.base))
    model = CrossEncoder(place, num_labels=1, max_length=512, local_files_only=True)
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(out / "states"),
        num_train_epochs=chosen.epochs,
        per_device_train_batch_size=16,
        bf16=chosen.bf16,
        use_cpu=not torch.accelerator.is_available(),
        batch_sampler=by_length,
        learning_rate=chosen.learning_rate,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        save_steps=1000 if torch.cuda.is_available() else 50,
        save_total_limit=1,
        eval_strategy="epoch",
        logging_steps=20,
        report_to="none",
        seed=0,
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(pairs(blend / "examples.jsonl")),
        eval_dataset=Dataset.from_dict(pairs(blend / "heldout.jsonl")),
        loss=BinaryCrossEntropyLoss(model),
    )
    begun = any((out / "states").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=begun)
    model.save_pretrained(str(out))
    settings = {name: getattr(chosen, name) for name in ("base", "epochs", "learning_rate", "bf16")}
    facts = {**settings, "log": trainer.state.log_history}
    (out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blend", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="minilm-l6")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16, where the hardware does")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    train(chosen)


if __name__ == "__main__":
    main()
