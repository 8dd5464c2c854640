"""From a model and its samples to a stream of chunks, restarted where a chunk disproves the plan."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from ntkspec.arguments.roles import Roles
from ntkspec.errors import ExportError
from ntkspec.export.alone import check_alone
from ntkspec.export.arrays import ArrayLike, as_rows
from ntkspec.export.budget import chunk_bytes
from ntkspec.export.compute import compute
from ntkspec.export.context import evaluation
from ntkspec.export.foretold import Forecast, planned, seconds_for
from ntkspec.export.plans import BlockPlan, Choices, given_roles, lay_out
from ntkspec.export.precisions import note_of_precision
from ntkspec.export.prepare import ExportWarning, Precision, Prepared, prepare, to_tensor
from ntkspec.export.probe import Probed, probe, until_it_holds
from ntkspec.export.regions.numbered import Regions
from ntkspec.export.tolerance import largest
from ntkspec.export.uses.find import forget_numbers
from ntkspec.jacobian import Jacobian
from ntkspec.machine.memory import budget_bytes

WORTH_A_NOTE = 4096  # numbers of a dense parameter


@dataclass(frozen=True)
class Options:
    """The options of an export. An invalid size raises `UsageError` at once."""

    roles: Roles | None = None
    precision: Precision = "float64"
    memory: float | None = None  # GiB that a chunk may take; None: see `chunk_bytes`
    chunk: int | None = None  # samples at a time; None: what fits the memory
    progress: bool = False
    foretell: bool = True  # with progress: what it will take
    say: Callable[[str], None] = lambda _: None  # called with a line for every chunk

    def __post_init__(self) -> None:
        if self.memory is not None:
            budget_bytes(self.memory)


@dataclass(frozen=True, eq=False)
class HostChunk:
    """Some consecutive samples, in NumPy."""

    start: int
    outputs: NDArray[np.floating]  # (m, c)
    jacobian: Jacobian
    regions: NDArray[np.int64] | None  # (m,) in every chunk or in none
    certain: bool  # samples that rounding could have put into another region have regions of their own


@dataclass(frozen=True)
class Exported:
    """A summary of a finished export."""

    plans: tuple[BlockPlan, ...]
    dense: dict[str, str]  # parameter -> why it is dense
    left_out: dict[str, str]  # parameter -> "frozen" or "unused"
    notes: tuple[str, ...]
    told: tuple[str, ...]  # more notes, given as warnings before the export
    regions: int | None  # how many; None: not a piecewise-linear network, see export.regions


_T = TypeVar("_T")
Stream = Iterator[HostChunk]
Consumer = Callable[[int, int, Stream], _T]  # (outputs c, bytes a sample, chunks); may be called again


@dataclass(frozen=True, eq=False)
class Work:
    """A model, its samples and what the probe found: ready to be exported."""

    prepared: Prepared
    x: Tensor  # (n, d)
    options: Options
    roles: Roles
    probed: Probed
    seconds: float  # that it took to get here, as every export of the model does

    def plans(self, choices: Choices) -> tuple[BlockPlan, ...]:
        """Return the plans of all blocks."""
        return lay_out(self.prepared, choices, self.roles)

    def chunk_size(self, plans: tuple[BlockPlan, ...]) -> int:
        """Return how many samples are computed at a time."""
        return self.options.chunk or self.probed.budget.chunk(plans)

    def timed(self, choices: Choices) -> tuple[Choices, float]:
        """Estimate the seconds of all chunks by computing some samples; return the choices that held, too."""

        def attempt(choices: Choices) -> float:
            plans = self.plans(choices)

            def compute_some(count: int) -> None:
                compute(self.prepared, plans, choices, self.x[:count], {})

            return seconds_for(compute_some, self.chunk_size(plans), len(self.x))

        return until_it_holds(self.prepared, self.x, choices, attempt)

    def forecast(self, choices: Choices, seconds: float = math.nan) -> Forecast:
        """Return what the export will take, in so many seconds; NaN if they are unknown."""
        plans, budget = self.plans(choices), self.probed.budget
        itemsize = 4 if choices.single else budget.itemsize
        outputs, n = budget.outputs, len(self.x)
        blocks = [
            block for plan in plans for block in planned(plan, plan.bytes_a_sample(outputs, itemsize), n)
        ]
        chunk = self.chunk_size(plans) * (budget.working(plans) + budget.stored(plans))
        return Forecast(n, outputs, tuple(blocks), seconds, self.prepared.nbytes + chunk)


@contextlib.contextmanager
def begun(model: nn.Module, inputs: NDArray[np.floating], options: Options) -> Iterator[Work]:
    """Copy the model, probe it and prepare torch; the export must run inside this context."""
    start = time.perf_counter()
    prepared = prepare(model, options.precision)
    roles = given_roles(prepared, options.roles)
    with evaluation(prepared.device, prepared.dtype):
        x = to_tensor(inputs, prepared)
        memory = chunk_bytes(options.memory, prepared.device)
        try:
            probed = probe(prepared, x, roles, memory)
            yield Work(prepared, x, options, roles, probed, time.perf_counter() - start)
        finally:
            forget_numbers()


def export(
    model: nn.Module, inputs: NDArray[np.floating], options: Options, consume: Consumer[_T]
) -> tuple[Exported, _T]:
    """Compute the Jacobian of `model` at `inputs` (n, d) and pass it to `consume`, chunk by chunk.

    If a chunk disproves the plan, the iterator of chunks raises an exception. `consume` must undo what it did
    and let the exception pass; it is then called again, with the chunks of a better plan.

    Returns:
        A summary, and what `consume` returned for the chunks of the plan that held.
    """
    with begun(model, inputs, options) as work:
        choices, budget = work.probed.choices, work.probed.budget
        if options.progress and options.foretell:
            choices, seconds = work.timed(choices)
            forecast = work.forecast(choices, seconds)
            Console(stderr=True).print(str(forecast), markup=False, highlight=False, soft_wrap=True)
        told: list[str] = []

        def attempt(choices: Choices) -> tuple[Exported, _T]:
            new = [line for line in work.forecast(choices).warnings if line not in told]
            for line in new:
                warnings.warn(line, ExportWarning, stacklevel=5)  # at the call of jacobian() or snapshot()
            told.extend(new)
            plans = work.plans(choices)
            regions = Regions(work.prepared.model, plans, choices)
            chunks = _chunks(work, plans, choices, regions)
            result = consume(budget.outputs, budget.stored(plans), chunks)
            return _exported(work, plans, choices, told, regions), result

        _, exported = until_it_holds(work.prepared, work.x, choices, attempt)
        return exported


def _chunks(work: Work, plans: tuple[BlockPlan, ...], choices: Choices, regions: Regions) -> Stream:
    single = choices.single or work.prepared.dtype == torch.float32
    dtype = np.dtype(np.float32 if single else np.float64)
    console, size = Console(stderr=True), work.chunk_size(plans)
    starts = range(0, len(work.x), size)
    seen = _Seen(work.probed.largest, {})
    shown = work.options.progress and console.is_terminal  # elsewhere a bar leaves only an empty line
    for start in track(starts, "Jacobian", console=console, disable=not shown, transient=True):
        work.options.say(f"Jacobian, {start} of {len(work.x)} samples")
        samples = work.x[start : start + size]
        try:
            outputs, jacobian, seen = _on_host(work.prepared, plans, choices, samples, dtype, seen)
        except ExportError:
            work.probed.start.require(work.prepared, choices)  # if it has changed, that is why
            raise
        numbers = regions.of(samples.clone())
        yield HostChunk(start, outputs, jacobian, numbers, regions.certain)
    work.probed.start.require(work.prepared, choices)  # before the consumer takes the stream for complete


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the chunks so far have shown."""

    largest: float  # output
    read: Mapping[str, Tensor]  # see `Chunk`


