"""Blocks: one named group of parameters, its Jacobian a row-wise Kronecker product of two factors.

    J[i, o, :] = left[i, :] (x) right[i, o, :]          flattened as a*b, left index slowest

so the block's kernel is the elementwise product of two small Gram matrices (Khatri and Rao 1968;
Slyusar 1999, "face-splitting product").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian.factor import DenseFactor, Factor, LoadedFactor, Matrix, loaded_factor
from ntkspec.jacobian.outputs import Outputs, rows_per_sample


@dataclass(frozen=True)
class Parameter:
    """One parameter tensor of a block."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """The two matrices of a block in one output mode.

    A row of the kernel belongs to sample `row // repeat` on the left and is its own row on the right.
    """

    left: Matrix | None  # (n, a); None: all ones
    right: Matrix  # (n * repeat, w): w = c*b for "trace", else b
    repeat: int  # rows per sample


@dataclass(frozen=True)
class Block:
    """A block of the Jacobian. A factor that is absent (None) is all ones of width 1."""

    name: str
    role: str  # "network", "grid" or any other word
    samples: int  # n
    outputs: int  # c
    left: Factor | None  # (n, 1, a)
    right: Factor | None  # (n, c, b)
    order: int = 0  # position in the parameter vector
    parameters: tuple[Parameter, ...] = ()

    @property
    def widths(self) -> tuple[int, int]:
        """(a, b), the widths of the two factors."""
        return (self.left.width if self.left else 1, self.right.width if self.right else 1)

    @property
    def width(self) -> int:
        """Number of parameters of the block, a * b."""
        a, b = self.widths
        return a * b

    @property
    def nbytes(self) -> int:
        """Bytes of both factors as stored."""
        return sum(factor.nbytes for factor in (self.left, self.right) if factor)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The coarser of the factors' precisions: it bounds what can be resolved."""
        dtypes = [factor.dtype for factor in (self.left, self.right) if factor]
        return min(dtypes, key=lambda dtype: dtype.itemsize)

    def load(self, start: int = 0, stop: int | None = None) -> Block:
        """The samples start:stop, in memory."""
        stop = self.samples if stop is None else stop
        return replace(
            self,
            samples=stop - start,
            left=self.left.load(start, stop) if self.left else None,
            right=self.right.load(start, stop) if self.right else None,
        )

    def compact(self) -> Block:
        """In memory, without the columns that no sample touches; kernels are the same."""
        left, right = loaded_factor(self.left), loaded_factor(self.right)
        return replace(
            self,
            left=left.compact() if left else None,
            right=right.compact() if right else None,
            parameters=(),
        )

    def absolute(self) -> Block:
        """In memory, with the absolute values of the factors' numbers, before those that collide add up."""
        left, right = loaded_factor(self.left), loaded_factor(self.right)
        return replace(
            self,
            left=left.map(np.abs) if left else None,
            right=right.map(np.abs) if right else None,
        )

    def pair(self, outputs: Outputs, dtype: Any = np.float64) -> Pair:
        """Return both factors as matrices in the given output mode and precision.

        Where numbers of a factor are so large or small that their products could leave the range of `dtype`,
        each sample's two vectors are balanced by powers of two: J stays as it is, to the last bit.
        """
        left = loaded_factor(self.left)
        right = loaded_factor(self.right) or _ones(self.samples, self.outputs)
        if left is not None:
            left, right = _balanced(left, right, np.dtype(dtype))
        return Pair(
            left=left.matrix(0, dtype) if left else None,
            right=right.matrix(outputs, dtype),
            repeat=rows_per_sample(outputs, self.outputs),
        )

    def to_dense(self) -> NDArray[Any]:
        """The block's Jacobian (n, c, a*b) by the definition; for tests and small cases."""
        left = loaded_factor(self.left) or _ones(self.samples, 1)
        right = loaded_factor(self.right) or _ones(self.samples, self.outputs)
        product: NDArray[Any] = np.einsum("na,ncb->ncab", left.to_dense()[:, 0], right.to_dense())
        return product.reshape(self.samples, self.outputs, -1)


def _balanced(
    left: LoadedFactor, right: LoadedFactor, dtype: np.dtype[Any]
) -> tuple[LoadedFactor, LoadedFactor]:
    """Make both vectors of each sample about equally large, if a factor is far from 1 somewhere.

    Range is lost where a small number is squared (1e-24 in single precision gives 0), though the product with
    the other factor's square may be of any size.
    """
    sizes = [factor.largest for factor in (left, right)]  # (n,) each
    moderate = 2.0 ** (np.finfo(dtype).maxexp // 4)
    if all(((size == 0) | ((size > 1 / moderate) & (size < moderate))).all() for size in sizes):
        return left, right
    exponents = [np.frexp(size)[1].astype(np.int64) for size in sizes]
    counts = (sizes[0] > 0) & (sizes[1] > 0)  # of other samples nothing is left, however large one side is
    shift = (exponents[1] - exponents[0]) // 2
    return left.scaled(shift, counts), right.scaled(-shift, counts)


def _ones(samples: int, outputs: int) -> DenseFactor:
    return DenseFactor(np.ones((samples, outputs, 1)))
