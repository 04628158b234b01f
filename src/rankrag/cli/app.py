"""The command `rankrag`: its verbs, and what each kind of failure becomes."""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Annotated, NoReturn

import typer

from .. import errors
from . import (
    ask,
    calibrate,
    console,
    data,
    doctor,
    documents,
    evaluate,
    evaluate_scores,
    index,
    model,
    prompt,
    rank,
    search,
    serve,
    study,
    train,
)
from .version import __version__

EXIT_CODES: dict[type[BaseException], int] = {
    typer.TyperException: 2,
    errors.MissingError: 3,
    errors.NotFoundError: 4,
    errors.InvalidInputError: 5,
    errors.FailureError: 6,
    errors.PartialError: 7,
    OSError: 6,
    MemoryError: 6,
}
"""The first kind that fits gives the code; anything else is a bug of ours and gives 6."""

EPILOG = (
    "Exit codes: 0 ok, 2 arguments, 3 missing model or extra, 4 missing file or index, 5 invalid input, "
    "6 failure, 7 finished in part, 130 interrupted. Results go to standard output, everything else to "
    "standard error. RANKRAG_DEBUG=1 shows tracebacks."
)

app = typer.Typer(
    name="rankrag",
    help="One language model ranks the retrieved passages and answers from the best of them.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(index.index)
app.command("ask")(ask.ask)
app.command("search")(search.search)
app.command("rank")(rank.rank)
app.add_typer(documents.app, name="documents")
app.add_typer(model.app, name="model")
app.add_typer(prompt.app, name="prompt")
app.add_typer(data.app, name="data")
app.command("train")(train.train)

evaluation = typer.Typer(
    help="Measure how well a system finds, ranks and answers.",
    no_args_is_help=True,
)
evaluation.command("list")(evaluate.list_)
evaluation.command("paper")(evaluate.paper)
evaluation.command("export")(evaluate.export)
evaluation.command("predict")(evaluate.predict)
evaluation.command("add")(evaluate_scores.add)
evaluation.command("runs")(evaluate_scores.runs)
evaluation.command("score")(evaluate_scores.score)
evaluation.command("report")(evaluate_scores.report)
evaluation.command("cases")(evaluate_scores.cases)
evaluation.command("study")(study.study)
app.add_typer(evaluation, name="eval")
app.command("calibrate")(calibrate.calibrate)
app.command("serve")(serve.serve)
app.command("mcp")(serve.mcp)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rankrag {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """One language model ranks the retrieved passages and answers from the best of them."""


def main() -> NoReturn:
    """Run the command of this process and leave with its exit code."""
    # OpenMP threads spin while they wait for each other: where other programs want the same cores, writing
    # 24 tokens then takes 34 s. Not to spin takes 3.7 s instead of 1.3 s on idle cores; to spin for a moment
    # takes 1.1 s there and 2.9 s on busy ones. It has to be said before PyTorch is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # On a GPU attention by cuDNN plans anew for every length of prompts: tenths of a second each time, others
    # found (FunASR, issue 3704).
    os.environ.setdefault("TORCH_CUDNN_SDPA_DEPRIORITIZED", "1")
    # What imports make stays: looking through it for garbage every 700 objects takes a tenth of a search.
    gc.set_threshold(20_000)
    if sys.platform == "win32":  # a pipe has an old code page there, without most of what documents hold
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8")
    code = run(sys.argv[1:])
    # Nor is it looked through at the end, several times, which takes another tenth.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; a failure is one line on standard error."""
    try:
        code: int | None = _command(*arguments[:1])(
            list(arguments), prog_name="rankrag", standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:
        return _pipe_closed()
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as problem:
        return _failed(problem)
    if code == 130:
        console.error("interrupted")
    return code or 0


@cache
def _command(verb: str = "") -> Callable[..., int | None]:
    """Return what parses a command line: that of one verb, which is made sooner than that of all of them."""
    # Beside the name of an argument typer writes the type in Python's words, as `PATH <list[str]>`.
    setattr(typer.core.TyperArgument, "display_type_rich", lambda self, ctx: "")  # noqa: ARG005, B010
    alone = copy(app)
    alone.registered_commands = [each for each in app.registered_commands if each.name == verb]
    alone.registered_groups = [each for each in app.registered_groups if each.name == verb]
    known = alone.registered_commands or alone.registered_groups
    return typer.main.get_command(alone if known else app)


def _failed(problem: Exception) -> int:
    if os.environ.get("RANKRAG_DEBUG"):
        traceback.print_exception(problem)
    code = next((code for kind, code in EXIT_CODES.items() if isinstance(problem, kind)), None)
    if message := _message(problem) if code else _bug(problem):  # empty after a help page
        console.error(message)
    return code or 6


def _message(problem: Exception) -> str:
    if isinstance(problem, typer.TyperException):
        # Our own faults name what was found; typer's own say which option it was.
        return _plain(problem.format_message().removeprefix("Invalid value: "))
    if isinstance(problem, MemoryError):
        return "not enough memory: close other programs, or take fewer or smaller inputs"
    if isinstance(problem, OSError):
        return f"{problem.strerror or problem}: {problem.filename or 'no file was named'}"
    return str(problem)


def _plain(message: str) -> str:
    """Return typer's words without those of the library that checks values for it."""
    message = message.replace("Value error, ", "")
    message = re.sub(r"Input should be (?=greater|less)", "wanted a number ", message)
    return re.sub(r"Input should be (a valid \w+), unable to parse .*", r"wanted \1", message).replace(
        "a valid integer", "a whole number"
    )


def _bug(problem: Exception) -> str:
    return (
        f"this is a bug in rankrag ({type(problem).__name__}: {problem}): "
        "run it again with RANKRAG_DEBUG=1 and report what it prints"
    )


def _pipe_closed() -> int:
    """Be quiet when the reader of standard output has left, also when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
