"""Would a block of several pairs of factors pay, for a matrix that a sample uses several times?

Its Jacobian is a sum over the T uses, J[i] = sum_t left_t[i] (x) right_t[i]. Stored as T pairs it takes
T (a + c b) numbers a sample, dense a b c; its kernel takes T^2 small Gram matrices of either side. The table
of docs/adr/0027-pairs-of-factors.md has the smallest of three times. NumPy makes both kernels, of random
numbers.

    OMP_NUM_THREADS=1 python analysis/studies/several_uses.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import markdown

TURNS = 3


@dataclass(frozen=True)
class Use:
    """A matrix (a, b) that each sample uses `times` times."""

    where: str
    a: int
    b: int
    times: int


USES = (
    Use("Linear 64, twice", 65, 64, 2),
    Use("Linear 256, twice", 257, 256, 2),
    Use("Linear 256, 8 steps of a recurrence", 257, 256, 8),
    Use("Linear 256, 32 steps", 257, 256, 32),
    Use("TransformerEncoderLayer, 9 tokens of 192: attention out", 193, 192, 9),
    Use("TransformerEncoderLayer, 9 tokens of 192: feed-forward to 768", 193, 768, 9),
    Use("TransformerEncoderLayer, 65 tokens of 192: feed-forward to 768", 193, 768, 65),
    Use("Conv2d 3 x 3, 3 to 64, at 16 x 16", 28, 64, 256),
    Use("Conv2d 3 x 3, 64 to 64, at 8 x 8", 577, 64, 64),
    Use("Conv2d 3 x 3, 256 to 256, at 2 x 2", 2305, 256, 4),
    Use("Conv2d 3 x 3, 512 to 512, at 2 x 2", 4609, 512, 4),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=256, help="samples (default: %(default)s)")
    n: int = parser.parse_args().n
    rows = [_row(use, n) for use in USES]
    print(f"n = {n}, c = 1, NumPy {np.__version__}\n")
    print(markdown(["matrix", "uses", "bytes, dense / pairs", "kernel time, dense / pairs"], rows))


def _row(use: Use, n: int) -> list[str]:
    rng = np.random.default_rng(0)
    left = rng.standard_normal((use.times, n, use.a))
    right = rng.standard_normal((use.times, n, use.b))
    dense = np.einsum("tna,tnb->nab", left, right, optimize=True).reshape(n, -1)
    dense_time, expected = _least(lambda: dense @ dense.T)
    pairs_time, found = _least(lambda: _kernel_of_pairs(left, right))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    size = dense.nbytes / (left.nbytes + right.nbytes)
    return [
        f"{use.where}, {use.a} x {use.b}",
        str(use.times),
        f"{size:.2g}",
        f"{dense_time / pairs_time:.2g}",
    ]


def _kernel_of_pairs(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """sum_st (left_s left_t^T) o (right_s right_t^T), the pairs (s, t) and (t, s) at once."""
    kernel = np.zeros((left.shape[1], left.shape[1]))
    for s in range(len(left)):
        kernel += (left[s] @ left[s].T) * (right[s] @ right[s].T)
        for t in range(s):
            product = (left[s] @ left[t].T) * (right[s] @ right[t].T)
            kernel += product + product.T
    return kernel


def _least(work: Callable[[], NDArray[Any]]) -> tuple[float, NDArray[Any]]:
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


if __name__ == "__main__":
    main()
