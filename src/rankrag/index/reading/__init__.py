"""Files into passages: which files, what text is in them, and where it is cut."""

from .apart import Apart
from .kinds import COLLECTIONS
from .passages import Portion, ReadSettings, passages_of_record, records_of
from .readers import LocalReader, Plan, Reader
from .records import Part, Record
from .texts import clean
from .walk import READABLE, File, exists, find, is_under

__all__ = [
    "COLLECTIONS",
    "READABLE",
    "Apart",
    "File",
    "LocalReader",
    "Part",
    "Plan",
    "Portion",
    "ReadSettings",
    "Reader",
    "Record",
    "clean",
    "exists",
    "find",
    "is_under",
    "passages_of_record",
    "records_of",
]
