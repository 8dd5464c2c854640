"""Jacobians to test on: every kind of block, alone and together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ntkspec.jacobian import Block, DenseFactor, Jacobian, Outputs, PairsFactor, Parameter, SparseFactor
from ntkspec.kernel.enclosure import KernelEnclosure
from ntkspec.spectral import Spectrum

MODES: tuple[Outputs, ...] = ("trace", "full", 0, 1)


def dense(rng: np.random.Generator, n: int, c: int, width: int, dtype: Any = np.float64) -> DenseFactor:
    return DenseFactor(rng.standard_normal((n, c, width)).astype(dtype))


def sparse(
    rng: np.random.Generator,
    n: int,
    c: int,
    width: int,
    k: int,
    dtype: Any = np.float64,
    index: Any = np.int64,
) -> SparseFactor:
    """With padding (-1) and, since k indices are drawn with replacement, collisions."""
    indices = rng.integers(-1, width, size=(n, k)).astype(index)
    return SparseFactor(indices, rng.standard_normal((n, c, k)).astype(dtype), width)


def pairs(
    rng: np.random.Generator, n: int, c: int, uses: int, a: int, b: int, dtype: Any = np.float64
) -> PairsFactor:
    left, right = rng.standard_normal((n, 1, uses, a)), rng.standard_normal((n, c, uses, b))
    return PairsFactor(left.astype(dtype), right.astype(dtype))


def block(name: str, left: Any, right: Any, n: int, c: int, role: str = "network", order: int = 0) -> Block:
    widths = [factor.width if factor else 1 for factor in (left, right)]
    return Block(name, role, n, c, left, right, order, (Parameter(f"{name}.p", tuple(widths)),))


def blocks(n: int, c: int, seed: int = 0, dtype: Any = np.float64) -> dict[str, Block]:
    """One block of every kind of factor pair."""
    rng = np.random.default_rng(seed)
    left = {"dense": dense(rng, n, 1, 5, dtype), "sparse": sparse(rng, n, 1, 300, 4, dtype), "none": None}
    right = {
        "dense": dense(rng, n, c, 3, dtype),
        "sparse": sparse(rng, n, c, 280, 3, dtype, np.int32),
        "none": None,
    }
    narrow = sparse(rng, n, 1, 6, 4, dtype)  # a coarse level: every pair of samples overlaps
    made = {
        f"{a}-{b}": block(f"{a}-{b}", left[a], right[b], n, c)
        for a in left
        for b in right
        if (a, b) != ("none", "none")
    }
    made["none-pairs"] = block("none-pairs", None, pairs(rng, n, c, 3, 4, 5, dtype), n, c)
    made["narrow-dense"] = block("narrow-dense", narrow, right["dense"], n, c, role="grid")
    return {name: replace(block, order=order) for order, (name, block) in enumerate(made.items())}


def mixed(n: int = 23, c: int = 2, seed: int = 0, dtype: Any = np.float64) -> Jacobian:
    """A network's layers and a grid's levels."""
    rng = np.random.default_rng(seed)
    made = [
        block("level.0", sparse(rng, n, 1, 9, 4, dtype), dense(rng, n, c, 2, dtype), n, c, "grid", 0),
        block("level.1", sparse(rng, n, 1, 400, 4, dtype), dense(rng, n, c, 2, dtype), n, c, "grid", 1),
        block("layer.0", dense(rng, n, 1, 6, dtype), dense(rng, n, c, 4, dtype), n, c, "network", 2),
        block("layer.1", None, dense(rng, n, c, 7, dtype), n, c, "network", 3),
    ]
    return Jacobian(tuple(made))


def tiny(n: int, *roles: str) -> Jacobian:
    """The blocks of `mixed`, those of some roles so small that the entries of their kernels underflow."""
    made = [
        replace(block, right=block.right.map(lambda values: values * 1e-170))
        if block.role in roles
        else block
        for block in mixed(n)
    ]
    return Jacobian(tuple(made))


def uneven(n: int, c: int = 2, seed: int = 0, dtype: Any = np.float64) -> Jacobian:
    """Every kind of block, and two that the first samples alone want in another form than all of them do."""
    rng = np.random.default_rng(seed)
    first = slice(0, n // 2)
    meeting = sparse(rng, n, 1, 8 * n, 7, dtype)
    meeting.indices[first] %= 6  # so often that only these samples are better written out
    left, right = dense(rng, n, 1, 40, dtype), dense(rng, n, c, 40, dtype)
    left.values[-1] *= 1e-12  # out of balance in single precision, so that all samples are balanced
    left.values[first, :, :20] *= 1e-30  # products with these underflow where they are not
    left.values[n // 4 : n // 2, :, 20:] = 0
    left.values[n // 4 : n // 2] *= 1e22
    made = blocks(n, c, seed, dtype) | {
        "meeting": block("meeting", meeting, dense(rng, n, c, 40, dtype), n, c, "grid", 20),
        "out-of-balance": block("out-of-balance", left, right, n, c, "network", 21),
    }
    return Jacobian(tuple(made.values()))


def prescribed(eigenvalues: np.ndarray, p: int, seed: int = 0, dtype: Any = np.float64) -> Jacobian:
    """A plain Jacobian (c = 1) whose kernel has these eigenvalues, up to rounding its entries."""
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    u = np.linalg.qr(rng.standard_normal((n, n)))[0]
    v = np.linalg.qr(rng.standard_normal((p, min(n, p))))[0]
    jac = (u[:, : v.shape[1]] * np.sqrt(eigenvalues[: v.shape[1]])) @ v.T
    right = DenseFactor(jac[:, None, :].astype(dtype))
    return Jacobian((block("theta", None, right, n, 1),))


def exact_spectrum(eigenvalues: Any) -> Spectrum:
    """A spectrum without errors, to test theorems alone."""
    values = np.sort(np.asarray(eigenvalues, dtype=float))[::-1]
    return Spectrum(values, np.zeros_like(values), 0.0, len(values), values.sum(), "gram", "float64")


def exact_kernel(kernel: Any) -> KernelEnclosure:
    """A kernel without errors, to test theorems alone."""
    kernel = np.asarray(kernel, dtype=float)
    return KernelEnclosure(kernel, np.sqrt(kernel.diagonal()), 0.0, 0.0)