def _on_host(
    prepared: Prepared,
    plans: Sequence[BlockPlan],
    choices: Choices,
    x: Tensor,
    dtype: DTypeLike,
    before: _Seen,
) -> tuple[NDArray[np.floating], Jacobian, _Seen]:
    """Return the outputs and blocks at x (m, d) in NumPy; the device's are freed before the next chunk."""
    chunk = compute(prepared, plans, choices, x, before.read)
    seen = _Seen(max(before.largest, largest([chunk.outputs])), chunk.read)
    check_alone(prepared, choices, x, chunk, seen.largest)
    return chunk.outputs.cpu().numpy().astype(dtype, copy=False), chunk.to_jacobian(dtype), seen


def _exported(
    work: Work,
    plans: tuple[BlockPlan, ...],
    choices: Choices,
    told: Sequence[str],
    regions: Regions,
) -> Exported:
    prepared = work.prepared
    dense = {o.name: plan.reason for plan in plans if plan.kind == "dense" for o in plan.owned}
    unused = [owned.name for owned in prepared.trainable if owned.name in choices.unused]
    notes = prepared.notes + note_of_precision(prepared, work.x)
    if choices.single and prepared.dtype == torch.float64:
        notes += (
            "gradients agree to single precision alone, so the Jacobian is stored as float32: the model "
            "casts to it, or its samples depend on each other a little",
        )
    if unused:
        notes += (f"no output depends on {', '.join(unused)}: left out",)
    if choices.loop and dense:
        notes += (f"dense parameters one sample at a time, which is slow ({choices.loop})",)
    notes += tuple(
        f"{plan.owned[0].name} one sample at a time, which is slow ({plan.reason})"
        for plan in plans
        if plan.kind == "scanned"
    )
    notes += tuple(
        f"{owned.name} is dense in the role {plan.role!r}, though its rows are mostly zero; if it is a grid, "
        f"say roles={{{owned.name!r}: 'grid'}}"
        for plan in plans
        for owned in plan.owned
        if owned.name in work.probed.sparse and owned.size >= WORTH_A_NOTE and plan.role == "network"
    )
    left_out = dict.fromkeys(prepared.frozen, "frozen") | dict.fromkeys(unused, "unused")
    return Exported(plans, dense, left_out, notes, tuple(told), regions.count)


