"""Files into passages: which files, what text is in them, and where it is cut."""

from .json_lines import LineSpan
from .kinds import COLLECTIONS
from .parser_process import Apart
from .passages import Portion, ReadSettings, passages_of_record, records_of
from .readers import FileReader, LocalReader, ReadPlan
from .records import CollectionRecord
from .texts import clean
from .walk import READABLE, File, find, find_kind, is_under

__all__ = [
    "COLLECTIONS",
    "READABLE",
    "Apart",
    "CollectionRecord",
    "File",
    "FileReader",
    "LineSpan",
    "LocalReader",
    "Portion",
    "ReadPlan",
    "ReadSettings",
    "clean",
    "find",
    "find_kind",
    "is_under",
    "passages_of_record",
    "records_of",
]
