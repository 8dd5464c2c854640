"""Dense factors, which store every number of every vector, zeros included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec import summation
from ntkspec.jacobian.factor import Factor, Numbers, largest_of_samples
from ntkspec.jacobian.outputs import Outputs


class VectorFactor(Factor):
    """Base class of factors whose `values` are whole vectors (n, c, width): all kinds but `SparseFactor`."""

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        return self.entries

    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """See `Factor.matrix`."""
        values = self.values[:]
        n, c, width = values.shape
        if outputs == "trace":
            rows = values.reshape(n, c * width)
        elif outputs == "full":
            rows = values.reshape(n * c, width)
        else:
            rows = values[:, outputs, :]
        return np.ascontiguousarray(rows, dtype=dtype)

    def to_dense(self) -> NDArray[Any]:
        """Return the vectors (n, c, width) of float64."""
        return np.asarray(self.values[:], dtype=np.float64)

    def vectors(self, outputs: Outputs) -> NDArray[np.float64]:
        """See `Factor.vectors`."""
        return self.matrix("trace" if isinstance(outputs, str) else outputs)

    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Factor.compact_rows`; all columns count as touched."""
        return self.rows(samples).matrix(0)

    @property
    def touched_columns(self) -> None:
        """Return None: all columns are touched."""
        return

    def renumbered(self, touched: NDArray[np.int64] | None) -> Self:
        """See `Factor.renumbered`; return the factor itself, in memory, with all of its columns."""
        return self.load()

    @property
    def largest(self) -> NDArray[np.float64]:
        """See `Factor.largest`."""
        return largest_of_samples(self.values[:])

    @property
    def collisions(self) -> int:
        """Return 1: each column has one entry, so no entries are added up."""
        return 1

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """See `Factor.nonzero_entries`."""
        return np.asarray(self.values[:] != 0)

    def nonzero_columns(self, outputs: Outputs) -> int:
        """See `Factor.nonzero_columns`."""
        return count_of_mode(np.asarray(self.nonzero_entries.any(axis=0)), outputs)

    @property
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """See `Factor.rows_of_same_norm`."""
        return self.matrix(0)

    def roundings(self, times: int, rows: int | None = None) -> int:
        """See `Factor.roundings`: sums are added in panels."""
        return summation.roundings(
            times * self.width, summation.PANEL if rows is None else summation.panel_of(rows)
        )

    def buffers(self, times: int) -> int:
        """See `Factor.buffers`: panels are added pairwise."""
        return summation.buffers(times * self.width)

    @property
    def roundings_in_any_order(self) -> int:
        """Return the length of a vector."""
        return self.width


@dataclass(frozen=True, repr=False, eq=False)
class DenseFactor(VectorFactor):
    """A factor that stores every number of its vectors in an array `values` (n, c, width).

    Arrays of other real types than float32 and float64 are converted, as `ntkspec.write_run` does. An array
    (n, width) is one of a single output.

    Raises:
        UsageError: it is not an array of real numbers with these axes.

    Example:
        >>> import numpy as np
        >>> DenseFactor(np.ones((5, 2, 3))).matrix("trace").shape  # 5 samples, 2 outputs, width 3
        (5, 6)
    """

    _AXES: ClassVar = {"values": ("n", "c", "width")}
    values: Numbers  # (n, c, width), float32 or float64, or a dataset of that shape

    @property
    def arrays(self) -> dict[str, Any]:
        """Return the values."""
        return {"values": self.values}

    @property
    def inputs(self) -> NDArray[np.float64]:
        """Return the vectors of the first output; (n, width)."""
        return self.matrix(0)


def count_of_mode(nonzero: NDArray[np.bool_], outputs: Outputs) -> int:
    """Count the columns that are used in an output mode, from a table (c, width) of where they are not 0."""
    if outputs == "trace":
        return int(nonzero.sum())
    return int((nonzero.any(axis=0) if outputs == "full" else nonzero[outputs]).sum())
