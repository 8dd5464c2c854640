"""The Jacobian of a model at its samples: named blocks with roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian.block import Block
from ntkspec.jacobian.outputs import Outputs, rows_per_sample


@dataclass(frozen=True, repr=False)
class Jacobian:
    """Blocks of one snapshot; all have the same samples n and outputs c. Sums of blocks are kernels."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        shapes = sorted({(block.samples, block.outputs) for block in self.blocks})
        if len(shapes) != 1:
            raise UsageError(
                "Jacobian",
                expected="one or more blocks with the same samples and outputs",
                got=f"{len(self.blocks)} blocks with (samples, outputs) {shapes}",
                remedy="give blocks of one snapshot",
            )

    def __repr__(self) -> str:
        blocks = ", ".join(f"{block.name} ({block.role}) {block.width}" for block in self.blocks)
        return f"Jacobian({self.samples} samples, {self.outputs} outputs, {self.width} parameters: {blocks})"

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, name: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        raise self._unknown([name])

    @property
    def samples(self) -> int:
        """n."""
        return self.blocks[0].samples

    @property
    def outputs(self) -> int:
        """c."""
        return self.blocks[0].outputs

    def kernel_size(self, outputs: Outputs) -> int:
        """N, the rows of the kernel in an output mode."""
        return self.samples * rows_per_sample(outputs, self.outputs)

    @property
    def width(self) -> int:
        """p, the number of parameters."""
        return sum(block.width for block in self.blocks)

    @property
    def nbytes(self) -> int:
        """Bytes of all factors as stored."""
        return sum(block.nbytes for block in self.blocks)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The coarsest precision of any factor."""
        return min((block.dtype for block in self.blocks), key=lambda dtype: dtype.itemsize)

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks' names, in order."""
        return tuple(block.name for block in self.blocks)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that occur, each once, in order of appearance."""
        return tuple(dict.fromkeys(block.role for block in self.blocks))

    def only(self, *selection: str) -> Jacobian:
        """The blocks with one of these names or roles.

        Raises:
            UsageError: a selection names nothing, or nothing is left.
        """
        self._check(selection)
        return Jacobian(tuple(block for block in self.blocks if _selected(block, selection)))

    def without(self, *selection: str) -> Jacobian:
        """The blocks with none of these names or roles: an ablation keeps blocks, it never subtracts.

        Raises:
            UsageError: a selection names nothing, or nothing is left.
        """
        self._check(selection)
        kept = tuple(block for block in self.blocks if not _selected(block, selection))
        if not kept:
            raise UsageError(
                f"dropping {', '.join(selection)}",
                expected="at least one block left",
                got="none",
                remedy="drop fewer blocks",
            )
        return Jacobian(kept)

    def load(self, start: int = 0, stop: int | None = None) -> Jacobian:
        """The samples start:stop, in memory."""
        return Jacobian(tuple(block.load(start, stop) for block in self.blocks))

    def to_dense(self) -> NDArray[Any]:
        """J (n, c, p) by the definition, blocks side by side; for tests and small cases."""
        return np.concatenate([block.to_dense() for block in self.blocks], axis=2)

    def _check(self, selection: Iterable[str]) -> None:
        known = {*self.names, *self.roles}
        missing = [word for word in selection if word not in known]
        if missing:
            raise self._unknown(missing)

    def _unknown(self, missing: list[str]) -> UsageError:
        return UsageError(
            "block selection",
            expected=f"a role ({', '.join(self.roles)}) or a block ({', '.join(self.names)})",
            got=", ".join(map(repr, missing)),
            remedy="name one of these",
        )


def _selected(block: Block, selection: Iterable[str]) -> bool:
    return block.name in selection or block.role in selection
