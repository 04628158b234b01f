"""A language model of 60,000 random weights and a blend of all five tasks, for tests of training."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rankrag import formats, prompts
from rankrag.train import Stage
from rankrag.types import Example, Passage, Question, Turn

PLACES = ("Oslo", "Bergen", "Tromso", "Lima", "Cusco", "Quito", "Accra", "Kumasi", "Hanoi", "Hue")
SIGHTS = ("harbour", "castle", "market", "museum", "bridge", "tower", "garden", "station")


def passage(place: str, sight: str) -> Passage:
    return Passage(f"{place}-{sight}", f"The {sight} of {place} is old. Visitors come to {place} in summer.")


def question(n: int) -> Question:
    place, sight = PLACES[n % len(PLACES)], SIGHTS[n % len(SIGHTS)]
    return Question(f"q{n}", f"Where is the {sight} near {place}?", style="plain")


def examples(n: int, start: int = 0) -> Iterable[Example]:
    """Yield n examples; every fifth is of another task than ranking."""
    for i in range(start, start + n):
        place, sight = PLACES[i % len(PLACES)], SIGHTS[i % len(SIGHTS)]
        other = passage(PLACES[(i + 3) % len(PLACES)], SIGHTS[(i + 1) % len(SIGHTS)])
        gold, asked = passage(place, sight), question(i)
        if i % 10 == 4:
            said = (Turn("user", "Hello."), Turn("assistant", "Hi."))
            yield Example(f"{i}", "tiny", "instruct", Question(f"q{i}", "Say hi.", said), (), "Hi there.")
        elif i % 10 == 9:
            yield Example(f"{i}", "tiny", "retrieval_qa", asked, (other, gold), f"In {place}")
        elif i % 10 == 7:
            yield Example(f"{i}", "tiny", "retrieval_rank", asked, (other, gold), prompts.passage_list([2]))
        elif i % 10 == 2:
            yield Example(f"{i}", "tiny", "context_qa", asked, (gold,), place)
        else:
            true = i % 2 == 0
            yield Example(f"{i}", "tiny", "rank", asked, (gold if true else other,), str(true))


def write_blend(folder: Path, n: int = 48) -> Path:
    """Write n examples for either stage, as `rankrag data build` lays them out."""
    for part in (folder, folder / "stage1"):
        part.mkdir(parents=True, exist_ok=True)
        formats.write_examples(str(part / "examples.jsonl"), examples(n))
        formats.write_examples(str(part / "heldout.jsonl"), examples(20, start=n))
        (part / "manifest.json").write_text('{"name": "tiny"}\n', encoding="utf-8")
    return folder


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: a model this small is slower on more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_model(folder: Path) -> Path:
    """Write a random Llama with a byte-level tokenizer that keeps ` True` and ` False` whole."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    write_tokenizer(folder)
    set_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=0,
            eos_token_id=0, initializer_range=0.2,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    written = [prompts.example(item, prompts.PAPER) for item in examples(200)]
    labels = [" True", " False", "True", "False"] * 200
    tokenizer.train_from_iterator([p.prefix + p.suffix + p.target for p in written] + labels, trainer)
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>").save_pretrained(
        folder
    )


def stage(model: Path, **settings: object) -> Stage:
    """Return small settings, with some of them changed."""
    small: dict[str, object] = {
        "model": str(model), "lora": {"r": 4, "lora_alpha": 8}, "max_length": 512, "global_batch_size": 8,
        "per_device_train_batch_size": 4, "learning_rate": 0.01, "logging_steps": 1, "eval_steps": 3,
        "save_steps": 2,
    }  # fmt: skip
    return Stage.model_validate(small | settings)
