"""The factor that is all ones, which a block has in place of a factor that its file leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.jacobian.dense import DenseFactor
from ntkspec.jacobian.factor import Factor
from ntkspec.jacobian.outputs import Outputs


@dataclass(frozen=True)
class Ones:
    """A factor of width 1 whose numbers are all one; nothing is stored.

    It also has `values`, `indices` and `columns`, so that it can be read as a dense or as a sparse factor.

    Example:
        >>> Ones(3, 2).to_dense().shape
        (3, 2, 1)
    """

    samples: int  # n
    outputs: int  # c
    width = columns = entries = collisions = touched_width = roundings_in_any_order = 1
    nbytes = 0
    dtype = np.dtype(np.float64)  # ones are exact, so the other factor has the coarser precision
    touched_columns = inputs = nodes = None

    @property
    def arrays(self) -> dict[str, Any]:
        """Return nothing: no arrays are stored."""
        return {}

    @property
    def facts(self) -> dict[str, int]:
        """Return nothing: no facts are stored."""
        return {}

    @property
    def values(self) -> NDArray[np.float64]:
        """Return the ones (n, c, 1) as a read-only array."""
        return np.broadcast_to(np.ones(1), (self.samples, self.outputs, 1))

    @property
    def indices(self) -> NDArray[np.int64]:
        """Return zeros (n, 1): every sample touches the one column."""
        return np.zeros((self.samples, 1), np.int64)

    def load(self, start: int = 0, stop: int | None = None) -> Ones:
        """See `Factor.load`."""
        return Ones(len(range(*slice(start, stop).indices(self.samples))), self.outputs)

    def rows(self, samples: NDArray[np.intp]) -> Ones:
        """See `Factor.rows`."""
        return Ones(len(samples), self.outputs)

    def empty(self, samples: int) -> Ones:
        """See `Factor.empty`."""
        return Ones(samples, self.outputs)

    def sized(self, samples: int) -> Ones:
        """See `Factor.sized`."""
        return self.empty(samples)

    def written_out(self) -> DenseFactor:
        """Return the ones as a dense factor."""
        return DenseFactor(self.values)

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """See `Factor.map`: the result is `Ones` if the values are still one."""
        new = function(self.values)
        return self if (new == 1).all() else DenseFactor(new)

    def absolute(self) -> Ones:
        """See `Factor.absolute`; return the factor itself."""
        return self

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> Factor:
        """See `Factor.scaled`."""
        return self if kept.all() and not exponents.any() else self.written_out().scaled(exponents, kept)

    def compact(self) -> Ones:
        """See `Factor.compact`; return the factor itself, whose one column every sample touches."""
        return self

    def renumbered(self, touched: NDArray[np.int64] | None) -> Ones:
        """See `Factor.renumbered`; return the factor itself, whose one column is always kept."""
        return self

    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """See `Factor.matrix`."""
        return self.written_out().matrix(outputs, dtype)

    def left_matrix(self, dtype: DTypeLike = np.float64) -> None:
        """Return None: a factor of ones leaves the kernel of its block as it is."""
        return

    def to_dense(self) -> NDArray[np.float64]:
        """Return ones (n, c, 1)."""
        return self.values.copy()

    def vectors(self, outputs: Outputs) -> NDArray[np.float64]:
        """Return ones (n, w), one for each output of the mode."""
        return self.written_out().vectors(outputs)

    @property
    def largest(self) -> NDArray[np.float64]:
        """Return ones; (n,)."""
        return np.ones(self.samples)

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """Return True throughout; (n, c, 1)."""
        return np.ones((self.samples, self.outputs, 1), dtype=bool)

    def nonzero_columns(self, outputs: Outputs) -> int:
        """Return 1: the columns of all outputs are equal."""
        return 1

    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return ones (m, 1)."""
        return np.ones((len(samples), 1))

    @property
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """Return ones; (n, 1)."""
        return np.ones((self.samples, 1))

    def roundings(self, times: int, rows: int | None = None) -> int:
        """Return 0: sums of ones are exact."""
        return 0

    def buffers(self, times: int) -> int:
        """Return 1: the Gram matrix itself."""
        return 1
