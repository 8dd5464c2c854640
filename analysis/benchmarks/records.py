"""What is a benchmark, and what does it leave? The records that all of them share. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pictures

HEADER = f"{'network':<13}{'samples':>7} {'dtype':<8} {'contender':<26}" + (
    f"{'median':>9}{'min':>9}{'max':>9}{'calls':>7}{'peak MiB':>10}  error"
)


@dataclass(frozen=True)
class Case:
    """One contender on one network at one size."""

    network: str
    samples: int
    contender: str
    dtype: str = "float64"
    folder: str = ""  # what `prepare` wrote


@dataclass(frozen=True)
class Work:
    """A contender that is set up."""

    run: Callable[..., Any]  # what is timed
    facts: Callable[[Any], dict[str, Any]]  # of the last result, such as its error; not timed
    fresh: Callable[[], tuple[Any, ...]] = tuple  # arguments, made anew for every call; not timed
    children: bool = False  # the work is done by child processes: peak memory is the largest child's


@dataclass(frozen=True)
class Contender:
    """How to set a contender up, and in which environment."""

    set_up: Callable[[Case], Work]
    peer: str | None = None  # of peers.py; None: the project's own environment


@dataclass(frozen=True)
class Row:
    """What was measured of a case."""

    network: str
    samples: int
    dtype: str
    contender: str
    status: str = "ok"  # or "failed: why", "not run: why"
    median_s: float = 0.0
    min_s: float = 0.0
    max_s: float = 0.0
    calls: int = 0
    peak_bytes: int = 0  # of the whole process
    start_bytes: int = 0  # resident after the first call at SMALL, before the set-up at full size
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str]:
        """Rows that share it can be compared."""
        return self.network, self.samples, self.dtype

    def line(self) -> str:
        """For people; columns as in HEADER."""
        name = f"{self.network:<13}{self.samples:>7} {self.dtype:<8} {self.contender:<26}"
        if self.status != "ok":
            return f"{name}  {self.status}"
        times = "".join(f"{seconds:9.4f}" for seconds in (self.median_s, self.min_s, self.max_s))
        error = f"{self.facts['error']:.1e}" if "error" in self.facts else "-"
        return f"{name}{times}{self.calls:>7}{self.peak_bytes / 2**20:>10.0f}  {error}"


@dataclass(frozen=True)
class Benchmark:
    """A question, the work that answers it, and how rows are compared."""

    name: str
    question: str
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    prepare: Callable[[Path, Sequence[int]], dict[str, Any]]  # writes what contenders read; returns facts
    contenders: Mapping[str, Contender]
    cases: Callable[[Sequence[int]], Iterable[Case]]  # in the order they run
    versus: tuple[tuple[str, str], ...] = ()  # (other, ours): ratios other / ours
    finish: Callable[[Sequence[Row], Mapping[str, Any]], dict[str, list[dict[str, Any]]]] = lambda *_: {}
    picture: Callable[[dict[str, Any], Path], None] = pictures.bars


def compare(rows: Sequence[Row], versus: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Ratios other / ours of median and smallest times and of peak memory, wherever both ran."""
    found = {(row.key, row.contender): row for row in rows if row.status == "ok"}
    ratios = []
    for key in dict.fromkeys(row.key for row in rows):
        for other, ours in versus:
            a, b = found.get((key, other)), found.get((key, ours))
            if a and b:
                pair = {**name_of(a), "contender": f"{other} / {ours}", "other": other, "ours": ours}
                times = {"median": a.median_s / b.median_s, "min": a.min_s / b.min_s}
                ratios.append(pair | times | {"peak": a.peak_bytes / b.peak_bytes})
    return ratios


def derived(row: Row, **values: float) -> dict[str, Any]:
    """Numbers that `finish` computes from a row."""
    return name_of(row) | values


def name_of(row: Row) -> dict[str, Any]:
    return {key: getattr(row, key) for key in ("network", "samples", "dtype", "contender")}


def plain(row: Row) -> dict[str, Any]:
    """A row as it stands in the JSON: its facts beside its times, or why there are none."""
    if row.status != "ok":
        return {**name_of(row), "status": row.status}
    values = asdict(row)
    return values | dict(values.pop("facts"))
