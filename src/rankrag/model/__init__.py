"""The model room: one language model, and the two skills it is used for."""

from .budget import Budget, BudgetedRanker
from .citer import ModelCiter
from .fake import FakeLanguageModel
from .generator import ModelGenerator
from .ranker import ModelRanker

__all__ = ["Budget", "BudgetedRanker", "FakeLanguageModel", "ModelCiter", "ModelGenerator", "ModelRanker"]
