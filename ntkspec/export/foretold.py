"""Forecasts of an export: sizes and time, before it begins."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec.display import counted, format_seconds, html_table, listed
from ntkspec.export.plans import BlockPlan
from ntkspec.machine.memory import format_bytes

WORTH_A_WARNING = 2 * 10**9  # bytes of a file
WORTH_A_LOOK = 10**8  # bytes of a file that one dense block is most of
TIMED_SECONDS = 1.0  # after which no more samples are tried

_KINDS = {
    "linear": "factors",
    "pairs": "factors",
    "lookup": "sparse",
    "rows": "sparse",
    "scanned": "sparse",
    "dense": "dense",
}


@dataclass(frozen=True)
class PlannedBlock:
    """A block as it will be exported."""

    name: str
    role: str
    kind: str  # "factors", "sparse" or "dense"
    bytes: int  # of all samples
    reason: str = ""  # why it is neither factors nor a lookup
    remedy: str = ""  # what would make it smaller


@dataclass(frozen=True, repr=False)
class Forecast:
    """A forecast of the export of one snapshot; print it for a table.

    Example:
        >>> blocks = (PlannedBlock("grid", "grid", "sparse", 88_000),)
        >>> print(Forecast(samples=100, outputs=3, blocks=blocks, seconds=float("nan")))
        block  role      kind          size
        grid   grid      sparse    85.9 KiB
        100 samples, 3 outputs: 85.9 KiB
    """

    samples: int
    outputs: int
    blocks: tuple[PlannedBlock, ...]
    seconds: float  # NaN: not asked for
    working: int = 0  # bytes of memory beside the model, on its device: a copy of it, and a chunk of samples

    @property
    def bytes(self) -> int:
        """Return the bytes of all blocks, as they will be in a run file."""
        return sum(block.bytes for block in self.blocks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a warning if the file is large, or if most of a sizeable one is a single dense block."""
        if not self.blocks:
            return ()
        largest = max(self.blocks, key=lambda block: block.bytes)
        mostly_dense = largest.kind == "dense" and 2 * largest.bytes > self.bytes >= WORTH_A_LOOK
        if self.bytes < WORTH_A_WARNING and not mostly_dense:
            return ()
        share = f"{format_bytes(largest.bytes)} of it for {largest.name}, {largest.kind}"
        why = f" because: {largest.reason}" if largest.reason else ""
        remedy = f"{largest.remedy}, or take fewer samples" if largest.remedy else "take fewer samples"
        return (f"a snapshot takes {format_bytes(self.bytes)}, {share}{why}; {remedy}",)

    def of_file(self, snapshots: int | None) -> str:
        """Return a line on a file of so many snapshots (None: not known): sizes, memory and time.

        Example:
            >>> blocks = (PlannedBlock("grid", "grid", "sparse", 88_000),)
            >>> Forecast(100, 3, blocks, seconds=2.5, working=4_000_000).of_file(20)
            '20 snapshots of 85.9 KiB, 1.68 MiB in all; each takes about 3.81 MiB of memory and 2 s'
        """
        count = "snapshots" if snapshots is None else counted(snapshot=snapshots)
        whole = "" if snapshots is None else f", {format_bytes(snapshots * self.bytes)} in all"
        cost = f"about {format_bytes(self.working)} of memory and {format_seconds(self.seconds)}"
        return f"{count} of {format_bytes(self.bytes)}{whole}; each takes {cost}"

    def lacking_room(self, path: Path, snapshots: int) -> str:
        """Return a warning if the disk of a file has less room than so many snapshots take, else ""."""
        free, needed = shutil.disk_usage(path.parent).free, snapshots * self.bytes
        if needed <= free:
            return ""
        return (
            f"{path.name} will take {format_bytes(needed)}, and the disk has {format_bytes(free)} free; "
            "record fewer steps or samples"
        )

    def __str__(self) -> str:
        """Return a table of the blocks and their sizes, with the time."""
        width = max([5, *(len(block.name) for block in self.blocks)])
        lines = [f"{'block':{width}}  {'role':8}  {'kind':7}  {'size':>9}"]
        for block in self.blocks:
            row = f"{block.name:{width}}  {block.role:8}  {block.kind:7}  {format_bytes(block.bytes):>9}"
            lines.append(f"{row}  {block.reason}".rstrip())
        return "\n".join([*lines, self._total])

    def __repr__(self) -> str:
        return f"Forecast({listed([block.name for block in self.blocks])}; {self._total})"

    def _repr_html_(self) -> str:
        """Return a table of the blocks, for notebooks."""
        rows = [(it.name, it.role, it.kind, format_bytes(it.bytes), it.reason) for it in self.blocks]
        return html_table(f"Forecast: {self._total}", ("block", "role", "kind", "size", ""), rows)

    @property
    def _total(self) -> str:
        about = "" if math.isnan(self.seconds) else f", about {format_seconds(self.seconds)}"
        return f"{counted(sample=self.samples, output=self.outputs)}: {format_bytes(self.bytes)}{about}"


def planned(plan: BlockPlan, bytes_a_sample: int, samples: int) -> list[PlannedBlock]:
    """Return the blocks of a plan; the levels of one table share its bytes equally."""
    size = bytes_a_sample * samples // len(plan.names)
    reason = f"one sample at a time: {plan.reason}" if plan.kind == "scanned" else plan.reason
    first, *others = (PlannedBlock(name, plan.role, _KINDS[plan.kind], size) for name in plan.names)
    return [replace(first, reason=reason, remedy=plan.form.remedy), *others]


def seconds_for(work: Callable[[int], object], at_once: int, samples: int) -> float:
    """Estimate how long some work takes for all samples, `at_once` a chunk, by doing a little of it.

    More and more samples are tried until they are a whole chunk, or the tries took long enough. What takes
    the same time for every chunk, such as a large table's gradient, is counted once a chunk; the second try
    shows it. A whole chunk is tried, too, if it seems to take at most five times as long as the last try.
    """
    chunk = min(at_once, samples)
    count, each = min(2, chunk), math.inf  # seconds of a sample, beside those of a chunk: not known yet
    work(count)  # the first time is slower
    spent = last = _time(work, count)
    while count < chunk:
        worth_it = each * (chunk - count) <= 4 * last
        if spent > TIMED_SECONDS and each < math.inf and not worth_it:
            return each * samples + (last - each * count) * -(-samples // chunk)
        fewer, less = count, last
        count = chunk if spent > TIMED_SECONDS and worth_it else min(4 * count, chunk)
        last = _time(work, count)
        spent += last
        each = min(max(last - less, 0.0) / (count - fewer), last / count)
    return last * samples / chunk


def _time(work: Callable[[int], object], samples: int) -> float:
    start = time.perf_counter()
    work(samples)
    return time.perf_counter() - start
