"""The model room: one language model, and the two skills it is used for."""

from .citer import ModelCiter
from .fake import FakeLanguageModel
from .generator import ModelGenerator
from .ranker import ModelRanker

__all__ = ["FakeLanguageModel", "ModelCiter", "ModelGenerator", "ModelRanker"]
