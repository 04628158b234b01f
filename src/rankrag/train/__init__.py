"""The training room: a blend on disk becomes a checkpoint, in one stage or two."""

from .estimate import Load, TrainingEstimate, estimate, measure, ways_to_fit
from .export import export
from .plan import TrainingJob
from .run import train
from .stage_recipe import Stage, read_stage

__all__ = [
    "Load",
    "Stage",
    "TrainingEstimate",
    "TrainingJob",
    "estimate",
    "export",
    "measure",
    "read_stage",
    "train",
    "ways_to_fit",
]
