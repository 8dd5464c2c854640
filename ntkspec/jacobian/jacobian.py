"""The Jacobian of a model at its samples: named blocks with roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkspec.arguments.real_arrays import as_positions
from ntkspec.display import Named, NotAnArray, counted, html_table, listed
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian.block import Block
from ntkspec.jacobian.outputs import Outputs, rows_per_sample
from ntkspec.jacobian.rates import check_rates, with_rate
from ntkspec.machine.memory import format_bytes


@dataclass(frozen=True, repr=False, eq=False)
class Jacobian(NotAnArray, Named):
    """The blocks of one snapshot, all of the same n samples and c outputs.

    Raises:
        UsageError: there are no blocks or samples, blocks have different samples or outputs or the same name,
            or regions are not n integers.

    Example:
        >>> from ntkspec.jacobian import DenseFactor
        >>> rows = DenseFactor(np.arange(6.0).reshape(3, 1, 2))
        >>> blocks = Block("grid.0", "grid", 3, 1, None, rows), Block("out", "network", 3, 1, None, rows)
        >>> jac = Jacobian(blocks)
        >>> jac
        Jacobian(3 samples, 1 output, 4 parameters: grid.0 (grid) 2, out (network) 2)
        >>> jac.without("grid").names, jac.only("grid")["grid.0"].width
        (('out',), 2)
    """

    _ARRAYS = "jac.to_dense(), (n, c, p), or the kernel ntkspec.gram(jac), (N, N)"

    blocks: tuple[Block, ...]
    regions: NDArray[np.int64] | None = None  # (n,) equal numbers: same region of a piecewise-linear network
    regions_certain: bool = False  # every sample that rounding could have moved is a region of its own

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _as_blocks(self.blocks))
        shapes = sorted({(block.samples, block.outputs) for block in self.blocks})
        if len(shapes) != 1:
            raise UsageError(
                "Jacobian",
                expected="one or more blocks with the same samples and outputs",
                got=f"{len(self.blocks)} blocks with (samples, outputs) {shapes}",
                remedy="give blocks of one snapshot",
            )
        if not (self.samples and self.outputs):
            got = counted(sample=self.samples, output=self.outputs)
            raise UsageError("Jacobian", expected="one or more samples and outputs", got=got)
        if len(set(self.names)) < len(self.blocks):
            raise UsageError(
                "Jacobian",
                expected="a name of its own for each block",
                got=f"{', '.join(self.names)}",
                remedy="rename the blocks that share one",
            )
        if self.regions is not None:
            regions = as_positions(self.regions, "regions of a Jacobian", self.samples)
            object.__setattr__(self, "regions", regions)

    def __repr__(self) -> str:
        blocks = listed([f"{block.name} ({block.role}) {block.width}" for block in self.blocks])
        return f"Jacobian({self._counts}: {blocks})"

    @property
    def _counts(self) -> str:
        return counted(sample=self.samples, output=self.outputs, parameter=self.width)

    def _repr_html_(self) -> str:
        """Return a table of the blocks, for notebooks."""
        title = f"Jacobian of {self._counts}"
        rows = [
            (block.name, block.role, block.width, *block.kinds,
             format_bytes(block.nbytes))
            for block in self.blocks
        ]  # fmt: skip
        return html_table(title, ("block", "role", "parameters", "left", "right", "in memory"), rows)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, name: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        raise UsageError(
            "block of a Jacobian",
            expected=f"the name of one of its blocks ({', '.join(self.names)})",
            got=shown(name),
            remedy=f"jac.only({name!r}) keeps the blocks of this role" if name in self.roles else "",
        )

    @property
    def samples(self) -> int:
        """Return n, the number of samples."""
        return self.blocks[0].samples

    @property
    def outputs(self) -> int:
        """Return c, the number of outputs."""
        return self.blocks[0].outputs

    def kernel_size(self, outputs: Outputs) -> int:
        """Return N, the rows of the kernel in an output mode."""
        return self.samples * rows_per_sample(outputs, self.outputs)

    @property
    def width(self) -> int:
        """Return p, the number of parameters."""
        return sum(block.width for block in self.blocks)

    @property
    def nbytes(self) -> int:
        """Return the bytes of all factors as stored."""
        return sum(block.nbytes for block in self.blocks)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the coarsest precision of any factor."""
        return min((block.dtype for block in self.blocks), key=lambda dtype: dtype.itemsize)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the blocks, in order."""
        return tuple(block.name for block in self.blocks)

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles that occur, each once, in order of appearance."""
        return tuple(dict.fromkeys(block.role for block in self.blocks))

    def only(self, *selection: str) -> Jacobian:
        """Keep the blocks with one of these names or roles; a word that is both keeps all of them.

        Raises:
            UsageError: a word is neither a name nor a role of a block, or no block is left.
        """
        self._check(selection)
        return self.keep(lambda block: _selected(block, selection))

    def without(self, *selection: str) -> Jacobian:
        """Drop the blocks with one of these names or roles, for an ablation: the kernel sums the others.

        A word that is the name of a block and the role of others drops all of them.

        Raises:
            UsageError: a word is neither a name nor a role of a block, or no block is left.
        """
        self._check(selection)
        if all(_selected(block, selection) for block in self.blocks):
            raise UsageError(
                f"dropping {', '.join(selection)}",
                expected="at least one block left",
                got="none",
                remedy="drop fewer blocks",
            )
        return self.keep(lambda block: not _selected(block, selection))

    def keep(self, wanted: Callable[[Block], bool]) -> Jacobian:
        """Keep the blocks for which a function returns True; at least one."""
        return replace(self, blocks=tuple(block for block in self.blocks if wanted(block)))

    def scaled(self, rates: Mapping[str, float]) -> Jacobian:
        """Multiply each column by the square root of its learning rate: J diag(s)^(1/2).

        The kernel of the result, J diag(s) J^T, is the effective kernel of gradient descent with rates s.

        Args:
            rates: name or role of blocks -> learning rate of all their parameters. A name takes precedence
                over a role; blocks that are not mentioned have rate 1. One factor of each scaled block is
                loaded. It keeps its precision, so a rate that is not a power of 4 rounds it once more.

        Raises:
            UsageError: `rates` is no mapping, a name is unknown, a rate is not positive and finite, or scaled
                numbers leave the range of their precision.
        """
        rates = check_rates(rates)
        self._check(rates)
        blocks = (with_rate(block, rates.get(block.name, rates.get(block.role, 1.0))) for block in self)
        return replace(self, blocks=tuple(blocks))

    def load(self, start: int = 0, stop: int | None = None) -> Jacobian:
        """Return the samples start:stop, in memory."""
        regions = None if self.regions is None else self.regions[start:stop]
        return replace(self, blocks=tuple(block.load(start, stop) for block in self), regions=regions)

    def rows(self, samples: ArrayLike) -> Jacobian:
        """Return some of the samples, in memory and in the order given.

        Args:
            samples: their numbers, from 0 to n - 1; a number may be repeated.

        Raises:
            UsageError: `samples` is empty, or has values that are not whole numbers or not in that range.

        Example:
            >>> from ntkspec.jacobian import Block, DenseFactor
            >>> rows = DenseFactor(np.arange(6.0).reshape(3, 1, 2))
            >>> jac = Jacobian((Block("theta", "network", 3, 1, None, rows),))
            >>> jac.rows([2, 0]).to_dense()[:, 0].tolist()
            [[4.0, 5.0], [0.0, 1.0]]
        """
        try:
            indices = np.asarray(samples)
        except ValueError:  # lists of several lengths
            indices = np.empty(0)
        if not (indices.ndim == 1 and indices.size and indices.dtype.kind in "iu") or not (
            indices.min() >= 0 and indices.max() < self.samples
        ):
            raise UsageError(
                "samples",
                expected=f"one or more whole numbers from 0 to {self.samples - 1}",
                got=shown(samples),
                remedy="number samples from 0, as the run file has them",
            )
        indices = indices.astype(np.intp)
        regions = None if self.regions is None else self.regions[indices]
        return replace(self, blocks=tuple(block.rows(indices) for block in self), regions=regions)

    def sized(self, samples: int) -> Jacobian:
        """Return a Jacobian of `samples` copies of the first sample, as views that take no memory."""
        return replace(self, blocks=tuple(block.sized(samples) for block in self), regions=None)

    def to_dense(self) -> NDArray[Any]:
        """Return J as an array (n, c, p), blocks side by side; for tests and small cases."""
        return np.concatenate([block.to_dense() for block in self.blocks], axis=2)

    def _check(self, selection: Iterable[str]) -> None:
        """Raise `UsageError` if a word of a selection is neither a name nor a role of a block."""
        unknown = [word for word in selection if word not in (*self.names, *self.roles)]
        if unknown:
            raise UsageError(
                "block selection",
                expected=f"a role ({', '.join(self.roles)}) or a block ({', '.join(self.names)})",
                got=", ".join(map(shown, unknown)),
            )


def require_jacobian(value: object, where: str) -> None:
    """Raise `UsageError` unless a value is a Jacobian.

    Args:
        value: what a caller gave.
        where: what it is for, for the message.
    """
    if not isinstance(value, Jacobian):
        raise UsageError(
            where,
            expected="a Jacobian, such as run['end'].jacobian",
            got=shown(value),
            remedy="ntkspec.open_run opens a run file; ntkspec.export.jacobian makes one of a model",
        )


def _as_blocks(given: object) -> tuple[Block, ...]:
    """Return blocks as a tuple; raise `UsageError` where other things came."""
    blocks = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(block, Block) for block in blocks):
        raise UsageError(
            "Jacobian",
            expected="a tuple of blocks, each an ntkspec.Block",
            got=shown(given),
            remedy="give a single block as (block,)",
        )
    return blocks


def _selected(block: Block, selection: Iterable[str]) -> bool:
    return block.name in selection or block.role in selection
