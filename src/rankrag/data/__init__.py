"""The data room: public datasets in, a blend of training examples and its manifest out."""

from .blend import Progress, build, shown
from .check import Need, needs
from .manifest import Manifest
from .mining import Search, indexable
from .recipe import Recipe, read_recipe
from .searches import searches
from .sources import SOURCES, Source, SourceName
from .subset import subset

__all__ = [
    "SOURCES",
    "Manifest",
    "Need",
    "Progress",
    "Recipe",
    "Search",
    "Source",
    "SourceName",
    "build",
    "indexable",
    "needs",
    "read_recipe",
    "searches",
    "shown",
    "subset",
]
