"""The model as rewriter: a question that leans on its conversation becomes one that stands alone."""

from __future__ import annotations

from dataclasses import dataclass

from ... import prompts
from ...types import LanguageModel, Question

MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class ModelRewriter:
    """Rewrites the last question of a conversation, so that it can be searched for by itself."""

    lm: LanguageModel
    form: prompts.Template

    def rewrite(self, question: Question) -> str:
        """Return the question as one that stands alone, or "" where there is nothing to rewrite.

        So it is without a history, and where the model wrote no question: one that was taught to answer does
        so here too. What it copied from the examples it was shown is none either.
        """
        if not question.history:
            return ""
        prompt = prompts.stand_alone(question, self.form)
        written = "".join(self.lm.generate(prompt, MAX_TOKENS, (*self.form.stop, "\n"))).strip()
        is_own = written.endswith("?") or written == question.text
        return written if is_own and written not in prompts.SHOWN_REWRITTEN else ""
