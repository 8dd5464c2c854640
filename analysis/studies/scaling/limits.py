"""The largest n that each limit leaves, from the same plans and constants as the tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ntkspec.backend.cpu import LAPACK_LIMIT, LAPACK_VECTORS_LIMIT
from ntkspec.backend.gpu import XSYEVD_LIMIT
from scaling.constants import Constants
from scaling.devices import GPU, LAPTOP, NODE, XSYEVD_MATRICES, fits
from scaling.routes import NUMBER, Work, seconds
from scaling.storage import Storage

HOUR, DAY = 3600.0, 86400.0
TERABYTE = 1e12
MOST = 10**9  # samples


@dataclass(frozen=True)
class Limit:
    """Something that ends at n samples."""

    n: int
    what: str
    why: str  # what the number comes from


def limits(at: Callable[[int], Work], machine: Constants, storage: Storage) -> list[Limit]:
    """Return the limits of one network's kernel, the first to be met first.

    Args:
        at: makes the kernel of n samples, of which nothing but sizes need be there.
        machine, storage: what was measured.
    """

    def within(route_seconds: float) -> int:
        return largest(lambda n: seconds("gram", at(n), machine, storage) <= route_seconds)

    def lanczos(n: int) -> float:
        return seconds("lanczos", at(n), machine, storage)

    plan, predicted, code = "the package's plan", "predicted seconds", "a constant of the code"
    return sorted(
        [
            Limit(largest(lambda n: fits("svd", at(n), LAPTOP)), "svd: memory of the laptop", plan),
            Limit(largest(lambda n: fits("svd", at(n), NODE)), "svd: memory of the node", plan),
            Limit(largest(lambda n: fits("gram", at(n), LAPTOP)), "gram: memory of the laptop", plan),
            Limit(largest(lambda n: fits("gram", at(n), GPU)), "gram: memory of the GPU, in place", plan),
            Limit(largest(lambda n: fits("gram", at(n), NODE)), "gram: memory of the node", plan),
            Limit(within(HOUR), "gram: an hour on this machine", predicted),
            Limit(within(DAY), "gram: a day on this machine", predicted),
            Limit(largest(lambda n: lanczos(n) <= DAY), "lanczos: a day on this machine", predicted),
            Limit(largest(lambda n: fits("lanczos", at(n), LAPTOP)), "lanczos: memory of the laptop", plan),
            Limit(LAPACK_LIMIT, "svd: SciPy's LAPACK counts entries in 32 bits", code),
            Limit(LAPACK_VECTORS_LIMIT, "eigenvectors: the faster driver counts in 32 bits", code),
            Limit(XSYEVD_LIMIT, "GPU: Xsyevd before CUDA 13 may be wrong beyond", code),
            Limit(
                math.isqrt(GPU.budget // (XSYEVD_MATRICES * NUMBER)),
                "GPU: Xsyevd's workspace in its memory",
                f"{XSYEVD_MATRICES} n^2 numbers",
            ),
            Limit(math.isqrt(int(TERABYTE) // NUMBER), "file: K takes a terabyte", "8 n^2 bytes"),
            Limit(
                largest(lambda n: NUMBER * n**2 / storage.write_rate <= DAY),
                "file: K takes a day on this disk",
                "measured rate",
            ),
        ],
        key=lambda limit: limit.n,
    )


def largest(holds: Callable[[int], bool]) -> int:
    """Return the largest n up to `MOST` for which something holds that holds for all smaller ones; 0 if none.

    Example:
        >>> largest(lambda n: n**2 <= 10**6)
        1000
    """
    low, high = 0, MOST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
