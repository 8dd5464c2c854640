"""Blocks: each is a named group of parameters whose Jacobian is a row-wise Kronecker product of two factors.

    J[i, o, :] = left[i, :] (x) right[i, o, :]          flattened as a*b, left index slowest

so the block's kernel is the elementwise product of two small Gram matrices (Khatri and Rao 1968;
Slyusar 1999, "face-splitting product").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.display import NotAnArray, counted
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian.factor import Factor, Matrix
from ntkspec.jacobian.ones import Ones
from ntkspec.jacobian.outputs import Outputs, rows_per_sample
from ntkspec.machine.memory import format_bytes


@dataclass(frozen=True)
class Parameter:
    """One parameter tensor of a block: its name and shape in the model.

    Example:
        >>> Parameter("layers.0.weight", (64, 2)).shape
        (64, 2)
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pair:
    """The two factors of a block as matrices, in one output mode.

    Row r of the kernel belongs to row `r // repeat` of `left`, which has one row per sample, and to row r of
    `right`, which has one for each row of the kernel.
    """

    left: Matrix | None  # (n, a); None: all ones
    right: Matrix  # (n * repeat, w): w = c*b for "trace", else b
    repeat: int  # rows per sample

    def map(self, function: Callable[[Matrix], Matrix]) -> Pair:
        """Return the pair with `function` applied to `right` and, unless it is None, to `left`."""
        return Pair(None if self.left is None else function(self.left), function(self.right), self.repeat)


