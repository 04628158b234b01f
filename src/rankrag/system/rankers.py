"""What ranks: a language model, or a cross-encoder; its relevance put right, and its time bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import Ranker
from .models import Engine

if TYPE_CHECKING:
    from ..model import Budget


def is_cross_encoder(name: str) -> bool:
    """Return whether a name is the folder of a cross-encoder: a model with a score in place of words."""
    config = Path(name).expanduser() / "config.json"
    if not config.is_file():
        return False
    try:
        architectures = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    except (ValueError, AttributeError):
        return False
    return any(str(each).endswith("ForSequenceClassification") for each in architectures)


def open_cross_encoder(name: str) -> Ranker:
    """Return a cross-encoder with its weights loaded."""
    from ..model.skills.cross_encoder import CrossEncoderRanker

    ranker = CrossEncoderRanker(Path(name).expanduser())
    ranker.load()
    return ranker


def calibrated(ranker: Ranker, engine: Engine) -> Ranker:
    """Return the ranker of an engine with its relevance put right, or itself without a calibration."""
    from ..model.skills.calibrated import CalibratedRanker

    return CalibratedRanker(ranker, engine.calibration) if engine.calibration else ranker


def bounded(ranker: Ranker, budget: Budget | None, read_k: int, threshold: float | None) -> Ranker:
    """Return a ranker that keeps to a budget, or itself without one.

    It goes around the calibration, since the threshold is one of relevances that were put right.
    """
    from ..model import BudgetedRanker

    return BudgetedRanker(ranker, budget, read_k, threshold or 0.0) if budget else ranker
