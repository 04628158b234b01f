"""The data room: public datasets in, a blend of training examples and its manifest out."""

from .blend import build, shown
from .blend_manifest import Manifest
from .mining import Search
from .recipe import read_recipe
from .recipe_check import Need, needs, unpinned
from .searches import searches
from .subset import subset

__all__ = [
    "Manifest",
    "Need",
    "Search",
    "build",
    "needs",
    "read_recipe",
    "searches",
    "shown",
    "subset",
    "unpinned",
]
