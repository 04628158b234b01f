"""One repository of a model hub: what to take from it, and its download through `huggingface_hub`.

The user's own settings apply (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, proxies). Many older encoders
have only pickled weights on their main branch; the hub's conversion bot offers the same weights as
safetensors in a pull request (`refs/pr/N`), which is taken then, as transformers itself does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import FailureError, needs

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_UNWANTED = ("onnx/*", "openvino/*", "original/*", "*.onnx", "tf_model*", "flax_model*")
_BOT = "SFconvertbot"
_TIMEOUT_S = 10.0
_QUICK_TIMEOUT_S = 5.0
"""For a file that is elsewhere, too."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at a commit, and the size of what will be taken from it."""

    repo: str
    revision: str
    n_bytes: int


def look(repo: str) -> Snapshot:
    """Ask the hub for the commit to take: main, or the conversion bot's where main has only pickles.

    Raises FailureError when the hub cannot be reached, does not have or does not show the repository,
    or has no safetensors of it.
    """
    with needs("huggingface_hub", "local"):
        from huggingface_hub import HfApi
    with _asking(repo):
        info = _with_safetensors(HfApi(), repo)
    if info is None:
        raise FailureError(
            f"found only pickled weights in {repo}, which can run code when opened, wanted safetensors: "
            "ask for them on its page, or save it as safetensors where you trust it and give that folder"
        )
    n_bytes = sum(file.size or 0 for file in info.siblings or () if _is_wanted(file.rfilename))
    return Snapshot(repo, info.sha or "main", n_bytes)


def download(snapshot: Snapshot, folder: Path) -> None:
    """Fetch the wanted files into a folder; a download that broke off goes on where it stopped."""
    from huggingface_hub import snapshot_download

    with _asking(snapshot.repo):
        snapshot_download(
            snapshot.repo,
            revision=snapshot.revision,
            local_dir=folder,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes on partial files


def look_for_file(repo: str, revision: str, path: str) -> None:
    """Ask the hub, for a few seconds only, whether it has a file; raises FailureError if not."""
    with needs("huggingface_hub", "local"):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
    with _asking(repo):
        get_hf_file_metadata(hf_hub_url(repo, path, revision=revision), timeout=_QUICK_TIMEOUT_S)


def download_file(repo: str, revision: str, path: str, folder: Path) -> Path:
    """Fetch one file into a folder and return where it is; a download that broke off goes on."""
    from huggingface_hub import hf_hub_download

    with _asking(repo):
        return Path(hf_hub_download(repo, path, revision=revision, local_dir=folder))


def _with_safetensors(api: HfApi, repo: str) -> ModelInfo | None:
    info = api.model_info(repo, files_metadata=True, timeout=_TIMEOUT_S)
    if _has_safetensors(info):
        return info
    for proposal in api.get_repo_discussions(repo, author=_BOT, discussion_type="pull_request"):
        if proposal.author != _BOT or proposal.status != "open":
            continue
        info = api.model_info(repo, revision=proposal.git_reference, files_metadata=True, timeout=_TIMEOUT_S)
        if _has_safetensors(info):
            return info
    return None


def _has_safetensors(info: ModelInfo) -> bool:
    return any(
        file.rfilename.endswith(".safetensors") and _is_wanted(file.rfilename) for file in info.siblings or ()
    )


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, p) for p in _WANTED) and not any(fnmatch(name, p) for p in _UNWANTED)


@contextmanager
def _asking(repo: str) -> Iterator[None]:
    """Keep the hub's client quiet in the block, and turn what it raises into one line."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        yield
    except Exception as error:  # of three libraries
        raise _plainly(repo, error) from error


def _plainly(repo: str, error: Exception) -> FailureError:
    """Return one line for what went wrong; the hub answers "not found" for private repositories too."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        what = "the hub wants you to accept its licence: do so on its page and log in with `hf auth login`"
    elif isinstance(error, RepositoryNotFoundError):
        what = "the hub has no such model, or it is private: check the name, or log in with `hf auth login`"
    elif isinstance(error, OfflineModeIsEnabled):
        what = "HF_HUB_OFFLINE forbids the network: unset it to pull"
    else:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        what = f"{said}: check the network and pull again"
    return FailureError(f"could not fetch {repo}: {what}")
