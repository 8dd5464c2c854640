"""Try to break stated errors, floors and ranks: many structured spectra, exact truth.

Kernels of small Jacobians are formed exactly, in rationals, and their eigenvalues computed in 60 digits;
those of large ones are prescribed. By every route and in every mode, an eigenvalue that is called resolved
must be within its stated error, one that is not must lie below what it is said to be at most, and a kernel
that is called singular must have that rank in exact arithmetic.

Run: `make spectra`; it prints a summary as JSON, writes it where asked to, and exits 1 on a violation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases
import oracles

import ntkspec
from hostile import search
from hostile.certify import KINDS as OF_BOUNDS
from hostile.certify import exact_eigenvalues
from ntkspec.errors import NtkspecError
from ntkspec.jacobian import DenseFactor, Factor, Jacobian, Outputs, SparseFactor

NARROW = 40  # columns of J up to which its rank is computed in rationals
Generator = np.random.Generator
Case = tuple[Jacobian, list[mpmath.mpf] | None]  # with its eigenvalues, if they are prescribed


def one_block(left: Factor | None, right: Factor | None, n: int, c: int = 1) -> Jacobian:
    """A Jacobian of one block."""
    return Jacobian((cases.block("theta", left, right, n, c),))


def one_sign(rng: Generator) -> Case:
    """Constant factors, up to 700 wide, of one or several blocks: all roundings of a sum go one way."""
    n, dtype = int(rng.integers(2, 5)), rng.choice([np.float64, np.float32])
    blocks = []
    for k in range(int(rng.integers(1, 4))):
        widths = rng.integers(1, rng.choice([8, 140, 700]), 2)
        signs = rng.choice([-1.0, 1.0], (n, 1, 1)) if rng.random() < 0.3 else np.ones((n, 1, 1))
        left, right = (
            DenseFactor((signs * np.full((n, 1, width), rng.uniform(0.5, 2))).astype(dtype))
            for width in widths
        )
        blocks.append(cases.block(f"{k}", left if rng.random() < 0.8 else None, right, n, 1, order=k))
    return Jacobian(tuple(blocks)), None


def one_sign_in_order(rng: Generator) -> Case:
    """Sparse rows of one sign, whose products are added up entry by entry, over one or two outputs."""
    n, k, c = int(rng.integers(2, 5)), int(rng.integers(1, 300)), int(rng.integers(1, 3))
    columns = int(rng.choice([1, 4, k, 4 * k]))
    indices = np.tile(rng.integers(0, columns, k), (n, 1))
    value = float(rng.uniform(0.5, 2))
    dense = DenseFactor(np.full((n, c, int(rng.integers(1, 150))), float(rng.uniform(0.5, 2))))
    if rng.random() < 0.5:
        return one_block(SparseFactor(indices, np.full((n, 1, k), value), columns), dense, n, c), None
    left = DenseFactor(dense.values[:, :1]) if rng.random() < 0.5 else None
    return one_block(left, SparseFactor(indices, np.full((n, c, k), value), columns), n, c), None


def cancelling(rng: Generator) -> Case:
    """Colliding entries that cancel but for a small rest, in one output or sample and not in another."""
    n, c = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    small = 10.0 ** rng.uniform(-17, 0)
    values = np.stack([np.ones((n, c)), small * rng.standard_normal((n, c)), -np.ones((n, c))], axis=2)
    values[:, rng.random(c) < 0.4] = 1.0
    values *= 10.0 ** rng.uniform(-20, 20)
    columns = int(rng.integers(1, 3))
    factor = SparseFactor(np.zeros((n, 3), np.int64), values, columns)
    beside = DenseFactor(rng.standard_normal((n, 1, 2)) * 10.0 ** rng.uniform(-8, 8))
    if rng.random() < 0.3:
        left = SparseFactor(factor.indices, values[:, :1], columns)
        return one_block(left, DenseFactor(rng.standard_normal((n, c, 2))), n, c), None
    return one_block(beside if rng.random() < 0.6 else None, factor, n, c), None


def close_rows(rng: Generator) -> Case:
    """Rows that are equal, or differ in their last bits, or are zero; columns that are zero."""
    n, p, dtype = int(rng.integers(2, 7)), int(rng.integers(1, 9)), rng.choice([np.float64, np.float32])
    rows = rng.standard_normal((n, p)).astype(dtype)
    for i in range(1, n):
        if rng.random() < 0.5:
            rows[i] = rows[i - 1]
        if rng.random() < 0.4:
            at = rng.integers(p)
            rows[i, at] += rng.integers(-2, 3) * np.spacing(abs(rows[i, at]))
    rows *= (rng.random((n, 1)) < 0.9) * (rng.random((1, p)) < 0.9)
    left = DenseFactor(rng.integers(0, 2, (n, 1, 2)).astype(dtype)) if rng.random() < 0.4 else None
    return one_block(left, DenseFactor(rows[:, None]), n), None


def uneven_factors(rng: Generator) -> Case:
    """Factors of very different size, whose product is moderate; or rows of one against the other."""
    n, dtype = int(rng.integers(2, 5)), rng.choice([np.float64, np.float32])
    most = 30 if dtype == np.float32 else 140
    powers = rng.uniform(-most, most, 1 if rng.random() < 0.5 else n)[:, None, None]
    left = (rng.standard_normal((n, 1, 3)) * 10.0**powers).astype(dtype)
    right = (rng.standard_normal((n, 1, 3)) * 10.0 ** (rng.uniform(-3, 3) - powers)).astype(dtype)
    return one_block(DenseFactor(left), DenseFactor(right), n), None


def clusters(rng: Generator) -> Case:
    """A diagonal Jacobian whose eigenvalues are few, many times over, up to 1e-12 apart; up to 400 rows."""
    n = int(rng.choice([rng.integers(10, 60), rng.integers(260, 400)]))
    values = np.array([1.0, 1 + 10.0 ** rng.uniform(-12, -2), 0.5, 0.5 - 10.0 ** rng.uniform(-12, -2), 0.25])
    diagonal = rng.choice(values, n, p=rng.dirichlet(np.ones(5)))
    truth = sorted((mpmath.mpf(float(value)) ** 2 for value in diagonal), reverse=True)
    return one_block(None, DenseFactor(np.diag(diagonal)[:, None]), n), truth


def graded_large(rng: Generator) -> Case:
    """A diagonal Jacobian over up to 16 decades, turned by exact reflections; 300 to 400 rows."""
    n = int(rng.integers(300, 400))
    diagonal = 10.0 ** -np.sort(rng.uniform(0, rng.uniform(1, 16), n))
    order, signs = rng.permutation(n), rng.choice([-1.0, 1.0], (n, n))
    truth = sorted((mpmath.mpf(float(value)) ** 2 for value in diagonal), reverse=True)
    return one_block(None, DenseFactor((np.diag(diagonal) * signs)[order][:, None]), n), truth


def in_regions(rng: Generator) -> Case:
    """Layers and grids whose gradients are the same in each region but for rounding, or a little more."""
    n, c, dtype = int(rng.integers(2, 9)), int(rng.integers(1, 4)), rng.choice([np.float64, np.float32])
    labels = rng.integers(0, rng.integers(1, 4), n)
    unit = float(np.finfo(dtype).eps) * 10.0 ** rng.choice([-1, 0, 0, 3])

    def gradient(width: int) -> DenseFactor:
        rows = rng.standard_normal((3, c, width))[labels]
        return DenseFactor((rows * (1 + unit * rng.standard_normal(rows.shape))).astype(dtype))

    x = (
        rng.standard_normal((n, 2))
        if rng.random() < 0.5
        else np.outer(rng.random(n), rng.standard_normal(2)) + 1
    )
    first = DenseFactor(np.c_[x, np.ones(n)][:, None].astype(dtype))
    k = int(rng.integers(1, 20))
    indices = rng.integers(-1, rng.integers(1, 5), (n, k))
    table = SparseFactor(indices, rng.random((n, 1, k)).astype(dtype) * rng.choice([1.0, -1.0]), 5)
    hidden = DenseFactor((first.values @ rng.standard_normal((3, 4))).astype(dtype))
    blocks = [
        cases.block("first", first, gradient(2) if rng.random() < 0.7 else None, n, c, order=0),
        cases.block("hidden", hidden, gradient(2) if rng.random() < 0.7 else None, n, c, order=1),
        cases.block("table", table, gradient(2) if rng.random() < 0.7 else None, n, c, "grid", order=2),
        cases.block("bias", None, gradient(3), n, c, order=3),
    ]
    kept = [block for block in blocks if rng.random() < 0.7] or blocks[2:3]
    return Jacobian(tuple(kept), labels.astype(np.int64)), None


def of_bounds(rng: Generator) -> Case:
    """The kinds that certified bounds are tried on."""
    kind = OF_BOUNDS[int(rng.integers(len(OF_BOUNDS)))]
    return kind(rng, int(rng.integers(2, 6))), None


KINDS: tuple[Callable[[Generator], Case], ...] = (
    one_sign,
    one_sign_in_order,
    cancelling,
    close_rows,
    uneven_factors,
    clusters,
    in_regions,
    in_regions,
    of_bounds,
    of_bounds,
)


def routes(rng: Generator, size: int) -> list[dict[str, object]]:
    """What is asked for: all routes of a small kernel, some of a large one."""
    k = int(rng.integers(1, max(size // 2, 2)))
    lanczos: dict[str, object] = {"method": "lanczos", "k": k}
    if size > 100:
        return [lanczos, {"method": str(rng.choice(["gram", "svd", "cholesky"]))}]
    ways: list[dict[str, object]] = [{}, {"method": "gram"}, {"method": "svd"}, {"method": "dual"}]
    ways += [{"precision": "float32"}, {"method": "cholesky"}]
    return [*ways, lanczos] if size > k else ways


Result = tuple[
    str, int, int, int, int, list[str]
]  # kind, spectra, eigenvalues, resolved, refused, violations


def try_one(seed: int) -> Result:
    """One case by all routes."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    if kind is clusters and rng.random() < 0.15:
        kind = graded_large
    jacobian, truth = kind(rng)
    outputs: Outputs = "trace" if jacobian.outputs == 1 else ("trace", "full", 0)[int(rng.integers(3))]
    spectra = eigenvalues = resolved = refused = 0
    wrong: list[str] = []
    for way in routes(rng, jacobian.kernel_size(outputs)):
        try:
            found = ntkspec.spectrum(jacobian, outputs, backend="cpu", memory=0.04, **way)  # type: ignore[arg-type]
        except (
            NtkspecError
        ):  # out of the range that the package admits, no low rank, or a J^T J that takes long
            refused += 1
            continue
        truth = truth or exact_eigenvalues(oracles.exact_kernel(jacobian, outputs))[0]
        spectra += 1
        eigenvalues += len(found.eigenvalues)
        resolved += found.resolved
        wrong += [
            f"{text}, {way}, {kind.__name__}, seed {seed}"
            for text in violations(jacobian, outputs, found, truth)
        ]
    return kind.__name__, spectra, eigenvalues, resolved, refused, wrong


