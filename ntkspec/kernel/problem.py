"""The problem: which kernel, where and in how much memory. Described, not computed; facts are found once.

    K = J J^T, or J_rows J_columns^T between the samples of two Jacobians of the same parameters

`gram`, `operator` and `spectrum` are faces of it: each makes a `Kernel` of its arguments and hands it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, CpuBackend, Precision, select
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Jacobian, Outputs, check_outputs, rows_per_sample
from ntkspec.kernel.term import Term
from ntkspec.memory import BUDGET, SHARE, budget_bytes, require

T = TypeVar("T")

FACTS = 4  # times the factors as stored: what looking for facts takes, with a copy in double precision
# Arrays that are made of the factors stay in memory where the budget is so many times the factors as stored.
# They take eight times as much at most: an eighth of the budget, which plans leave out.
KEPT = 64


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a kernel is: rows, columns, outputs, precision; and where it is computed, in how much memory.

    Raises:
        UsageError: an output mode or a precision that there is not, or columns of other parameters.

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
    # Of blocks, by name, so that kernels of some of the blocks share what is known of each.
    _terms: dict[str, Term] = field(default_factory=dict, repr=False, compare=False)
    _facts: dict[Callable[[Any], Any], Any] = field(default_factory=dict, repr=False, compare=False)
    _held: bool | None = field(
        default=None, repr=False, compare=False
    )  # None: as all of its own blocks allow

    @classmethod
    def of(
        cls,
        rows: Jacobian,
        outputs: Outputs = "trace",
        *,
        columns: Jacobian | None = None,
        precision: Precision = "float64",
        backend: Choice | Backend = "auto",
        memory: float | None = None,
    ) -> Kernel:
        """Describe a kernel in a caller's words.

        Args:
            rows, columns, outputs, precision: see the class.
            backend: "auto", "cpu", "gpu", or one that is at hand.
            memory: budget in GiB; default 80% of what is free.
        """
        return cls(rows, columns, outputs, precision, select(backend), budget_bytes(memory))

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", check_outputs(self.outputs, self.rows.outputs))
        if self.precision not in get_args(Precision):
            raise UsageError(
                "precision",
                expected=" or ".join(get_args(Precision)),
                got=repr(self.precision),
                remedy="choose one of these",
            )
        if self.columns is not None:
            check_same_parameters(self.rows, self.columns, "columns of the kernel")

    # -- other kernels

    def only(self, part: Jacobian) -> Kernel:
        """Describe the kernel of some of the blocks; what is known of each block is shared."""
        return replace(self, rows=part, _facts={}, _held=self.held)

    def part(self, start: int, stop: int) -> Kernel:
        """Describe the kernel of the samples start:stop, a principal submatrix."""
        return self.otherwise(rows=self.rows.load(start, stop))

    def sized(self, samples: int) -> Kernel:
        """Describe a kernel of so many samples, for plans alone: of this one's sizes, not its numbers.

        No further columns are touched.
        """
        other = self.otherwise(rows=self.rows.sized(samples))
        other.__dict__["touched_width"] = self.touched_width
        return other

    def otherwise(self, **changes: Any) -> Kernel:
        """Describe the kernel with other fields; what depends on them is found anew."""
        if {*changes} <= {"precision"}:  # which terms do not know
            return replace(self, **changes, _facts={})
        return replace(self, **changes, _terms={}, _facts={}, _held=None)

    @property
    def precise(self) -> Kernel:
        """The same kernel in double precision."""
        return self if self.precision == "float64" else self.otherwise(precision="float64")

    # -- facts

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.size, self.size if self.columns is None else self.columns.kernel_size(self.outputs)

    @property
    def size(self) -> int:
        """N, the rows of the matrix."""
        return self.rows.kernel_size(self.outputs)

    @property
    def repeat(self) -> int:
        """Rows of the matrix per sample."""
        return rows_per_sample(self.outputs, self.rows.outputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its entries."""
        return np.dtype(self.precision)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix, if it were formed."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def room(self) -> int:
        """Bytes to plan with where it is computed: the budget, or on a device what is free there."""
        return self.backend.room(self.budget)

    @property
    def limit(self) -> str:
        """What sets the room, in words."""
        device = self.backend.device
        return f"{SHARE:.0%} of what is free on the {device}" if device else BUDGET

    def require(self, what: str, needed: int, otherwise: str) -> None:
        """Raise `MemoryBudgetError` unless there is room for `needed` bytes where it is computed.

        Args:
            what: needs them.
            otherwise: "or ...", what else to do than to have more room.
        """
        more = "use --backend cpu" if self.backend.device else "raise --memory"
        require(what, needed, self.room, f"{more} {otherwise}", self.limit)

    @property
    def facts_fit(self) -> bool:
        """Whether there is room for all factors, and for what is made of them to look for facts."""
        return FACTS * self.rows.nbytes <= min(self.budget, self.room)

    @property
    def held(self) -> bool:
        """Whether arrays that are made of its blocks may stay in memory."""
        if self._held is not None:
            return self._held
        return KEPT * self.rows.nbytes <= min(self.budget, self.room)

    @property
    def terms(self) -> Iterator[Term]:
        """The blocks' parts of the kernel, in order."""
        for block in self.rows:
            known = self._terms.get(block.name)
            if known is not None and known.block is block:
                yield known
                continue
            self._terms[block.name] = Term(block, self.outputs, self.backend, self.held)
            yield self._terms[block.name]

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """The diagonal of K (N,)."""
        self._require_symmetric()
        return _total(self.size, (term.diagonal for term in self.terms))

    @cached_property
    def absolute_diagonal(self) -> NDArray[np.float64]:
        """The diagonal of the kernel of absolute values (N,): entries that collide do not cancel."""
        if self.additions == 0:
            return self.diagonal
        return _total(self.size, (term.absolute_diagonal for term in self.terms))

    @property
    def trace(self) -> float:
        """The trace of K, from the factors."""
        return float(self.diagonal.sum())

    @cached_property
    def additions(self) -> int:
        """Additions of entries that collide, in both factors of a block, at most."""
        return max(term.additions for term in self.terms)

    @cached_property
    def touched_width(self) -> int:
        """Columns of J that some sample touches, an upper bound on the rank; reads sparse indices."""
        self._require_symmetric()
        return sum(term.touched_width for term in self.terms)

    def _require_symmetric(self) -> None:
        if self.columns is not None:
            raise UsageError(
                "kernel",
                expected="the kernel of one set of samples",
                got="one between two sets",
                remedy="leave out the columns; singular values of gram(jac, columns=...) are numpy's",
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the description without the facts."""
        own = (self.rows, self.columns, self.outputs, self.precision, self.backend, self.budget)
        return type(self), own

    def fact(self, find: Callable[[Kernel], T]) -> T:
        """Return what a function says of this kernel; it is asked once."""
        if find not in self._facts:
            self._facts[find] = find(self)
        found: T = self._facts[find]
        return found


def sums_of(kernel: Kernel, parts: Mapping[str, Jacobian]) -> dict[str, Kernel]:
    """Describe the kernels of several sums of blocks of one Jacobian, each block read once if it is small.

    Args:
        kernel: of all blocks.
        parts: name -> the blocks to add up.

    Raises:
        UsageError: two different blocks of one name.
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
    """Return every block of several sums once, by name.

    Raises:
        UsageError: two different blocks of one name.
    """
    blocks: dict[str, Block] = {}
    for block in (block for jacobian in parts.values() for block in jacobian):
        if blocks.setdefault(block.name, block) is not block:
            raise UsageError(
                f"block {block.name!r}",
                expected="sums of blocks of one Jacobian",
                got="two different blocks of that name",
                remedy="take them one after the other",
            )
    return blocks


def check_same_parameters(rows: Jacobian, columns: Jacobian, where: str) -> None:
    """Raise `UsageError` where two Jacobians are not of the same parameters, as far as they say.

    Args:
        rows, columns: of the kernel between them.
        where: names the columns in the message.
    """
    if (said := _parameters(rows)) == (found := _parameters(columns)):
        return
    names = sorted({*said, *found})
    apart = next((name for name in names if said.get(name) != found.get(name)), "")
    expected, got = (one.get(apart, f"no block {apart}") for one in (said, found))
    raise UsageError(
        where,
        expected=f"the parameters of its rows: {expected}",
        got=got,
        remedy="take both Jacobians from one model, with the same blocks and factors",
    )


def _parameters(jacobian: Jacobian) -> dict[str, str]:
    """What each block says of its columns, by its name."""
    return {
        block.name: f"block {block.name}, {jacobian.outputs} outputs, widths {block.widths}, "
        + " ".join(f"{parameter.name} {parameter.shape}" for parameter in block.parameters)
        for block in jacobian
    }


def _total(size: int, parts: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    total = np.zeros(size)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for part in parts:
            total += part
    return total
