"""Importing is free, and so is asking for help."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from rankrag.index.stores import lance_tables
from test_floors import HEAVY, PACKAGE

WATCH = """
import json, logging, random, sys
seen, state = [], random.getstate()
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.mkdir", "os.rename", "tempfile.")):
        seen.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]} {arguments[1]}")
sys.dont_write_bytecode = True
sys.addaudithook(hook)
import MODULE
handlers = [h for name in ("", "rankrag") for h in logging.getLogger(name).handlers]
print(json.dumps({
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
    "did": seen,
    "seeded": random.getstate() != state,
    "handlers": [repr(h) for h in handlers],
}))
"""

ROOMS = sorted(
    path.name
    for path in PACKAGE.iterdir()
    if path.is_dir() and (path / "__init__.py").exists() and path.name != "train"
)
"""The rooms with a face; `train` is never free, since it subclasses a trainer."""


def fresh(code: str) -> str:
    """Run code in an interpreter of its own and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


EACH = ["rankrag", *(f"rankrag.{room}" for room in ROOMS)]


# All in one interpreter in the default suite; one by one, which says whose fault it is, among the slow tests.
@pytest.mark.parametrize(
    "module", [", ".join(EACH), *(pytest.param(m, marks=pytest.mark.slow) for m in EACH)]
)
def test_import_loads_nothing_heavy_and_does_nothing(module: str) -> None:
    found = json.loads(fresh(WATCH.replace("MODULE", module)))
    assert set(found["modules"]) & HEAVY == set()
    assert (found["did"], found["seeded"], found["handlers"]) == ([], False, [])


def test_importing_rankrag_does_not_load_numpy() -> None:
    assert "numpy" not in json.loads(fresh(WATCH.replace("MODULE", "rankrag")))["modules"]


def test_the_watch_sees_what_it_looks_for(tmp_path: Path) -> None:
    busy = (
        "logging; random.seed(1); logging.basicConfig(); import socket; socket.socket().close()\n"
        f"open({str(tmp_path / 'x')!r}, 'w').close(); import numpy"
    )
    found = json.loads(fresh(WATCH.replace("MODULE", busy)))
    assert "socket.__new__" in found["did"]
    assert any(event.startswith("open ") for event in found["did"])
    assert found["seeded"]
    assert found["handlers"]
    assert "numpy" in found["modules"]


def cpu_seconds(*arguments: str) -> float:
    """Return the processor time, in seconds, that Python took for these arguments."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_answers_at_once(arguments: list[str]) -> None:
    """Processor time, not the clock, and up to three tries, to see past what else the machine is doing."""
    bare = cpu_seconds("-c", "pass")
    assert any(cpu_seconds("-m", "rankrag", *arguments) - bare < 0.5 for _ in range(3))


def test_pandas_is_left_out_of_one_thread_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pandas.py").write_text("frames = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))  # what was there comes back at the end
    del sys.modules["pandas"]
    elsewhere: list[ModuleType] = []
    with lance_tables.without_pandas():
        with pytest.raises(ModuleNotFoundError):
            import_module("pandas")
        other = Thread(target=lambda: elsewhere.append(import_module("pandas")))
        other.start()
        other.join()
    assert elsewhere
    del sys.modules["pandas"]
    assert import_module("pandas").frames


@pytest.mark.slow
def test_a_search_loads_no_pandas_and_frames_can_still_be_made() -> None:
    pytest.importorskip("pandas")
    code = (
        "import sys; from rankrag.index.stores import lance_tables; lance_tables.prepare_lancedb()\n"
        "import lancedb; assert 'pandas' not in sys.modules\n"
        "import pyarrow; print(pyarrow.table({'a': [1, 2]}).to_pandas().shape)"
    )
    assert fresh(code) == "(2, 1)\n"


def test_classes_are_made_sooner_for_a_while_and_work_as_ever() -> None:
    from pydantic import BaseModel, ValidationError

    with lance_tables.quick_classes():

        class Quick(BaseModel):
            n: int

    class Usual(BaseModel):
        n: int

    assert not Quick.__pydantic_complete__
    assert Usual.__pydantic_complete__
    assert Quick(n=1).n == 1
    with pytest.raises(ValidationError):
        Quick.model_validate({"n": "x"})


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="LanceDB uses typing.override there")
def test_overrides_are_marked_unseen_for_a_while() -> None:
    overrides = import_module("overrides")
    checked = overrides.override
    with lance_tables.quick_classes():

        class Alone:
            @overrides.override  # type: ignore[untyped-decorator]
            def method(self) -> None: ...

    assert Alone.method.__override__
    assert overrides.override is checked


def test_what_only_lancedb_s_cloud_needs_is_loaded_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloud_client").mkdir()
    (tmp_path / "cloud_client" / "__init__.py").write_text(
        "import cloud_client.api\nClient = cloud_client.api.Client\n"
    )
    (tmp_path / "cloud_client" / "api.py").write_text("class Client: ...\n")
    (tmp_path / "cloud_client" / "models.py").write_text("Name = str\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lance_tables, "_CLOUD", "cloud_client")
    lance_tables.postpone_cloud()
    try:
        assert import_module("cloud_client.models").Name is str
        assert "cloud_client.api" not in sys.modules
        lance_tables.postpone_cloud()  # once is enough
        client = import_module("cloud_client")
        assert client.Client is sys.modules["cloud_client.api"].Client
        with pytest.raises(AttributeError):
            _ = client.Nothing
    finally:
        for name in ("cloud_client", "cloud_client.api", "cloud_client.models"):
            sys.modules.pop(name, None)
