"""From a model and its samples to a stream of chunks, restarted when a chunk disproves the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from ntkspec.counts import whole_number
from ntkspec.export.chunk import Replan
from ntkspec.export.compute import compute
from ntkspec.export.context import evaluation
from ntkspec.export.layout import BlockPlan, Choices, Roles, check_roles, lay_out
from ntkspec.export.prepare import Precision, Prepared, prepare, to_tensor
from ntkspec.export.probe import WORKING_COPIES, Probed, probe, samples_that_fit
from ntkspec.export.regions import Regions, RegionsLost
from ntkspec.jacobian import Jacobian
from ntkspec.memory import GIB, available_bytes, budget_bytes

CHUNK_SHARE, CHUNK_LIMIT = 0.25, GIB // 4  # of what is free; by default a chunk works within the smaller

WORTH_A_NOTE = 4096  # parameters of a dense block


@dataclass(frozen=True)
class Options:
    """How to export. What is no size or count is refused at once, with `UsageError`."""

    roles: Roles | None = None
    precision: Precision = "float64"
    chunk: int | None = None  # samples at a time; None: what fits the memory
    memory: float | None = None  # GiB that a chunk may take; None: see CHUNK_SHARE
    progress: bool = False

    def __post_init__(self) -> None:
        if self.chunk is not None:
            whole_number(self.chunk, "chunk", 1)
        if self.memory is not None:
            budget_bytes(self.memory)


@dataclass(frozen=True)
class Part:
    """Some consecutive samples, in NumPy."""

    start: int
    outputs: NDArray[Any]  # (m, c)
    jacobian: Jacobian
    regions: NDArray[np.int64] | None  # (m,) in every part or in none
    certain: bool  # samples that rounding could have put into another region have regions of their own


@dataclass(frozen=True)
class Exported:
    """What was done, once it is done."""

    plans: tuple[BlockPlan, ...]
    dense: dict[str, str]  # parameter -> why it is dense
    left_out: dict[str, str]  # parameter -> "frozen" or "unused"
    notes: tuple[str, ...]
    regions: int | None  # how many; None: not a piecewise-linear network, see export.regions


Stream = Iterator[Part]
Consumer = Callable[[int, int, Stream], None]  # (outputs c, bytes a sample, parts); may be called again


def export(model: nn.Module, inputs: NDArray[Any], options: Options, consume: Consumer) -> Exported:
    """Hand the Jacobian of `model` at `inputs` (n, d) to `consume`, part by part.

    A part may disprove what was planned; then the iterator raises through `consume`, which must undo what it
    did, and `consume` is called again.
    """
    prepared = prepare(model, options.precision)
    check_roles(prepared, options.roles)
    with evaluation(prepared.device, prepared.dtype):
        x = to_tensor(inputs, prepared)
        budget = _budget(options, prepared.device)
        probed = probe(prepared, x, options.roles, budget)
        choices, numbered = probed.choices, True
        while True:
            plans = lay_out(prepared, choices, options.roles)
            stored = _bytes_a_sample(plans, probed, prepared)
            size = _chunk_size(plans, probed, prepared, options, budget, stored)
            regions = Regions(prepared.model, plans) if numbered else None
            try:
                consume(probed.outputs, stored, _parts(prepared, plans, choices, x, size, options, regions))
                return _exported(prepared, plans, choices, regions)
            except Replan as replan:
                choices = replan.choices
            except RegionsLost:
                numbered = False


def _parts(
    prepared: Prepared,
    plans: tuple[BlockPlan, ...],
    choices: Choices,
    x: Tensor,
    size: int,
    options: Options,
    regions: Regions | None,
) -> Stream:
    single = choices.single or prepared.dtype == torch.float32
    dtype = np.dtype(np.float32 if single else np.float64)
    console = Console(stderr=True)
    starts = range(0, len(x), size)
    for start in track(starts, "Jacobian", console=console, disable=not options.progress, transient=True):
        some = x[start : start + size]
        chunk = compute(prepared, plans, choices, some)
        outputs = chunk.outputs.cpu().numpy().astype(dtype, copy=False)
        numbers = regions.of(some.clone()) if regions else None
        certain = regions is not None and regions.certain
        yield Part(start, outputs, chunk.to_jacobian(dtype), numbers, certain)


def _budget(options: Options, device: torch.device) -> int:
    if options.memory is not None:
        return budget_bytes(options.memory)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    return int(min(CHUNK_SHARE * free, CHUNK_LIMIT))


def _bytes_a_sample(plans: tuple[BlockPlan, ...], probed: Probed, prepared: Prepared) -> int:
    """Bytes of all blocks; a dense block that a check after the probe demanded is counted by its width."""
    dense = sum(plan.width for plan in plans if plan.kind == "dense")
    return max(probed.stored, dense * probed.outputs * prepared.dtype.itemsize)


def _chunk_size(
    plans: tuple[BlockPlan, ...],
    probed: Probed,
    prepared: Prepared,
    options: Options,
    budget: int,
    stored: int,
) -> int:
    """Samples at a time."""
    if options.chunk is not None:
        return whole_number(options.chunk, "chunk", 1)
    most = samples_that_fit(plans, probed.outputs, prepared.dtype.itemsize, budget)
    per_sample = 2 * probed.saved + WORKING_COPIES * stored
    return max(min(most, budget // max(per_sample, 1)), 1)


def _exported(
    prepared: Prepared,
    plans: tuple[BlockPlan, ...],
    choices: Choices,
    regions: Regions | None,
) -> Exported:
    dense = {o.name: plan.reason for plan in plans if plan.kind == "dense" for o in plan.owned}
    unused = [owned.name for owned in prepared.trainable if owned.name in choices.unused]
    notes = prepared.notes
    if choices.single and prepared.dtype == torch.float64:
        notes += ("gradients agree to single precision alone, so the Jacobian is stored as float32",)
    if unused:
        notes += (f"no output depends on {', '.join(unused)}: left out",)
    if choices.loop and dense:
        notes += (f"dense parameters one sample at a time, which is slow ({choices.loop})",)
    notes += tuple(
        f"{plan.name} is stored as a dense block of {plan.width} parameters in the role {plan.role!r}; "
        f"if it is a grid, say roles={{{plan.name!r}: 'grid'}}"
        for plan in plans
        if plan.kind == "dense" and plan.width >= WORTH_A_NOTE and plan.role == "network"
    )
    left_out = dict.fromkeys(prepared.frozen, "frozen") | dict.fromkeys(unused, "unused")
    return Exported(plans, dense, left_out, notes, regions.count if regions else None)