@dataclass(frozen=True, repr=False)
class Block(NotAnArray):
    """A block of the Jacobian, made of two factors. One of them may be None, which stands for all ones.

    Raises:
        UsageError: both factors are None, one is no factor, or its samples or outputs differ from those of
            the block.

    Example:
        >>> from ntkspec.jacobian import DenseFactor
        >>> block = Block("theta", "network", 3, 1, None, DenseFactor(np.ones((3, 1, 4))))
        >>> block.left, block.widths
        (Ones(samples=3, outputs=1), (1, 4))
    """

    _ARRAYS = "block.to_dense(), (n, c, p)"

    name: str
    role: str  # "network", "grid" or any other word
    samples: int  # n
    outputs: int  # c
    left: Factor  # (n, 1, a)
    right: Factor  # (n, c, b)
    order: int = 0  # position in the parameter vector
    parameters: tuple[Parameter, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            role: str,
            samples: int,
            outputs: int,
            left: Factor | None,
            right: Factor | None,
            order: int = 0,
            parameters: tuple[Parameter, ...] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        """Put ones in the place of a factor that is left out."""
        for name in ("samples", "outputs"):
            count = whole_number(getattr(self, name), f"block {self.name!r}, {name}", 0)
            object.__setattr__(self, name, count)
        left: Factor | None = self.left
        right: Factor | None = self.right
        if left is None and right is None:
            raise UsageError(
                f"block {self.name!r}",
                expected="a left or a right factor",
                got="neither",
                remedy="give at least one; an absent one is all ones",
            )
        for side, outputs in (("left", 1), ("right", self.outputs)):
            given: object = getattr(self, side)
            factor = Ones(self.samples, outputs) if given is None else given
            if not isinstance(factor, Factor):
                raise UsageError(
                    f"block {self.name!r}",
                    expected=f"a {side} factor, such as ntkspec.DenseFactor",
                    got=shown(factor),
                    remedy="make a factor of an array: ntkspec.DenseFactor(array)",
                )
            object.__setattr__(self, side, factor)
            if (factor.samples, factor.outputs) != (self.samples, outputs):
                raise UsageError(
                    f"block {self.name!r}",
                    expected=f"a {side} factor of {counted(sample=self.samples, output=outputs)}",
                    got=counted(sample=factor.samples, output=factor.outputs),
                    remedy="left factors are (n, 1, a), right ones (n, c, b)",
                )

    @property
    def _counts(self) -> str:
        return counted(sample=self.samples, output=self.outputs, parameter=self.width)

    def __repr__(self) -> str:
        left, right = self.kinds
        return (
            f"Block({self.name!r}, {self.role}, {self._counts}, "
            f"{left} x {right}, {format_bytes(self.nbytes)})"
        )

    @property
    def kinds(self) -> tuple[str, str]:
        """Return the kinds of the left and the right factor: "dense", "sparse", "pairs" or "ones"."""
        left, right = (type(factor).__name__.removesuffix("Factor").lower() for factor in self.factors)
        return left, right

    @property
    def factors(self) -> tuple[Factor, Factor]:
        """Return the left and the right factor."""
        return self.left, self.right

    @property
    def widths(self) -> tuple[int, int]:
        """Return (a, b), the widths of the two factors."""
        return self.left.width, self.right.width

    @property
    def width(self) -> int:
        """Return the number of parameters of the block, a * b."""
        a, b = self.widths
        return a * b

    @property
    def all_parameters(self) -> tuple[Parameter, ...]:
        """Return its parameters; where none are listed, one of its name and widths."""
        if self.parameters:
            return self.parameters
        stored = all(factor.arrays for factor in self.factors)
        return (Parameter(self.name, self.widths if stored else (self.width,)),)

    @property
    def nbytes(self) -> int:
        """Return the bytes of both factors as stored."""
        return self.left.nbytes + self.right.nbytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the coarser dtype of the two factors, which limits the eigenvalues that can be resolved."""
        return min((factor.dtype for factor in self.factors), key=lambda dtype: dtype.itemsize)

    def load(self, start: int = 0, stop: int | None = None) -> Block:
        """Return the samples start:stop, in memory."""
        return self._of(self.left.load(start, stop), self.right.load(start, stop))

    def rows(self, samples: NDArray[np.intp]) -> Block:
        """Return these samples, in this order, in memory."""
        return self._of(self.left.rows(samples), self.right.rows(samples))

    def empty(self, samples: int) -> Block:
        """Return a block of `samples` samples with arbitrary numbers."""
        return self._of(self.left.empty(samples), self.right.empty(samples))

    def sized(self, samples: int) -> Block:
        """Return a block of `samples` copies of the first sample, as views that take no memory."""
        return self._of(self.left.sized(samples), self.right.sized(samples))

    def compact(self) -> Block:
        """Return the block, in memory, without columns that no sample touches; the kernel stays the same."""
        return replace(self._of(self.left.compact(), self.right.compact()), parameters=())

    def renumbered(self, left: NDArray[np.int64] | None, right: NDArray[np.int64] | None) -> Block:
        """Return the block, in memory, with only the given columns of its factors; None keeps all columns.

        The kernel of the block stays the same, and so does the kernel between two blocks that keep the same
        columns.

        Args:
            left, right: ascending column numbers, which include every touched column of that factor.
        """
        return replace(self._of(self.left.renumbered(left), self.right.renumbered(right)), parameters=())

    def absolute(self) -> Block:
        """Return the block, in memory, with absolute values of all entries; see `Factor.absolute`."""
        return self._of(self.left.absolute(), self.right.absolute())

    def pair(self, outputs: Outputs, dtype: DTypeLike = np.float64, *, balanced: bool | None = None) -> Pair:
        """Return both factors as matrices in the given output mode and precision.

        Args:
            balanced: whether to scale the two vectors of each sample to similar size, by powers of two that
                cancel, so that J does not change by a bit; default: only if `out_of_balance(dtype)`.
        """
        left, right = self._of_mode(outputs)
        if _out_of_balance(left, right, np.dtype(dtype)) if balanced is None else balanced:
            left, right = _balanced(left, right)
        repeat = rows_per_sample(outputs, self.outputs)
        mode: Outputs = outputs if isinstance(outputs, str) else 0
        return Pair(left.left_matrix(dtype), right.matrix(mode, dtype), repeat)

    def out_of_balance(self, outputs: Outputs, dtype: DTypeLike) -> bool:
        """Return whether a factor has numbers so far from 1 that products may leave the range of `dtype`."""
        return _out_of_balance(*self._of_mode(outputs), np.dtype(dtype))

    def nonzero(self, outputs: Outputs) -> bool:
        """Return whether J is not zero in an output mode, even if its numbers are too small to be formed."""
        left, right = self._of_mode(outputs)
        return bool(((left.largest != 0) & (right.largest != 0)).any())  # NaN is no zero

    def to_dense(self) -> NDArray[Any]:
        """Return the block's Jacobian (n, c, a*b) by the definition; for tests and small cases."""
        left, right = self.left.to_dense()[:, 0], self.right.to_dense()
        product: NDArray[Any] = np.einsum("na,ncb->ncab", left, right)
        return product.reshape(self.samples, self.outputs, -1)

    def _of_mode(self, outputs: Outputs) -> tuple[Factor, Factor]:
        """Return both factors in memory: the right one with the outputs of a mode, which may be one alone."""
        left, right = self.left.load(), self.right.load()
        if not isinstance(outputs, str):
            right = right.map(lambda values: values[:, [outputs]])
        return left, right

    def _of(self, left: Factor, right: Factor) -> Block:
        return replace(self, samples=right.samples, left=left, right=right)


def _out_of_balance(left: Factor, right: Factor, dtype: np.dtype[Any]) -> bool:
    """Return whether the largest number of some sample is too far from 1 in one of the factors.

    The kernel multiplies squares of both factors. The square of one alone may underflow (1e-24 squared is 0
    in single precision), even where the product of both squares is of ordinary size.
    """
    if not left.arrays:  # J is the right factor itself
        return False
    moderate = 2.0 ** (np.finfo(dtype).maxexp // 4)
    sizes = [factor.largest for factor in (left, right)]  # two arrays (n,)
    return not all(((size == 0) | ((size > 1 / moderate) & (size < moderate))).all() for size in sizes)


def _balanced(left: Factor, right: Factor) -> tuple[Factor, Factor]:
    """Scale both vectors of each sample to about the same size, by powers of two."""
    if not left.arrays:
        return left, right
    sizes = [factor.largest for factor in (left, right)]
    most = np.finfo(np.float64).max  # the bound of `PairsFactor` may overflow
    exponents = [np.frexp(np.minimum(size, most))[1].astype(np.int64) for size in sizes]
    nonzero = (sizes[0] != 0) & (sizes[1] != 0)  # J is 0 at other samples, however large one side is
    shift = (exponents[1] - exponents[0]) // 2
    return left.scaled(shift, nonzero), right.scaled(-shift, nonzero)