def violations(
    jacobian: Jacobian, outputs: Outputs, found: ntkspec.Spectrum, truth: list[mpmath.mpf]
) -> list[str]:
    """What a spectrum says that is not so."""
    wrong = []
    digits, slack = 1 + mpmath.mpf(10) ** -40, truth[0] * mpmath.mpf(10) ** -100  # of the truth itself
    for i, value in enumerate(found.eigenvalues.tolist()):
        exact = truth[i]
        if value > found.floor:
            if abs(value - exact) > mpmath.mpf(float(found.error[i])) * digits:
                wrong.append(f"eigenvalue {i} is {exact}, said {value} +- {found.error[i]}")
        elif exact > max(found.floor, float(found.upper[i])) * digits + slack:
            wrong.append(f"eigenvalue {i} is {exact}, said to be unresolved below {found.floor}")
    if truth[len(found.eigenvalues) - 1] > found.smallest_at_most * digits + slack:
        last = truth[len(found.eigenvalues) - 1]
        wrong.append(f"the smallest is {last}, said to be at most {found.smallest_at_most}")
    known = found.regions
    if known and known.independent < found.size and truth[known.independent] > known.rest * digits + slack:
        wrong.append(f"eigenvalue {truth[known.independent]} beyond {known.independent}, rest {known.rest}")
    if found.zero and truth[0] > 0:
        wrong.append("called zero")
    if found.rank and found.rank.at_most < found.size and jacobian.width <= NARROW:
        dense = jacobian.to_dense() if jacobian.width <= NARROW else None
        if dense is not None and len(jacobian.blocks) == 1 and not jacobian.blocks[0].left.arrays:
            rows = {"trace": dense.reshape(len(dense), -1), "full": dense.reshape(-1, dense.shape[2])}
            rank = oracles.rational_rank(rows[outputs] if isinstance(outputs, str) else dense[:, outputs])
            if rank > found.rank.at_most:
                wrong.append(f"rank {rank}, said to be at most {found.rank.at_most}")
    if found.singular and truth[found.rank.at_most if found.rank else 0] > truth[0] * mpmath.mpf(10) ** -90:
        wrong.append(f"called singular, and eigenvalue {found.rank} is {truth[-1]}")
    return wrong


def try_many(seeds: range) -> list[Result]:
    """A batch of cases."""
    return [try_one(seed) for seed in seeds]


def summary(results: list[Result]) -> dict[str, object]:
    """Counts by kind, and what was wrong."""
    names = ("spectra", "eigenvalues", "resolved", "refused")
    kinds = sorted({kind for kind, *_ in results})
    counts = {
        kind: dict(
            zip(
                ("cases", *names),
                np.sum([(1, *counted[:4]) for other, *counted in results if other == kind], axis=0).tolist(),
                strict=True,
            )
        )
        for kind in kinds
    }
    return {
        "cases": len(results),
        **{name: sum(count[name] for count in counts.values()) for name in names},
        "violations": [text for *_, wrong in results for text in wrong],
        "kinds": counts,
    }


if __name__ == "__main__":
    sys.exit(search.main(__doc__, 4_000, try_many, summary, batch=50))
