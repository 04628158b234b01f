"""What the site has beside docs/: every command from its --help, the Python API from docstrings.

mkdocs calls the functions whose names begin with `on_`. Links that leave docs/ lead to the repository
where `repo_url` says where it is (REPOSITORY_URL), and are plain text elsewhere.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PYTHON = ("rankrag", "rankrag.types", "rankrag.errors", "rankrag.index", "rankrag.model", "rankrag.server")
"""Modules whose names are public; each gets a page."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation, under Reference."""
    (reference,) = (part["Reference"] for part in config.nav or () if "Reference" in part)
    commands = {"Commands": [{name: f"reference/{name}.md"} for name, _ in commands_of()]}
    modules = {"Python": [{name: f"reference/{name}.md"} for name in PYTHON]}
    reference[:0] = [commands, modules]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {name: command_page(name, command) for name, command in commands_of()}
    pages |= {name: f"# {name}\n\n::: {name}\n" for name in PYTHON}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links out of docs/ to the repository; keep tables of results out of the search."""
    if page.file.src_uri.endswith("/report.md"):
        page.meta["search"] = {"exclude": True}
    return outward(text, page.file.src_uri, (config.repo_url or "").rstrip("/"))


def on_post_build(config: MkDocsConfig) -> None:
    """Have every page take the script that searches from a folder from the site, not from a server."""
    root = Path(config.site_dir)
    for path in root.rglob("*.html"):
        shim = posixpath.relpath("iframe-worker.js", path.parent.relative_to(root).as_posix())
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("https://unpkg.com/iframe-worker/shim", shim), encoding="utf-8")


def outward(text: str, page: str, repository: str) -> str:
    """Return a page whose links out of docs/ lead into a repository, or are plain text without one."""

    def replaced(link: re.Match[str]) -> str:
        # A folder below docs/, as results/performance, is no page either.
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link[2]))
        if path.startswith("docs/") and "." in posixpath.basename(path):
            return link[0]
        return f"[{link[1]}]({repository}/blob/main/{path})" if repository else link[1]

    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s#]+)(?:#[^)\s]*)?\)", replaced, text)


def commands_of() -> Iterator[tuple[str, click.Command]]:
    """Yield the verbs of the command line, in the order of --help."""
    import typer

    from rankrag.cli.app import app

    group = typer.main.get_command(app)
    yield from group.commands.items()  # type: ignore[attr-defined]


def command_page(name: str, command: click.Command) -> str:
    """Return a page with what --help says of a verb and of each of its verbs."""
    inner = getattr(command, "commands", {})
    parts = [f"# rankrag {name}", plain(command.help)]
    if not inner:
        parts += described(f"rankrag {name}", command)
    for verb, below in inner.items():
        parts += [f"## {verb}", plain(below.help), *described(f"rankrag {name} {verb}", below)]
    return "\n\n".join(parts) + "\n"


def described(called: str, command: click.Command) -> list[str]:
    """Return the usage of a command and its arguments and options, one an entry."""
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [in_place(parameter) for parameter in shown if is_argument(parameter)]
    options = ["[OPTIONS]"] if len(arguments) < len(shown) else []
    usage = " ".join([called, *options, *arguments])
    return [f"```\n{usage}\n```", "\n".join(entry(parameter) for parameter in shown)]


def is_argument(parameter: click.Parameter) -> bool:
    """Say whether a parameter is given by its place."""
    return parameter.param_type_name == "argument"


def in_place(parameter: click.Parameter) -> str:
    """Return what --help calls an argument."""
    return str(parameter.metavar or str(parameter.name).upper())


def entry(parameter: click.Parameter) -> str:
    """Return one line of a list: the names of a parameter, its default, what it does."""
    options = [*parameter.opts, *parameter.secondary_opts]
    names = [in_place(parameter)] if is_argument(parameter) else options
    shown = ", ".join(f"`{name}`" for name in names)
    default = parameter.default
    kept = isinstance(default, str | int | float) and not isinstance(default, bool) and str(default)
    return f"- {shown}{f' (`{default}`)' if kept else ''}: {plain(getattr(parameter, 'help', ''))}"


def plain(text: str | None) -> str:
    """Return a help text as Markdown: what would be taken for HTML is not."""
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\b", "").strip())
    return "\n\n".join(" ".join(part.split()) for part in paragraphs).replace("<", "&lt;")
