"""`rankrag prompt`: the words that the model reads, and which of them it is taught to write."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, get_args

import typer
from rich.text import Text

from .. import formats, prompts
from ..errors import amount
from ..system import models
from ..system.rag import as_question
from ..types import Example, Passage, Prompt, Style, Task
from . import console
from .options import Output, arguments

app = typer.Typer(help="Show the prompts.", no_args_is_help=True)

PARTS: dict[str, tuple[str, str]] = {
    "prefix": ("cyan", "system text and passages: the same for every question, computed once"),
    "suffix": ("default", "conversation and question"),
    "target": ("bold black on green", "what the model is taught to write: only here it has a loss"),
}
"""Part of a prompt -> its style, and what it is."""

SAMPLE = (
    Passage("1", "The capital of Kenya was founded in 1899 as a rail depot.", title="Nairobi"),
    Passage("2", "Snowdrops flower from January on, often through the snow.", title="Snowdrop"),
)
SAMPLE_QUESTION = "When was Nairobi founded?"
SAMPLE_OPTIONS = {"A": "1899", "B": "1963"}
SAMPLE_TARGETS: dict[Task, str] = {
    "instruct": "In 1899.",
    "context_qa": "1899",
    "retrieval_qa": "1899",
    "rank": prompts.TRUE,
    "retrieval_rank": prompts.passage_list([1]),
}


@app.command("list")
def list_prompts(output: Output = "text") -> None:
    """List the templates, tasks and styles of answer."""
    hashes = {name: prompts.template_hash(form) for name, form in prompts.TEMPLATES.items()}
    tasks, styles = list(get_args(Task)), list(get_args(Style))
    if output == "json":
        console.emit({"templates": hashes, "tasks": tasks, "styles": styles})
        return
    templates = ", ".join(f"{name} ({key})" for name, key in hashes.items())
    rows = {"templates": templates, "tasks": ", ".join(tasks), "styles": ", ".join(styles)}
    console.table((Text(name, "bold"), words) for name, words in rows.items())


@app.command("show")
def show(
    task: Annotated[Task, typer.Option(help="What the model is asked to do.")] = "rank",
    style: Annotated[Style, typer.Option(help="The kind of answer wanted.")] = "plain",
    template: Annotated[
        str, typer.Option(metavar="NAME", help=f"One of {', '.join(prompts.TEMPLATES)}.")
    ] = "paper",
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Instead of the sample question.")
    ] = None,
    passages: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Instead of the sample passages.")
    ] = None,
    history: Annotated[str | None, typer.Option(metavar="FILE", help="A conversation before it.")] = None,
    target: Annotated[str | None, typer.Option(metavar="TEXT", help="Instead of the sample target.")] = None,
    output: Output = "text",
) -> None:
    """Show a prompt and its loss mask.

    Its parts are the reusable prefix, the suffix, and the target that is learnt.
    """
    with arguments():
        form = prompts.template(template)
        asked = as_question(question or SAMPLE_QUESTION)
    turns = formats.read_history(history) if history else ()
    asked = replace(asked, history=turns, style=style, options=SAMPLE_OPTIONS if style == "choice" else {})
    shown = tuple(formats.read_passages(passages)) if passages else SAMPLE
    aim = SAMPLE_TARGETS[task] if target is None else target
    prompt = prompts.example(Example("1", "sample", task, asked, _fitting(task, shown), aim), form)
    counts = _counts(prompt)
    if output == "json":
        console.emit(_record(prompt, form, task, counts))
    else:
        draw(prompt, counts)


def _fitting(task: Task, passages: tuple[Passage, ...]) -> tuple[Passage, ...]:
    """Return as many passages as the task takes: none, one or all."""
    if task == "instruct":
        return ()
    return passages[:1] if task in ("context_qa", "rank") else passages


def _counts(prompt: Prompt) -> dict[str, int] | None:
    """Return the tokens of each part in the default model's tokenizer, or None if that is not here."""
    n_tokens = models.token_counter(models.DEFAULT_MODEL)
    return {part: n_tokens(text) for part, text in parts(prompt).items()} if n_tokens else None


def parts(prompt: Prompt) -> dict[str, str]:
    """Return the three parts of a prompt by name."""
    return {"prefix": prompt.prefix, "suffix": prompt.suffix, "target": prompt.target}


def _record(
    prompt: Prompt, form: prompts.Template, task: Task, counts: dict[str, int] | None
) -> dict[str, object]:
    return {
        "task": task,
        "template": form.name,
        "template_hash": prompts.template_hash(form),
        **parts(prompt),
        "markers": list(prompt.markers),
        "tokens": counts,
    }


def draw(prompt: Prompt, counts: dict[str, int] | None = None) -> None:
    """Print a prompt, its parts in colour, and a line that says what each colour is."""
    texts = parts(prompt)
    out = console.out()
    out.print(Text.assemble(*((texts[part], style) for part, (style, _) in PARTS.items())))
    out.print()
    console.table((_legend(part, text, counts) for part, text in texts.items()), right=[1])


def _legend(part: str, text: str, counts: dict[str, int] | None) -> tuple[str | Text, ...]:
    style, meaning = PARTS[part]
    length = amount(counts[part], "token") if counts else amount(len(text), "character")
    return Text(part, style), length, Text(meaning, console.QUIET)
