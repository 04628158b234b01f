"""A ranker whose relevance was put right on labelled pairs: `calibration.json` of a checkpoint.

What is fitted is a rising map from the relevance that the model gives to the share of passages of that
relevance which are relevant. It changes no order. It holds for the weights and the template that it was
fitted with, so both are on file and others are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import InvalidInputError
from ...files import typed, write_json
from ...types import Hit, Question, Ranker

FILE = "calibration.json"

MapKind = Literal["temperature", "isotonic"]

_NEAR = 1e-12
"""Relevances are kept so far from 0 and 1 before their log-odds are taken."""

_SLOPE = 1e-4
"""Part of the relevance itself in an isotonic map: without it the flat pieces would make ties."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map of relevances, a threshold on the mapped ones, and what both were fitted on.

    `points` of kind `temperature` is ((scale, bias),): mapped log-odds are scale * log-odds + bias. Those of
    kind `isotonic` are (relevance, share relevant), rising, with straight lines between them. At
    `threshold` and above the share of relevant pairs was `precision` or more (None: none was asked for).
    `ece` and `brier` are before and after, the latter by cross-validation over questions. `data_sha256` is of
    the file of pairs, `model` a mark of the weights (see `weights_mark`), `query_likelihood` what the ranker
    had of it.
    """

    kind: MapKind
    points: tuple[tuple[float, float], ...]
    threshold: float | None = None
    precision: float | None = None
    n_pairs: int = 0
    data_sha256: str = ""
    ece: tuple[float, float] | None = None
    brier: tuple[float, float] | None = None
    model: str = ""
    template_hash: str = ""
    query_likelihood: float = 0.0

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Return the relevances mapped, in 0..1, shape kept: one that is higher stays higher.

        Relevances nearer than 1e-12 to 0 or to 1 may become equal.
        """
        if self.kind == "temperature":
            ((scale, bias),) = self.points
            near = np.clip(scores, _NEAR, 1 - _NEAR)
            logits = scale * (np.log(near) - np.log1p(-near)) + bias
            mapped: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
            return mapped
        x, y = np.array(self.points).T
        straight: np.ndarray = (1 - _SLOPE) * np.interp(scores, x, y) + _SLOPE * np.asarray(scores)
        return straight


@dataclass(frozen=True, slots=True)
class CalibratedRanker:
    """Ranks as `ranker` does, with relevances put right: the order is the same, also among equals."""

    ranker: Ranker
    calibration: Calibration

    def rank(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same passages in the order of `ranker`; hits that were not scored stay as they are."""
        ranked = self.ranker.rank(question, hits)
        mapped = self.calibration.apply(np.array([hit.score if hit.scored else 0.0 for hit in ranked]))
        return [
            replace(hit, score=float(score)) if hit.scored else hit
            for hit, score in zip(ranked, mapped, strict=True)
        ]


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write `calibration.json` into a folder, in place of one that is there; return its path."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(calibration))
    return path


def read_calibration(path: Path) -> Calibration:
    """Return what a `calibration.json` holds; raises InvalidInputError for one that cannot be used."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content.setdefault("query_likelihood", 0.0)  # this came later
        if not isinstance(content, dict) or content.keys() != {field.name for field in fields(Calibration)}:
            raise ValueError(f"wanted exactly {', '.join(field.name for field in fields(Calibration))}")
        calibration = typed(Calibration, content, "calibration")
        _check_map(calibration)
    except ValueError as problem:
        raise InvalidInputError(
            f"{path}: found no calibration ({problem}): make it again with `rankrag calibrate --write`, or "
            "delete it"
        ) from problem
    return calibration


def check_calibration(
    path: Path, calibration: Calibration, model: str, template_hash: str, query_likelihood: float
) -> None:
    """Raise InvalidInputError unless a calibration was fitted with these weights, template and ranker."""
    wanted = {
        "weights": (calibration.model, model),
        "template": (calibration.template_hash, template_hash),
        "query_likelihood": (str(calibration.query_likelihood), str(query_likelihood)),
    }
    for name, (fitted, here) in wanted.items():
        if fitted != here:
            raise InvalidInputError(
                f"{path}: found a calibration fitted with {name} {fitted or 'unknown'}, wanted {here}: make "
                "it again with `rankrag calibrate --write`, or delete it"
            )


def weights_mark(folders: Sequence[Path]) -> str:
    """Return 16 hex digits that change with the weights in folders (a checkpoint, its base).

    Of each weights file its size and 16 pieces of 4 KiB, evenly spread, are read: 16 GB would take a minute
    to hash whole at every start, and training changes every piece.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted([*folder.glob("*.safetensors"), *folder.glob("adapter_config.json")]):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                for part in range(16):
                    file.seek(max(0, size - 4096) * part // 15)
                    digest.update(file.read(4096))
    return digest.hexdigest()[:16]


def _check_map(calibration: Calibration) -> None:
    """Raise ValueError for a map that does not rise or a threshold that no relevance has."""
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in calibration.points):
        raise ValueError("points that are not numbers")
    if calibration.kind == "temperature":
        rises = len(calibration.points) == 1 and calibration.points[0][0] > 0
    else:
        pairs = list(zip(calibration.points, calibration.points[1:], strict=False))
        rises = bool(pairs) and all(a[0] < b[0] and a[1] <= b[1] for a, b in pairs)
        rises = rises and calibration.points[0][1] >= 0 and calibration.points[-1][1] <= 1
    if not rises:
        raise ValueError("a map that does not rise within 0..1")
    if calibration.threshold is not None and not 0 <= calibration.threshold <= 1:
        raise ValueError(f"threshold {calibration.threshold}, wanted a number in 0..1")
