"""Work spread over the workers of a Ray cluster by Ray Data; what comes back is in the order of what went in.

What travels is pickled here, one object a row: Ray Data sees rows of bytes, so it guesses no types, and
how large its blocks are is known.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ...errors import FailureError, InvalidInputError, needs

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

Shipment = TypeVar("Shipment")
Kept = TypeVar("Kept")
Out = TypeVar("Out")
Worker = Callable[[list[Shipment]], list[Out]]

STUCK_S = 7200
"""Seconds without any result after which the work is given up: Ray Data tries what kills its workers for
ever. The longest work there is, a record of 64 MB for one encoder, is 110,000 passages."""

_READER_CPUS = 0.5
"""What a task asks for whose results go to actors. It waits for them most of the time; and as it asks for
another share than they do, Ray does not make one of both, where a large file would keep one actor alone."""

_BLOCK_BYTES = 2**20
"""What a worker hands on at once. Ray Data's 128 MB would be 200,000 passages, hours for one encoder."""

_COLUMN = "packed"


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Join a Ray cluster and leave it at the end of the block; in one that was joined before stay.

    `address` is `local` (started on this machine, ends with the block), `auto` (the one that this machine
    belongs to) or HOST:PORT. Raises MissingExtraError without Ray, InvalidInputError for the address of a
    Ray client, FailureError if no cluster can be started or answers.
    """
    if "://" in address:
        raise InvalidInputError(
            f"found the Ray address {address}, wanted local, auto or HOST:PORT: run the command on a machine "
            "of the cluster"
        )
    # Before the first import: no telemetry, and no lines about Ray's own actors between ours. Since Ray
    # 2.50 tasks without a GPU see all of them; the other value only brings a warning.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with needs("ray", "ray"):
        import ray
        import ray.data
    if ray.is_initialized():
        yield
        return
    _start(address)
    try:
        yield
    finally:
        ray.shutdown()


def _start(address: str) -> None:
    import ray

    try:
        dashboard = False if address == "local" else None  # which a cluster has or has not
        ray.init(address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise FailureError(
            f"found no Ray cluster at {address} ({reason}), wanted one that answers: start it with "
            "`ray start --head`, or give `local`"
        ) from error


def in_tasks(items: Sequence[Shipment], work: Callable[[Shipment], Iterable[Out]]) -> Iterator[Out]:
    """Yield what `work` yields for each item, in order; each item is a task."""
    if items:
        yield from _results(_tasks(_given(items), work, cpus=1.0))


def in_tasks_then_actors(
    items: Sequence[Shipment],
    work: Callable[[Shipment], Iterable[Kept]],
    make: Callable[[], Worker[Kept, Out]],
) -> Iterator[Out]:
    """Yield, in order, what is made of all that `work` yields by the workers that `make` gives.

    `make` is called once in each of as many processes as there are CPUs beyond one, or at most GPUs if there
    are any. A worker is given some objects at a time and returns as many. Raises InvalidInputError for a
    cluster of one CPU: its actor would leave nothing for the tasks that it waits for.
    """
    if items:
        room = _resource("CPU") - 1
        if room < 1:
            raise InvalidInputError(
                "found one CPU in the Ray cluster, wanted two, to read beside the encoder: leave --ray out"
            )
        tasks = _tasks(_given(items), work, _READER_CPUS)
        yield from _results(_actors(tasks, make, room, _resource("GPU")))


def in_actors(
    items: Sequence[Shipment],
    make: Callable[[], Worker[Shipment, Out]],
    at_once: int = 16,
    on_gpus: bool = False,
) -> Iterator[Out]:
    """Yield, in order, what the workers that `make` gives make of the items, `at_once` in a call.

    There is a process for each CPU, or for each GPU if there are any and `on_gpus` asks for them.
    """
    if items:
        given = _given(items, -(-len(items) // at_once))
        yield from _results(_actors(given, make, _resource("CPU"), _resource("GPU") if on_gpus else 0))


def _resource(name: str) -> int:
    import ray

    return int(ray.cluster_resources().get(name, 0))


def _given(items: Sequence[Shipment], n_blocks: int | None = None) -> ray.data.Dataset:
    """Return the items in as many blocks, by default one each; a block is what a task is given."""
    import ray.data

    context = copy.deepcopy(ray.data.DataContext.get_current())
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    context.execution_no_progress_timeout_s = STUCK_S
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it logs what it then raises
    rows = [{_COLUMN: pickle.dumps(item)} for item in items]
    with ray.data.DataContext.current(context):  # what is made here keeps it
        return ray.data.from_items(rows, override_num_blocks=n_blocks or len(rows))


def _tasks(
    given: ray.data.Dataset, work: Callable[[Shipment], Iterable[Out]], cpus: float
) -> ray.data.Dataset:
    return given.map_batches(partial(_work, work), batch_size=None, batch_format="pyarrow", num_cpus=cpus)


def _actors(
    given: ray.data.Dataset, make: Callable[[], Worker[Shipment, Out]], cpus: int, gpus: int = 0
) -> ray.data.Dataset:
    import ray.data

    return given.map_batches(
        _Actor,
        fn_constructor_args=(make,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(gpus or cpus, cpus))),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )


def _work(work: Callable[[Shipment], Iterable[Out]], batch: pa.Table) -> Iterator[pa.Table]:
    items: Iterator[Shipment] = _unpacked(batch)
    for item in items:
        for shipment in work(item):
            yield _packed([shipment])


class _Actor:
    def __init__(self, make: Callable[[], Worker[Kept, Out]]) -> None:
        self.worker = make()

    def __call__(self, batch: pa.Table) -> pa.Table:
        return _packed(self.worker(list(_unpacked(batch))))


def _results(dataset: ray.data.Dataset) -> Iterator[Out]:
    from ray.data.exceptions import ExecutionTimeoutError
    from ray.exceptions import RayError

    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from _unpacked(batch)
    except (RayError, ExecutionTimeoutError) as error:
        raise FailureError(
            f"found a failure on a worker of Ray ({_reason(error)}), wanted it to finish: mend that and run "
            "the same command again"
        ) from error


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line: the last of the innermost error that says anything.

    Ray wraps the errors of its workers, or puts their tracebacks into a message of its own.
    """
    reason = type(error).__name__
    inner: BaseException | None = error
    while inner is not None:
        lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
        reason = lines[-1] if lines and type(inner).__name__ != "SystemException" else reason
        inner = getattr(inner, "cause", None) or inner.__cause__
    return reason


def _packed(shipments: Sequence[object]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {_COLUMN: pa.array([pickle.dumps(shipment) for shipment in shipments], pa.large_binary())}
    )


def _unpacked(batch: pa.Table) -> Iterator[Shipment]:
    for cell in batch[_COLUMN]:
        yield pickle.loads(cell.as_buffer())
