"""Options that several verbs share, and what turns their text into values."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InvalidInputError
from ..system import SystemSpec, models
from ..types import ReadingMode, RetrieverKind, StoreName
from . import completion, console

if TYPE_CHECKING:
    from ..model import Budget

OutputKind = Literal["text", "json"]

Output = Annotated[
    OutputKind, typer.Option("--output", help="Text for people, or one JSON document on standard output.")
]
DEFAULT_INDEX = Path("rankrag.index")
"""Where an index lies if nothing else is said: in the folder that one works in."""

INDEX_VARIABLE = "RANKRAG_INDEX"

IndexFolder = Annotated[
    Path, typer.Option("--index", "-i", metavar="DIR", envvar=INDEX_VARIABLE, help="Folder of the index.")
]
RetrieverName = Annotated[
    RetrieverKind | None,
    typer.Option("--retriever", help="Default: hybrid if the index has vectors, else bm25."),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="KEY=VALUE", help="Only passages with this attribute; repeatable."),
]
PathGlob = Annotated[
    str | None, typer.Option("--path", metavar="GLOB", help="Only passages from files that match.")
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        autocompletion=completion.language_models,
        help="A name from `rankrag model list`, a folder, a hub id, openai:MODEL@URL (a server), or fake "
        "(no weights).",
    ),
]
RankerName = Annotated[
    str | None,
    typer.Option(
        "--ranker",
        metavar="MODEL",
        autocompletion=completion.language_models,
        help="What ranks, if not --model: a model, or the folder of a cross-encoder.",
    ),
]
GeneratorName = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="MODEL",
        autocompletion=completion.language_models,
        help="The model that answers, if not --model, such as openai:MODEL@URL.",
    ),
]
RetrieveK = Annotated[int, typer.Option(min=1, metavar="N", help="Passages taken from the index.")]
ReadK = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Best passages given to the model that answers. Default: 5, or all where fewer are retrieved.",
    ),
]
MinRelevance = Annotated[
    float | None,
    typer.Option(
        "--min-relevance",
        metavar="0..1",
        help="Answer only if some passage is this relevant. Default: what the model's calibration says.",
    ),
]
Reading = Annotated[
    ReadingMode | None,
    typer.Option(
        "--reading",
        help="All passages in one prompt (joint), or a mean of that with a prompt for each (mixture). "
        "Default: what the model's card says.",
    ),
]
QueryLikelihood = Annotated[
    float | None,
    typer.Option(
        "--query-likelihood",
        min=0.0,
        metavar="SHARE",
        help="What the likelihood of the question after a passage counts in its relevance; 0 ranks as the "
        "paper does. Default: what the model's card says.",
    ),
]
Rewrite = Annotated[
    bool,
    typer.Option(
        "--rewrite/--no-rewrite",
        help="Have the model rewrite a question that leans on its conversation before the search.",
    ),
]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget", metavar="SECONDS", help="End ranking then; what is unscored follows as retrieved."
    ),
]
RankK = Annotated[
    int | None,
    typer.Option(
        "--rank-k", metavar="N", min=1, help="Score only the first so many passages.", show_default="all"
    ),
]
RankPatience = Annotated[
    int | None,
    typer.Option(
        "--rank-patience",
        metavar="N",
        min=1,
        help="End ranking once so many in a row did not come among those that are read.",
    ),
]

Precision = Annotated[
    models.Precision | None,
    typer.Option(
        "--precision",
        help="Numbers to compute with. Default: auto, the fastest here of those that rank equally well.",
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", metavar="DIR", help="Keep the model's states of frequent passages there between runs."
    ),
]
CacheGB = Annotated[
    float, typer.Option("--cache-gb", metavar="GB", min=0.01, help="What --cache-dir may take.")
]

StoreOption = Annotated[
    StoreName | None,
    typer.Option("--store", help="What holds the passages. Default: lancedb, in the folder of the index."),
]
StoreURL = Annotated[
    str | None,
    typer.Option(
        "--store-url", metavar="URL", help="Of the Qdrant server; its key, if any, is in QDRANT_API_KEY."
    ),
]
Collection = Annotated[
    str | None, typer.Option(metavar="NAME", help="In Qdrant. Default: rankrag- and the folder's name.")
]

RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread the work over a Ray cluster: auto (the one of this machine), HOST:PORT, or local.",
    ),
]

DataRoot = Annotated[
    Path | None,
    # Eager: what looks below it while arguments are read finds it there.
    typer.Option("--data-root", metavar="DIR", is_eager=True, help="Folder with the benchmarks' files."),
]
SystemName = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the system in every table.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe: one YAML file.", metavar="RECIPE")]
SettingList = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Put this on top of the recipe; repeatable."),
]
StageName = Literal["1", "2"]
STAGES: dict[StageName, Literal[1, 2]] = {"1": 1, "2": 2}


def filters(where: Sequence[str] | None, path: str | None) -> dict[str, str]:
    """Return the wanted attributes; `path` is the glob for the file."""
    chosen = dict(_pair(item) for item in where or ())
    return chosen | ({"path": path} if path else {})


def _pair(item: str) -> tuple[str, str]:
    name, sign, value = item.partition("=")
    if not sign or not name.strip():
        raise typer.BadParameter(f"found --where {item!r}, wanted KEY=VALUE: for example --where topic=law")
    return name.strip(), value.strip()


def _budget(seconds: float | None, rank_k: int | None, patience: int | None, ranking: bool) -> Budget | None:
    """Return what a ranking may take, None for no bound; raises InvalidInputError where nothing is ranked."""
    if seconds is None and rank_k is None and patience is None:
        return None
    if not ranking:
        raise InvalidInputError(
            "found a budget for ranking beside --no-rank, wanted one of them: leave out --time-budget, "
            "--rank-k and --rank-patience"
        )
    from ..model import Budget

    return Budget(seconds, rank_k, patience)


def _system(
    model: ModelName = models.DEFAULT_MODEL,
    ranker: RankerName = None,
    generator: GeneratorName = None,
    retriever: RetrieverName = None,
    retrieve_k: RetrieveK = 30,
    read_k: ReadK = None,
    rank: Annotated[bool, typer.Option("--rank/--no-rank", help="Rank what was retrieved.")] = True,
    min_relevance: MinRelevance = None,
    reading: Reading = None,
    query_likelihood: QueryLikelihood = None,
    rewrite: Rewrite = False,
    time_budget: TimeBudget = None,
    rank_k: RankK = None,
    rank_patience: RankPatience = None,
    precision: Precision = None,
    cache_dir: CacheDir = None,
    cache_gb: CacheGB = models.CACHE_GB,
) -> SystemSpec:
    """Return the system that these options describe, without an index."""
    return SystemSpec(
        retriever=retriever,
        model=model,
        ranker=ranker,
        generator=generator,
        ranking=rank,
        retrieve_k=retrieve_k,
        read_k=min(SystemSpec().read_k, retrieve_k) if read_k is None else read_k,
        min_relevance=min_relevance,
        reading=reading,
        query_likelihood=query_likelihood,
        rewrite=rewrite,
        budget=_budget(time_budget, rank_k, rank_patience, rank),
        loading=models.Loading(precision, cache_dir, cache_gb),
    )


def takes_system(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command the options of a system, those named or all, in place of its `spec`."""
    make: Callable[..., SystemSpec] = _system
    every = inspect.signature(make, eval_str=True).parameters
    shared = {name: every[name] for name in names or every}

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        options = [
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in own.items()
            for option in (shared.values() if name == "spec" else [parameter])
        ]

        @wraps(command)
        def run(**given: object) -> None:
            with arguments():
                spec = make(**{name: given.pop(name) for name in shared})
            command(spec=spec, **given)

        # What Typer makes options of.
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        return run

    return decorated


@contextlib.contextmanager
def arguments() -> Iterator[None]:
    """Report invalid input inside the block as a fault of the arguments (exit code 2)."""
    try:
        yield
    except InvalidInputError as problem:
        raise typer.BadParameter(str(problem)) from problem


def warn_untrained(model: str, trained: bool, abstains: bool = False) -> None:
    """Say in one line that the order of a ranking means little, where it does.

    `abstains` says that a calibration gave even such a model a threshold.
    """
    from ..model.remote.client import is_remote

    if model == models.FAKE_MODEL:
        console.warn("fake has no weights: it ranks and answers by shared words, to try the tool with")
    elif not trained:
        known = "may never have been" if is_remote(model) else "was never"
        never = "" if abstains else ", and it never abstains"
        console.warn(f"{model} {known} trained to rank: its relevance says little{never}")
