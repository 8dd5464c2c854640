"""The device that is measured, a clock that waits for it, and the kernels that it is measured on.

Beyond `Device.real` samples factors are those of a network's first ones over and over, each number times a
random one: shapes, sparsity and precision are the network's, the numbers nobody's. To differentiate a network
at so many points would take time for which the device is lent.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import networks
import numpy as np

from ntkspec.errors import MemoryBudgetError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.problem import Kernel

KERNEL = 0.95  # of the room that plans have on the device: the rest is for factors and tiles
Row = dict[str, Any]  # what was measured, its size n, numbers


@dataclass(frozen=True)
class Device:
    """The backend that is measured, and where PyTorch computes."""

    engine: Any
    torch: str = "cuda"
    once: int = 32_768  # rows from which everything is measured once
    real: int = 4096  # samples at which networks are differentiated, on the CPU

    @property
    def xp(self) -> Any:
        """CuPy."""
        return self.engine.xp

    def wait(self) -> None:
        """Wait until the device has done what it was asked for, by whichever library."""
        self.xp.cuda.Device().synchronize()

    def free(self) -> None:
        """Give back what the libraries hold of the device's memory and do not use."""
        self.xp.get_default_memory_pool().free_all_blocks()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def used(self) -> int:
        """Bytes of the device that are taken, by whomever."""
        free, total = self.xp.cuda.runtime.memGetInfo()
        return int(total - free)

    def largest(self) -> int:
        """Count the rows of the largest kernel that lies on the device, factors and tiles beside it."""
        return int((KERNEL * self.engine.room(0) / 8) ** 0.5) // 1024 * 1024

    def calls(self, n: int) -> int:
        """Choose how often a measurement at n rows is repeated: 5, 3 or 1 times."""
        return 5 if n < self.once // 2 else 3 if n < self.once else 1

    def factors(self, network: str, n: int) -> Jacobian:
        """Return a network's factors at n samples; beyond `real` made of those."""
        return real(network, n) if n <= self.real else enlarged(network, self.real, n)

    def timed(
        self,
        run: Callable[..., Any],
        calls: int,
        *,
        warm: int = 0,
        fresh: Callable[[], tuple[Any, ...]] = tuple,
    ) -> tuple[Row, Any]:
        """Return {"seconds", "calls"} and the last result, after `warm` untimed calls.

        Args:
            run: what is timed.
            fresh: its arguments, made anew for every call and not timed.
        """
        seconds: list[float] = []
        result = None
        for _ in range(warm + calls):
            result = None  # no result outlives the next call's start
            arguments = fresh()
            self.wait()
            start = time.perf_counter()
            result = run(*arguments)
            self.wait()
            seconds.append(time.perf_counter() - start)
            del arguments
        return {"seconds": statistics.median(seconds[warm:]), "calls": calls}, result


@functools.cache
def real(network: str, n: int) -> Jacobian:
    """Differentiate a network as initialised at n random points, on the CPU."""
    from ntkspec.export import jacobian

    return jacobian(networks.model(network), networks.inputs(n))


@functools.lru_cache(maxsize=1)
def enlarged(network: str, samples: int, n: int) -> Jacobian:
    """Make factors at n samples of a network's at fewer; see above."""
    rng = np.random.default_rng(0)
    repeated = real(network, samples).rows(np.arange(n) % samples)

    def disturbed(factor: Any) -> Any:
        if not factor.arrays:  # ones
            return factor
        return factor.map(lambda values: values * (0.5 + rng.random(values.shape)))

    blocks = [replace(b, left=disturbed(b.left), right=disturbed(b.right)) for b in repeated]
    return replace(repeated, blocks=tuple(blocks), regions=None)


def formed(device: Device, jacobian: Jacobian, precision: Any = "float64") -> Any:
    """Form a kernel on the device from factors on the host."""
    return assembled(Kernel(jacobian, precision=precision, backend=device.engine))


def assembled(kernel: Kernel) -> Any:
    """Form a kernel on the device.

    Raises:
        MemoryBudgetError: it would lie on the host.
    """
    plan = Assembly.from_kernel(kernel)
    if plan.on_host:
        raise MemoryBudgetError(
            f"kernel of {kernel.rows.samples} samples",
            expected="room for it on the device",
            got=f"a need of {plan.needed / 2**30:.0f} GiB",
            remedy="a larger device",
        )
    return plan.assemble()["total"]
