"""The training room: a blend on disk becomes a checkpoint, in one stage or two."""

from .estimate import Load, TrainingEstimate, estimate, measure, ways_to_fit
from .export import export
from .plan import TrainingJob
from .recipe import Lora, Stage, read_stage
from .run import train

__all__ = [
    "Load",
    "Lora",
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
