"""Factors whose vectors are sums of T Kronecker products: of a layer that each sample uses T times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian.dense import VectorFactor
from ntkspec.jacobian.factor import Numbers, largest_of_samples

SMALLEST = float(np.finfo(np.float64).smallest_subnormal)


@dataclass(frozen=True, repr=False, eq=False)
class PairsFactor(VectorFactor):
    """A factor whose vector is sum_t left[i, t] (x) right[i, o, t], flattened as a*b, left index slowest.

    A layer that a sample uses T times, at T positions or in T steps, has such a Jacobian: t runs over its
    uses. The pairs are stored, since they take less memory than the sums, and multiplied out for computing.

    Raises:
        UsageError: left or right are not arrays of real numbers with these axes.

    Example:
        >>> import numpy as np
        >>> factor = PairsFactor(np.ones((5, 1, 4, 3)), np.ones((5, 2, 4, 6)))  # 4 uses
        >>> factor.width, factor.to_dense()[0, 0, :2]
        (18, array([4., 4.]))
    """

    _AXES: ClassVar = {"left": ("n", "1", "T", "a"), "right": ("n", "c", "T", "b")}
    left: Numbers  # (n, 1, T, a), float32 or float64, or a dataset of that shape
    right: Numbers  # (n, c, T, b)

    @property
    def arrays(self) -> dict[str, Any]:
        """Return the left and right vectors of the pairs."""
        return {"left": self.left, "right": self.right}

    @property
    def samples(self) -> int:
        """Return n, the number of samples."""
        return int(self.right.shape[0])

    @property
    def outputs(self) -> int:
        """Return c, the number of outputs."""
        return int(self.right.shape[1])

    @property
    def uses(self) -> int:
        """Return T, the number of products that are added up."""
        return int(self.right.shape[2])

    @property
    def entries(self) -> int:
        """Return a b, the length of a vector: what a dense factor would store per sample and output."""
        return int(self.left.shape[3]) * int(self.right.shape[3])

    @property
    def nbytes(self) -> int:
        """Return the bytes of the vectors (n, c, a b), the sums that computations need in memory."""
        return self.samples * self.outputs * self.width * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the coarser precision of both sides."""
        coarser: np.dtype[Any] = min(self.left.dtype, self.right.dtype, key=lambda dtype: dtype.itemsize)
        return coarser

    @property
    def values(self) -> NDArray[np.float64]:
        """Return the vectors (n, c, a b); products are added up in double."""
        return self.to_dense()

    def to_dense(self) -> NDArray[Any]:
        """Return the vectors (n, c, a b) of float64."""
        left, right = (np.asarray(side[:], dtype=np.float64) for side in (self.left, self.right))
        products: NDArray[Any] = left.transpose(0, 1, 3, 2) @ right  # (n, c, a, b)
        return products.reshape(*products.shape[:2], -1)

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> PairsFactor:
        """Apply a linear function to the right vectors."""
        return PairsFactor(self.left[:], function(np.asarray(self.right[:])))

    def absolute(self) -> PairsFactor:
        """Return a factor with the absolute values of left and right; its vectors are upper bounds."""
        left, right = (np.abs(np.asarray(side[:])) for side in (self.left, self.right))
        return PairsFactor(left, right)

    @property
    def largest(self) -> NDArray[np.float64]:
        """Return an upper bound (n,) on the absolute values of each sample, 0 only if all of them are."""
        bounds = np.zeros(self.samples)
        left, right = self.left[:], self.right[:]
        for use in range(self.uses):
            sizes = [largest_of_samples(side[:, :, use]) for side in (left, right)]
            with np.errstate(over="ignore", under="ignore"):
                product = sizes[0] * sizes[1]
            both = (sizes[0] > 0) & (sizes[1] > 0)
            bounds += np.maximum(product, np.where(both, SMALLEST, 0.0))
        return bounds

    @property
    def collisions(self) -> int:
        """Return T + 1: each number takes T multiplications and T - 1 additions."""
        return self.uses + 1

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """Return where at least one of the T products is not zero, even if their sum is zero; (n, c, a b)."""
        nonzero = PairsFactor(*(np.asarray(side[:] != 0) for side in (self.left, self.right)))
        return np.asarray(nonzero.to_dense() > 0)

    @property
    def roundings_in_any_order(self) -> int:
        """Return a b + 2 T: the inner product has a b terms, and each of its two vectors is a sum of T."""
        return self.width + 2 * self.uses
