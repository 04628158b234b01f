"""Every record that goes in or comes out, one reader and one writer for each."""

from .answer_json import answer_of, answer_record, hit_of, hit_record
from .inputs import (
    passage,
    passage_record,
    question,
    read_examples,
    read_history,
    read_passages,
    read_questions,
    write_examples,
)
from .trec import id_in_run, read_qrels, read_rankings, read_run, run_name, write_run

__all__ = [
    "answer_of",
    "answer_record",
    "hit_of",
    "hit_record",
    "id_in_run",
    "passage",
    "passage_record",
    "question",
    "read_examples",
    "read_history",
    "read_passages",
    "read_qrels",
    "read_questions",
    "read_rankings",
    "read_run",
    "run_name",
    "write_examples",
    "write_run",
]
