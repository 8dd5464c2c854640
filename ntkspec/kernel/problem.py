"""The description of a kernel, and of the backend and the memory budget for computing with it.

    K = J J^T, or J_rows J_columns^T between the samples of two Jacobians of the same parameters

`ntkspec.gram`, `ntkspec.operator` and `ntkspec.spectrum` make a `Kernel` from their arguments and pass it on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, CpuBackend, Precision, select
from ntkspec.errors import UsageError, require_one_of
from ntkspec.jacobian import Block, Jacobian, Outputs, check_outputs, rows_per_sample
from ntkspec.kernel.checks import check_jacobians, check_parts, check_same_parameters
from ntkspec.kernel.term import Term
from ntkspec.machine.memory import BUDGET, SHARE, budget_bytes, require

T = TypeVar("T")

FACTS = 4  # times the factors as stored: what computing facts takes, with a copy in double precision
# Arrays that are made of the factors are cached if the budget is so many times the factors as stored. They
# take eight times as much at most: an eighth of the budget, which plans leave out.
CACHE_ROOM = 64


@dataclass(frozen=True, eq=False)
class Kernel:
    """The description of a kernel: its Jacobian, output mode and precision, a backend and a memory budget.

    Nothing is computed when it is created. Properties are computed when they are first read.

    Raises:
        UsageError: the output mode or precision is unknown, or `columns` has other parameters than `rows`.

    Example:
        >>> from ntkspec.jacobian import DenseFactor
        >>> rows = DenseFactor(np.array([[[3.0, 4.0]], [[0.0, 1.0]]]))
        >>> kernel = Kernel(Jacobian((Block("theta", "network", 2, 1, None, rows),)))
        >>> kernel.shape, kernel.trace
        ((2, 2), 26.0)
    """

    rows: Jacobian
    columns: Jacobian | None = None  # None: the kernel is symmetric, its columns are those of its rows
    outputs: Outputs = "trace"
    precision: Precision = "float64"  # in which it is formed and solved
    backend: Backend = field(default_factory=CpuBackend)
    budget: int = field(default_factory=budget_bytes)  # bytes
    # Terms by block, which kernels of some of the blocks share.
    _terms: dict[str, Term] = field(default_factory=dict, repr=False, compare=False)
    _facts: dict[Callable[[Any], Any], Any] = field(default_factory=dict, repr=False, compare=False)
    # None: decided by the size of this kernel's own blocks.
    _caches: bool | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_jacobian(
        cls,
        rows: Jacobian,
        outputs: Outputs = "trace",
        *,
        columns: Jacobian | None = None,
        precision: Precision = "float64",
        backend: Choice | Backend = "auto",
        memory: float | None = None,
    ) -> Kernel:
        """Create a description from the arguments of the public functions.

        Args:
            rows, columns, outputs, precision: see the class.
            backend: "auto", "cpu", "gpu", or a `Backend`.
            memory: budget in GiB; default: 80% of the free memory.
        """
        return cls(rows, columns, outputs, precision, select(backend), budget_bytes(memory))

    def __post_init__(self) -> None:
        check_jacobians(self.sides)
        object.__setattr__(self, "outputs", check_outputs(self.outputs, self.rows.outputs))
        require_one_of("precision", self.precision, get_args(Precision))
        if self.columns is not None:
            check_same_parameters(self.rows, self.columns, "columns of the kernel")

    # -- other kernels

    def only(self, part: Jacobian) -> Kernel:
        """Return the kernel of some of the blocks; it shares what was computed for each block."""
        return replace(self, rows=part, _facts={}, _caches=self.caches)

    def load(self, start: int, stop: int) -> Kernel:
        """Return the kernel of the samples start:stop, a principal submatrix, with factors in memory."""
        return self.replaced(rows=self.rows.load(start, stop))

    def sized(self, samples: int) -> Kernel:
        """Return a kernel of `samples` samples for planning: its sizes are valid, its numbers are not.

        The number of touched columns is that of this kernel.
        """
        other = self.replaced(rows=self.rows.sized(samples))
        other.__dict__["touched_width"] = self.touched_width
        return other

    def replaced(self, **changes: Any) -> Kernel:
        """Return the kernel with some fields replaced, without cached results that depend on them."""
        if {*changes} <= {"precision"}:  # terms do not depend on it
            return replace(self, **changes, _facts={})
        return replace(self, **changes, _terms={}, _facts={}, _caches=None)

    @property
    def in_float64(self) -> Kernel:
        """Return the same kernel in double precision."""
        return self if self.precision == "float64" else self.replaced(precision="float64")

    # -- facts

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the matrix: (N, N), or (N, M) between two sets of samples."""
        return self.size, self.size if self.columns is None else self.columns.kernel_size(self.outputs)

    @property
    def sides(self) -> tuple[Jacobian, ...]:
        """Return the Jacobian of the rows and, unless it is None, that of the columns."""
        return (self.rows,) if self.columns is None else (self.rows, self.columns)

    @property
    def size(self) -> int:
        """Return N, the rows of the matrix."""
        return self.rows.kernel_size(self.outputs)

    @property
    def repeat(self) -> int:
        """Return how many rows of the matrix belong to a sample."""
        return rows_per_sample(self.outputs, self.rows.outputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of its entries."""
        return np.dtype(self.precision)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the matrix when it is formed."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def room(self) -> int:
        """Return the bytes that may be used: the budget, or a share of the free memory of a device."""
        return self.backend.room(self.budget)

    @property
    def limit(self) -> str:
        """Return a description of what `room` is, for messages."""
        device = self.backend.device
        return f"{SHARE:.0%} of what is free on the {device}" if device else BUDGET

    def require(self, what: str, needed: int, alternative: str) -> None:
        """Raise `MemoryBudgetError` if `needed` is more than `room`.

        Args:
            what: what needs the memory, for the message.
            needed: bytes.
            alternative: "or ...", another remedy than more memory, for the message.
        """
        more = "use ⟦--backend=cpu⟧" if self.backend.device else "raise ⟦--memory⟧"
        require(what, needed, self.room, f"{more} {alternative}", self.limit)

    @property
    def facts_fit(self) -> bool:
        """Return whether there is room to load all factors and compute facts from them."""
        return FACTS * self.rows.nbytes <= min(self.budget, self.room)

    @property
    def caches(self) -> bool:
        """Return whether arrays computed from its blocks may stay in memory."""
        if self._caches is not None:
            return self._caches
        return CACHE_ROOM * self.rows.nbytes <= min(self.budget, self.room)

    @property
    def terms(self) -> Iterator[Term]:
        """Yield the term of each block, in order."""
        for block in self.rows:
            term = self._terms.get(block.name)
            if term is None or term.block is not block:
                term = self._terms[block.name] = Term(block, self.outputs, self.backend, self.caches)
            yield term

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of K (N,), computed from the factors."""
        self._require_symmetric()
        return _total(self.size, (term.diagonal for term in self.terms))

    @cached_property
    def absolute_diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal (N,) of the kernel of absolute values; see `Factor.absolute`."""
        if self.additions == 0:
            return self.diagonal
        return _total(self.size, (term.absolute_diagonal for term in self.terms))

    @property
    def trace(self) -> float:
        """Return the trace of K, computed from the factors."""
        return float(self.diagonal.sum())

    @cached_property
    def additions(self) -> int:
        """Return the most additions of entries of the same index for one number, summed over both factors."""
        return max(term.additions for term in self.terms)

    @cached_property
    def touched_width(self) -> int:
        """Return how many columns of J any sample touches, a bound on the rank; this reads sparse indices."""
        self._require_symmetric()
        return sum(term.touched_width for term in self.terms)

    def _require_symmetric(self) -> None:
        """Raise `UsageError` for a kernel between two sets of samples."""
        if self.columns is not None:
            raise UsageError(
                "kernel",
                expected="the kernel of one set of samples",
                got="one between two sets",
                remedy="leave out the columns; singular values of gram(jac, columns=...) are numpy's",
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the description, without cached results."""
        fields = (self.rows, self.columns, self.outputs, self.precision, self.backend, self.budget)
        return type(self), fields

    def fact(self, find: Callable[[Kernel], T]) -> T:
        """Return find(self), computed at the first call and then cached."""
        if find not in self._facts:
            self._facts[find] = find(self)
        fact: T = self._facts[find]
        return fact


def sums_of(kernel: Kernel, parts: Mapping[str, Jacobian]) -> dict[str, Kernel]:
    """Return the kernels of several sums of blocks of one Jacobian, by name.

    If all blocks fit in memory together, they are loaded once for all kernels.

    Args:
        kernel: the kernel of all blocks.
        parts: name -> the blocks to add up.

    Raises:
        UsageError: two different blocks have the same name.
    """
    blocks = blocks_of(parts)
    if FACTS * sum(block.nbytes for block in blocks.values()) <= kernel.budget:
        loaded = {name: block.load() for name, block in blocks.items()}
        parts = {
            name: replace(part, blocks=tuple(loaded[block] for block in part.names))
            for name, part in parts.items()
        }
    return {name: kernel.only(part) for name, part in parts.items()}


def blocks_of(parts: Mapping[str, Jacobian]) -> dict[str, Block]:
    """Return all blocks that occur in several sums, each once, by name.

    Raises:
        UsageError: these are no Jacobians by name, or two different blocks have the same name.
    """
    check_parts(parts)
    blocks: dict[str, Block] = {}
    for block in itertools.chain.from_iterable(parts.values()):
        if blocks.setdefault(block.name, block) is not block:
            raise UsageError(
                f"block {block.name!r}",
                expected="sums of blocks of one Jacobian",
                got="two different blocks of that name",
                remedy="take them one after the other",
            )
    return blocks


def _total(size: int, vectors: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Add up vectors of length `size`."""
    total = np.zeros(size)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for vector in vectors:
            total += vector
    return total
