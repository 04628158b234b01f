"""Datasets of the Hugging Face hub, fetched once into a folder, with the commit that they were read from.

A copy lies in `hub/OWNER/NAME/CONFIG/SPLIT.jsonl` (CONFIG is `default` where there is none), its card
beside it. A `hub` folder that is carried to another machine is used there as it is, without a network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

from ..errors import FailureError, InvalidInputError, in_a_line, needs
from ..files import writing

PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class HubSplit:
    """One split of a dataset of the hub: `hub:OWNER/NAME:CONFIG:SPLIT`.

    `revision` is the commit that the recipe pins, None for the newest. A folder of this machine may stand
    in for `repository`.
    """

    repository: str
    config: str
    split: str
    revision: str | None = None

    @property
    def copy(self) -> Path:
        """Where a copy lies, below a folder in which files are looked for."""
        return Path("hub", self.repository.lstrip("/"), self.config or "default", f"{self.split}.jsonl")

    @property
    def page(self) -> str:
        """The dataset's page."""
        return f"https://huggingface.co/datasets/{self.repository}"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}:{self.config}:{self.split}"


def hub_split(path: str, revisions: Mapping[str, str]) -> HubSplit:
    """Return the split that a path names. Raises InvalidInputError where a part is missing."""
    parts = path.split(":")
    if len(parts) != 4 or not parts[1] or not parts[3]:
        raise InvalidInputError(f"found {path!r}, wanted hub:OWNER/NAME:CONFIG:SPLIT (CONFIG may be empty)")
    return HubSplit(parts[1], parts[2], parts[3], revisions.get(parts[1]))


def card_of(copy: Path) -> Path:
    """Return where the card of a copy lies: repository, commit and number of rows."""
    return copy.with_suffix(".card.json")


def revision_of(copy: Path) -> str | None:
    """Return the commit that a copy was read from, None where nothing says so."""
    if not card_of(copy).is_file():
        return None
    revision = json.loads(card_of(copy).read_text(encoding="utf-8")).get("revision")
    return None if revision is None else str(revision)


def find_copy(wanted: HubSplit, folders: Sequence[Path]) -> Path | None:
    """Return the first copy in the folders; with a pinned revision only a copy of that commit."""
    for folder in folders:
        copy = folder / wanted.copy
        if copy.is_file() and wanted.revision in (None, revision_of(copy)):
            return copy
    return None


def fetch(wanted: HubSplit, folder: Path) -> Path:
    """Fetch a split into a folder and return the copy; none is ever half written.

    Raises FailureError, which says whether the repository, the configuration, the split or its files are
    missing, and MissingExtraError.
    """
    copy, count, failures = folder / wanted.copy, 0, _failures()
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        revision = _commit(wanted)
        with writing(str(copy)) as stream:
            for record in _records(wanted, revision):
                stream.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
                count += 1
    except failures as error:
        raise FailureError(f"{wanted}: {lacking(wanted) or _cut(error)}: {_remedy(wanted)}") from error
    card = {"hub": str(wanted), "revision": revision, "rows": count}
    with writing(str(card_of(copy))) as stream:
        stream.write(json.dumps(card, indent=1) + "\n")
    return copy


def lacking(wanted: HubSplit) -> str:
    """Ask the hub, without reading any row, what of a split is not there; empty where all of it is."""
    datasets, failures = _datasets(), _failures()
    revision = {"revision": wanted.revision} if wanted.revision else {}
    try:
        _commit(wanted)  # where there is no network this says so at once; what follows would try six times
        configs = datasets.get_dataset_config_names(wanted.repository, **revision)
    except failures as error:
        return f"the repository {wanted.repository} could not be opened ({_cut(error)})"
    if wanted.config and wanted.config not in configs:
        return f"{wanted.repository} has no configuration {wanted.config!r}, only {', '.join(configs)}"
    what = f"configuration {wanted.config!r}" if wanted.config else "dataset"
    try:
        splits = datasets.get_dataset_split_names(wanted.repository, wanted.config or None, **revision)
    except failures as error:
        return f"{wanted.repository} names the {what}, but has no files of it ({_cut(error)})"
    if wanted.split not in splits:
        return f"{wanted.repository} has no split {wanted.split!r} of the {what}, only {', '.join(splits)}"
    return ""


def _remedy(wanted: HubSplit) -> str:
    pin = "another commit under blend.revisions"
    return f"see {wanted.page}, then name {pin}, or the official files in the recipe; or check the network"


def _commit(wanted: HubSplit) -> str | None:
    """Return the commit that stands for the wanted revision, None for a folder of this machine."""
    if Path(wanted.repository).exists():
        return None
    _datasets()
    from huggingface_hub import HfApi

    return HfApi().dataset_info(wanted.repository, revision=wanted.revision).sha


def _records(wanted: HubSplit, revision: str | None) -> Iterator[Mapping[str, object]]:
    datasets = _datasets()
    stream = datasets.load_dataset(
        wanted.repository, wanted.config or None, split=wanted.split, streaming=True, revision=revision
    )
    for record in stream:
        yield dict(record)


def _failures() -> tuple[type[Exception], ...]:
    """Return what the hub's library raises.

    A wrong name, no network, a download that broke off, a dataset taken down; StopIteration where a
    configuration is named whose files are gone (in a generator Python makes a RuntimeError of it).
    """
    errors = _datasets().exceptions.DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    # Without a network it lets through what its HTTP library raises: a sibling of its own, not an OSError.
    return (OSError, ValueError, RuntimeError, EOFError, StopIteration, errors, *HfHubHTTPError.__bases__)


def _cut(error: Exception) -> str:
    return in_a_line(error) or type(error).__name__


def _datasets() -> ModuleType:
    with needs("datasets", "train"):
        import datasets  # type: ignore[import-not-found, unused-ignore]
    return cast(ModuleType, datasets)