def forecast(
    model: nn.Module,
    inputs: ArrayLike,
    *,
    roles: Roles | None = None,
    precision: Precision = "float64",
    memory: float | None = None,
) -> Forecast:
    """Estimate size and time of a model's export from the Jacobian of a few samples; nothing is written.

    The export itself looks at all of them: a table that only others read differently is a grid there, and in
    the role "network" here.

    Args:
        model: maps (n, d) to (n, c), each sample on its own.
        inputs: (n, d), a tensor or an array: all the samples.
        roles: as for `RunExporter`.
        precision: "float64" (default) or "float32".
        memory: GiB that a chunk may take. Default: a quarter of what is free, at most 0.25.

    Returns:
        The blocks with their kind and size in bytes, and about how many seconds in all. Print it for a table.

    Raises:
        ExportError: the model has no per-sample Jacobian, or it cannot be computed.
        MemoryBudgetError: the Jacobian of a single sample does not fit into memory.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        >>> [(block.name, block.kind, block.bytes) for block in forecast(net, torch.rand(100, 2)).blocks]
        [('0', 'factors', 8800), ('2', 'factors', 8000)]
    """
    options = Options(roles, precision, memory)
    _load_what_differentiates()
    with begun(model, as_rows(inputs, "inputs"), options) as work:
        choices, seconds = work.timed(work.probed.choices)
        return work.forecast(choices, work.seconds + seconds)


def _load_what_differentiates() -> None:
    """Let torch import what it does at its first backward pass: a second that is no part of an export."""
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.ones((), requires_grad=True)
        torch.autograd.grad(x, x, torch.ones(()))
