"""How far every kernel of a run has moved from that of its first snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.distance import distances
from ntkspec.kernel.problem import CACHE_ROOM, Kernel
from ntkspec.kernel.value_range import check_range
from ntkspec.spectral.ablation import sums_of_blocks

# Multiplications for one snapshot, a minute or two on two cores: where eigenvalues are found without forming
# the kernel, the distance must not take longer than they do.
MOST = 1e12
ZERO = "a kernel that is zero has no direction"


@dataclass(frozen=True)
class KernelDistance:
    """The distance of a kernel from that of the run's first snapshot, see `ntkspec.kernel_distance`."""

    value: float | None  # 0 to 1; None where there is none
    reference: str  # id of the first snapshot
    reason: str = ""  # why there is none


@dataclass(frozen=True)
class Reference:
    """A run's first snapshot, from which the distances of the others are measured."""

    id: str
    parts: Mapping[str, Jacobian]  # its sums of blocks, by name

    @staticmethod
    def from_snapshot(id: str, jacobian: Jacobian, drop: Sequence[Sequence[str]], budget: int) -> Reference:
        """Make a reference of a snapshot. A Jacobian that is small enough is read into memory, once for all.

        Args:
            id: of the snapshot.
            jacobian: of the samples to analyse.
            drop: ablations, as for `sums_of_blocks`; those that this snapshot does not have are left out.
            budget: bytes.
        """
        if CACHE_ROOM * jacobian.nbytes <= budget:
            jacobian = jacobian.load()
        had = [words for words in drop if _can_drop(jacobian, words)]
        return Reference(id, sums_of_blocks(jacobian, had))

    def distances(self, id: str, kernels: Mapping[str, Kernel]) -> dict[str, KernelDistance]:
        """Measure the distance of every kernel of a snapshot from the one of its name at the first snapshot.

        Args:
            id: of the snapshot.
            kernels: name -> kernel of a sum of its blocks; "total" is that of all of them.

        Returns:
            name -> distance, or why there is none: other parameters, a kernel that is zero or out of range,
            too little memory or too much work.
        """
        if id == self.id:  # the same kernels, whose distance is exactly 0
            return {name: self._value(0.0 if kernel.trace else None) for name, kernel in kernels.items()}
        refused = {name: self._refused(name, kernel) for name, kernel in kernels.items()}
        names = [name for name, reason in refused.items() if not reason]
        measured: Mapping[str, float | None] = {}
        if names:
            try:
                measured = distances(
                    kernels["total"],
                    {name: self.parts[name] for name in names},
                    {name: kernels[name].rows for name in names},
                )
            except (MemoryBudgetError, UsageError) as error:  # the spectra are kept nevertheless
                refused.update(dict.fromkeys(names, error.fault))
        return {
            name: self._none(reason) if reason else self._value(measured[name])
            for name, reason in refused.items()
        }

    def _refused(self, name: str, kernel: Kernel) -> str:
        """Say why a sum of blocks cannot be measured, or "" where it can."""
        then, now = self.parts.get(name), kernel.rows
        if then is None:
            return f"the first snapshot has no kernel {name}"
        if (then.samples, then.outputs) != (now.samples, now.outputs):
            return f"the first snapshot has {then.samples} samples and {then.outputs} outputs"
        if then.width != now.width:  # blocks may differ: their forms depend on the values of the parameters
            return "the first snapshot has other parameters"
        work = now.samples**2 * _numbers_a_sample(now)
        if work > MOST:
            return (
                f"both kernels take about {work:.0e} multiplications, more than {MOST:.0e}; "
                "ntkspec.kernel_distance computes it nevertheless"
            )
        try:
            check_range(kernel.replaced(rows=then), f"kernel {name} of the first snapshot")
        except UsageError as error:
            return error.fault
        return ""

    def _value(self, value: float | None) -> KernelDistance:
        return self._none(ZERO) if value is None else KernelDistance(value, self.id)

    def _none(self, reason: str) -> KernelDistance:
        return KernelDistance(None, self.id, reason)


def _can_drop(jacobian: Jacobian, words: Sequence[str]) -> bool:
    try:
        jacobian.without(*words)
    except UsageError:
        return False
    return True


def _numbers_a_sample(jacobian: Jacobian) -> float:
    """Count the stored numbers of a sample: two kernels take N^2 times as many multiplications."""
    return sum(block.nbytes / block.dtype.itemsize for block in jacobian) / jacobian.samples
