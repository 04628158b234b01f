"""The model room: one language model, and the two skills it is used for."""

from .skills.budget import Budget, BudgetedRanker
from .skills.citer import ModelCiter
from .skills.fake import FakeLanguageModel
from .skills.generator import ModelGenerator
from .skills.ranker import ModelRanker
from .skills.rewriter import ModelRewriter

__all__ = [
    "Budget",
    "BudgetedRanker",
    "FakeLanguageModel",
    "ModelCiter",
    "ModelGenerator",
    "ModelRanker",
    "ModelRewriter",
]
