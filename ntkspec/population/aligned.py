"""Compute in which modes of a run's kernels its targets lie: a small result to keep, without bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.distance import kernel_distance
from ntkspec.population.kept import ResultKind, is_of
from ntkspec.population.made_by import made_by
from ntkspec.population.outcomes import curve_of, known_range, short
from ntkspec.spectral.alignment import alignment
from ntkspec.store import open_run

LEADING = 128  # modes
HELD = 0.9  # share of the targets' square that the leading modes are to hold

Range = tuple[float, float]  # between which a number lies; equal where it is known


@dataclass(frozen=True)
class Aligned:
    """The alignment of the targets with the kernels of one run: one configuration, one picture or mesh."""

    item: str
    name: str  # of the run file
    config: Mapping[str, Any]
    samples: int
    metrics: Mapping[str, float]  # of the last snapshot
    # Label of a snapshot -> share of the targets beyond the leading modes, "beyond"; how many modes hold 90%
    # of them, "modes"; the kernel's "lambda_min"; its "distance" from that of the first snapshot.
    snapshots: Mapping[str, Mapping[str, Range]]
    made: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Return the seed of the training, which several items may share."""
        return int(self.config.get("seed", 0))


def aligned(run_file: Path) -> Aligned:
    """Measure every snapshot of a run file against the targets in it.

    Raises:
        NtkspecError: the run file is bad, or has no targets.
    """
    with open_run(run_file) as run:
        if run.targets is None:
            raise UsageError(
                str(run_file), expected="targets", got="none", remedy="write them with the run file"
            )
        first, targets = run.snapshots[0].jacobian.load(), np.asarray(run.targets)
        return Aligned(
            item=run_file.parent.name,
            name=run_file.stem,
            config={key: value for key, value in run.config.items() if key != "training"},
            samples=run.samples,
            metrics={name: short(value) for name, value in run.snapshots[-1].metrics.items()},
            snapshots={each.label: _numbers(each.jacobian.load(), first, targets) for each in run.snapshots},
            made=made_by(),
        )


def _numbers(jacobian: Jacobian, first: Jacobian, targets: NDArray[Any]) -> dict[str, Range]:
    # Finer methods take many times as long, for what is at most some 1e-14 of the largest eigenvalue.
    found = alignment(jacobian, targets, method="gram", backend="cpu")
    beyond = found.beyond(LEADING)
    # In either order: of a share that is the one asked for, but for rounding, both counts are true.
    modes = found.more_than(HELD) + 1, found.modes(HELD) or found.size
    distance = kernel_distance(first, jacobian, backend="cpu")
    numbers = {
        # What modes that are not resolved hold may be beyond the leading ones, or among them.
        "beyond": (beyond if len(found.target) >= LEADING else 0.0, beyond),
        "modes": (min(modes), max(modes)),
        "lambda_min": known_range(curve_of(found.spectrum)),
        "distance": (distance, distance),
    }
    return {name: (short(low), short(high)) for name, (low, high) in numbers.items()}


def from_dict(content: Mapping[str, Any]) -> Aligned:
    """Return the `Aligned` from which `dataclasses.asdict` made these values.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the values are those of something else, or a
            number is missing.
    """
    snapshots = {
        label: {name: (float(low), float(high)) for name, (low, high) in numbers.items()}
        for label, numbers in content["snapshots"].items()
    }
    found = Aligned(**{**content, "snapshots": snapshots})
    ends = [end for numbers in snapshots.values() for both in numbers.values() for end in both]
    if not all(map(math.isfinite, [found.samples, found.seed, *found.metrics.values(), *ends])):
        raise ValueError("a number that is none")
    return found


ALIGNED: ResultKind[Aligned] = ResultKind(
    name="aligned",
    title="an alignment",
    version=1,
    make=aligned,
    to_tree=asdict,
    from_tree=from_dict,
    belongs=is_of,
)
