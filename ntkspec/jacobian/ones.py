"""The factor that is all ones, which a block has in place of a factor that its file leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.jacobian.dense import DenseFactor, VectorFactor
from ntkspec.jacobian.factor import Factor
from ntkspec.jacobian.outputs import Outputs


class Ones(VectorFactor):
    """A factor of width 1 whose numbers are all one; nothing is stored.

    It also has `values`, `indices` and `columns`, so that it can be read as a dense or as a sparse factor.

    Example:
        >>> Ones(3, 2).to_dense().shape
        (3, 2, 1)
    """

    columns = 1

    def __init__(self, samples: int, outputs: int) -> None:
        self._shape = (samples, outputs, 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ones) and self._shape == other._shape

    def __hash__(self) -> int:
        return hash(self._shape)

    def __repr__(self) -> str:
        return f"Ones(samples={self.samples}, outputs={self.outputs})"

    @property
    def arrays(self) -> dict[str, Any]:
        """Return nothing: no arrays are stored."""
        return {}

    @property
    def values(self) -> NDArray[np.float64]:
        """Return the ones (n, c, 1) as a read-only array, which takes no memory."""
        return np.broadcast_to(np.ones(1), self._shape)

    @property
    def indices(self) -> NDArray[np.int64]:
        """Return zeros (n, 1): every sample touches the one column."""
        return np.zeros((self.samples, 1), np.int64)

    def each(self, function: Callable[[Any], Any]) -> Ones:
        """Return the ones of as many samples as `function` leaves of their array."""
        samples, outputs, _ = function(self.values).shape
        return Ones(samples, outputs)

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """See `Factor.map`: the result is `Ones` if the values are still one."""
        new = function(self.values)
        return self if (new == 1).all() else DenseFactor(new)

    def left_matrix(self, dtype: DTypeLike = np.float64) -> None:
        """Return None: a factor of ones leaves the kernel of its block as it is."""
        return

    def nonzero_columns(self, outputs: Outputs) -> int:
        """Return 1: the columns of all outputs are equal."""
        return 1

    def roundings(self, times: int, rows: int | None = None) -> int:
        """Return 0: sums of ones are exact."""
        return 0
