"""What all routes of an app share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from ..errors import InvalidInputError
from ..pipeline import Pipeline
from ..types import Answer, Documents, Ranker
from .desk import Desk
from .jobs import Jobs
from .settings import About, Limits, ServerSettings
from .telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class State:
    """The pipeline and the documents that an app serves, and what watches over it.

    `jobs` is None where nothing can be uploaded, `documents` where there is no index to look into.
    """

    pipeline: Pipeline
    documents: Documents | None
    jobs: Jobs | None
    settings: ServerSettings
    telemetry: Telemetry
    desk: Desk

    @property
    def limits(self) -> Limits:
        """What a request may ask for."""
        return self.settings.limits

    @property
    def about(self) -> About:
        """What the server says of itself."""
        return self.settings.about

    def ranker(self) -> Ranker:
        """Return the ranker; raises InvalidInputError where the server was started without one."""
        if self.pipeline.ranker is None:
            raise InvalidInputError("found a server started without ranking, wanted one that ranks")
        return self.pipeline.ranker

    def finished(self, answer: Answer) -> Answer:
        """Count an answer if it is finished, and return it."""
        if answer.done:
            self.telemetry.answer(answer)
        return answer


async def _state(request: Request) -> State:
    # A plain function would be called in a thread, and wait for a free one, at every request.
    return cast("State", request.app.state.rankrag)


Shared = Annotated[State, Depends(_state)]
"""A parameter of a route: the state of its app."""
