"""Try to break the certified bounds: many hostile kernels, exact truth.

Every case is a small Jacobian of doubles (or floats): random, graded over 24 decades, clustered, nearly or
exactly singular, cancelling, scaled, then permuted. Its kernel is formed exactly, in rationals; lambda_min is
also computed by mpmath in 60 digits. A certified bound is violated if K - s I has a negative pivot (lower) or
none that is not positive (upper).

Run: `make certify`; it prints a summary as JSON, writes it where asked to, and exits 1 on a violation.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases
import oracles

from hostile import search
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, Outputs, SparseFactor
from ntkspec.spectral import bounds

DIGITS = 60
Generator = np.random.Generator
Result = tuple[str, list[str], float | None]


def dense(rows: np.ndarray) -> Jacobian:
    """A plain Jacobian (n, p) of one output."""
    return Jacobian((cases.block("theta", None, DenseFactor(rows[:, None, :]), len(rows), 1),))


def random(rng: Generator, n: int) -> Jacobian:
    """Plain normal rows, of fewer, as many or more parameters than rows, in either precision."""
    rows = rng.standard_normal((n, int(rng.integers(1, 2 * n + 2))))
    return dense(rows.astype(np.float32) if rng.random() < 0.3 else rows)


def graded(rng: Generator, n: int) -> Jacobian:
    """Rows, columns or both over up to 24 decades."""
    rows = rng.standard_normal((n, n + int(rng.integers(0, 3))))
    rows *= 10.0 ** rng.uniform(-12, 12, (n, 1)) ** rng.integers(0, 2)
    return dense(rows * 10.0 ** rng.uniform(-12, 12, (1, rows.shape[1])) ** rng.integers(0, 2))


def clustered(rng: Generator, n: int) -> Jacobian:
    """Singular values in two clusters, up to 16 decades apart."""
    q, r = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    low = 10.0 ** rng.uniform(-16, 0)
    values = np.where(rng.random(n) < 0.5, 1.0, low) * (1 + 1e-14 * rng.standard_normal(n))
    return dense((q * values) @ r)


def near_singular(rng: Generator, n: int) -> Jacobian:
    """A row that is another one, or a sum of two, but for a whiff of noise, or for nothing at all."""
    rows = rng.standard_normal((n, n + 1))
    noise = 10.0 ** rng.uniform(-18, -2) * (rng.random() < 0.7)
    rows[-1] = rows[0] + (rows[1] if n > 2 else 0) + noise * rng.standard_normal(n + 1)
    return dense(rows)


def integers(rng: Generator, n: int) -> Jacobian:
    """Small integers: often exactly singular, and no rounding at all."""
    return dense(rng.integers(-2, 3, (n, n)).astype(float))


def factored(rng: Generator, n: int) -> Jacobian:
    """A dense and a sparse block whose colliding entries cancel but for their last digits."""
    left = SparseFactor(rng.integers(-1, 4, (n, 3)), rng.standard_normal((n, 1, 3)), 4)
    spoilt = np.where(
        rng.random((n, 1, 1)) < 0.3, -left.values[:, :, :1] * (1 + 2e-16), left.values[:, :, 1:2]
    )
    left.values[:, :, 1:2] = spoilt
    right = DenseFactor(rng.standard_normal((n, 1, 2)) * 10.0 ** rng.uniform(-6, 6))
    blocks = [cases.block("grid", left, right, n, 1, "grid")]
    if rng.random() < 0.7:
        blocks.append(cases.block("layer", cases.dense(rng, n, 1, 3), cases.dense(rng, n, 1, 2), n, 1))
    return Jacobian(tuple(blocks))


def scaled(rng: Generator, n: int) -> Jacobian:
    """Numbers near the ends of what the package admits."""
    return dense(rng.standard_normal((n, n + 1)) * 10.0 ** rng.choice([-70, -40, 40, 70]))


def uneven(rng: Generator, n: int) -> Jacobian:
    """Factors whose rows differ by many decades, each against the other; some squares underflow."""
    powers = rng.uniform(-160, 70, n) if rng.random() < 0.5 else rng.uniform(-30, 30, n)
    left = DenseFactor((rng.standard_normal((n, n)) * 10.0 ** powers[:, None])[:, None])
    back = np.clip(-powers + rng.uniform(-5, 5, n), -74, 74)
    right = DenseFactor(rng.standard_normal((n, 1, 2)) * 10.0 ** back[:, None, None])
    if rng.random() < 0.3:
        left.values[...] = np.diag(np.abs(left.values[:, 0, 0]))[:, None]
    return Jacobian((cases.block("layer", left, right, n, 1),))


def outputs_and_blocks(rng: Generator, n: int) -> Jacobian:
    """Two outputs, dense and sparse blocks of every kind, in either precision."""
    dtype = np.float32 if rng.random() < 0.3 else np.float64
    made = list(cases.blocks(n, 2, int(rng.integers(1 << 30)), dtype).values())
    narrow = [block for block in made if block.width < 100]  # exact arithmetic on hundreds of columns is slow
    kept = [block for block in narrow if rng.random() < 0.4] or narrow[:1]
    return Jacobian(tuple(kept))


KINDS: tuple[Callable[[Generator, int], Jacobian], ...] = (
    random,
    graded,
    clustered,
    near_singular,
    integers,
    factored,
    scaled,
    uneven,
    outputs_and_blocks,
)


def permuted(jacobian: Jacobian, order: np.ndarray) -> Jacobian:
    """The same samples in another order."""

    return jacobian.rows(order)


def definite(kernel: list[list[Fraction]], shift: float) -> int:
    """1 if K - shift I is positive definite, 0 if only semidefinite, -1 if neither; exact elimination."""
    matrix = [
        [v - (Fraction(shift) if i == j else 0) for j, v in enumerate(row)] for i, row in enumerate(kernel)
    ]
    verdict, size = 1, len(matrix)
    for k in range(size):
        if matrix[k][k] < 0:
            return -1
        if matrix[k][k] == 0:
            if any(matrix[k][j] for j in range(k + 1, size)):
                return -1
            verdict = 0
            continue
        for i in range(k + 1, size):
            share = matrix[i][k] / matrix[k][k]
            matrix[i] = [a - share * b for a, b in zip(matrix[i], matrix[k], strict=True)]
    return verdict


def exact_eigenvalues(kernel: list[list[Fraction]]) -> tuple[list[mpmath.mpf], mpmath.mpf]:
    """Descending, and what they may be off by: 100 digits below the smallest diagonal entry."""
    entries = [row[i] for i, row in enumerate(kernel) if row[i]]
    decades = (max(entries) / min(entries)).__ceil__().bit_length() // 3 if entries else 0
    with mpmath.workdps(2 * DIGITS + decades):
        exact = mpmath.matrix([[mpmath.mpf(v.numerator) / v.denominator for v in row] for row in kernel])
        off = mpmath.mpf(10) ** (10 - mpmath.mp.dps) * max(map(abs, exact), default=0)
        return sorted(mpmath.eigsy(exact, eigvals_only=True), reverse=True), off


def try_one(seed: int) -> Result:
    """One case: its kind, its violations, and the decades between both bounds where the lower is positive."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    n = int(rng.integers(1, 5))
    jacobian = permuted(kind(rng, max(n, 2)), rng.permutation(max(n, 2)))
    outputs: Outputs = "trace" if jacobian.outputs == 1 else ("trace", "full", 0, 1)[int(rng.integers(4))]
    try:
        found = bounds.certified(jacobian, outputs, memory=1.0)
    except UsageError:  # out of the range that the package admits
        return f"{kind.__name__}, refused", [], None
    lower, upper = (float(bound.values[0]) for bound in found)
    kernel = oracles.exact_kernel(jacobian, outputs)
    (*_, truth), off = exact_eigenvalues(kernel)
    wrong = []
    if definite(kernel, lower) < 0:
        wrong.append(f"lower {lower!r} of seed {seed}")
    if definite(kernel, upper) > 0:
        wrong.append(f"upper {upper!r} of seed {seed}")
    if not (lower <= truth + off and truth - off <= upper):
        wrong.append(f"mpmath {float(truth)!r} outside [{lower!r}, {upper!r}] of seed {seed}")
    return kind.__name__, wrong, float(np.log10(upper / lower)) if lower > 0 else None


def try_many(seeds: range) -> list[Result]:
    """A batch of cases."""
    return [try_one(seed) for seed in seeds]


def summary(results: list[Result]) -> dict[str, object]:
    """Counts by kind, violations, and how wide the enclosures are."""
    kinds = Counter(kind for kind, _, _ in results)
    positive = Counter(kind for kind, _, width in results if width is not None)
    widths = {
        kind: [width for other, _, width in results if other == kind and width is not None] for kind in kinds
    }
    return {
        "cases": len(results),
        "violations": [text for _, wrong, _ in results for text in wrong],
        "kinds": {
            kind: {
                "cases": count,
                "violations": sum(len(wrong) for other, wrong, _ in results if other == kind),
                "proved positive": positive[kind],
                "median decades between the bounds": round(float(np.median(widths[kind])), 4)
                if widths[kind]
                else None,
            }
            for kind, count in sorted(kinds.items())
        },
    }


if __name__ == "__main__":
    sys.exit(search.main(__doc__, 100_000, try_many, summary))
