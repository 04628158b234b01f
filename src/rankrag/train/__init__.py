"""The training room: a blend on disk becomes a checkpoint, in one stage or two."""

from .estimate import Estimate, Load, estimate, measure
from .export import export
from .plan import Job
from .recipe import Lora, Stage, read_stage
from .run import train

__all__ = [
    "Estimate",
    "Job",
    "Load",
    "Lora",
    "Stage",
    "estimate",
    "export",
    "measure",
    "read_stage",
    "train",
]
