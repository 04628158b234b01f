"""The data room: public datasets in, a blend of training examples and its manifest out."""

from .blend import StepDone, build, shown
from .blend_manifest import Manifest
from .mining import Search
from .recipe import Recipe, read_recipe
from .recipe_check import Need, needs, unpinned
from .searches import searches
from .sources import SOURCES, Dataset, SourceName
from .subset import subset

__all__ = [
    "SOURCES",
    "Dataset",
    "Manifest",
    "Need",
    "Recipe",
    "Search",
    "SourceName",
    "StepDone",
    "build",
    "needs",
    "read_recipe",
    "searches",
    "shown",
    "subset",
    "unpinned",
]
