"""Which sums of blocks a report takes spectra of: the whole, its parts by role, and ablations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ntkspec.jacobian import Jacobian


def sums_of_blocks(jacobian: Jacobian, drop: Sequence[Sequence[str]]) -> dict[str, Jacobian]:
    """Return the sums of blocks to take spectra of, by name: "total", the parts by role, and ablations.

    An ablation is the sum of the blocks that it keeps; nothing is subtracted from the total.

    Args:
        jacobian: of all blocks.
        drop: for each ablation the words that name what it leaves out, see `Jacobian.without`.

    Example:
        >>> from ntkspec.jacobian import Block, Ones
        >>> roles = {"w": "network", "g": "grid"}
        >>> blocks = tuple(Block(name, role, 2, 1, None, Ones(2, 1)) for name, role in roles.items())
        >>> parts = sums_of_blocks(Jacobian(blocks), drop=[["w"]])
        >>> {name: part.names for name, part in parts.items()}
        {'total': ('w', 'g'), 'no_grid': ('w',), 'grid': ('g',), 'no_w': ('g',)}
    """
    parts = {"total": jacobian}

    def add(name: str, part: Jacobian) -> None:
        """Add a part under a name that is free: a file may hold any role, even one called "total".

        What is there under this name with the same blocks, as no_grid where "grid" is dropped, stands once.
        """
        if name not in parts or parts[name].names != part.names:
            parts[next(free for free in _names(name) if free not in parts)] = part

    if "grid" in jacobian.roles:
        if len(jacobian.roles) > 1:
            parts["no_grid"] = jacobian.keep(lambda block: block.role != "grid")
        parts["grid"] = _of_role(jacobian, "grid")
    for role in jacobian.roles:
        if role not in ("network", "grid"):
            add(f"role {role}" if role in ("", "total", "no_grid") else role, _of_role(jacobian, role))
    for words in drop:
        add("no_" + "+".join(words), jacobian.without(*words))
    return parts


def double_meanings(jacobian: Jacobian, drop: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each word of `drop` that is a role and the name of a block of another role.

    Example:
        >>> from ntkspec.jacobian import Block, Ones
        >>> roles = {"grid": "network", "table": "grid", "w": "network"}
        >>> blocks = tuple(Block(name, role, 2, 1, None, Ones(2, 1)) for name, role in roles.items())
        >>> [*double_meanings(Jacobian(blocks), drop=[["grid"], ["w"]])]
        ["dropping 'grid' leaves out the block of that name and all blocks of that role"]
    """
    for word in dict.fromkeys(itertools.chain(*drop)):
        if word in jacobian.roles and word in jacobian.names and jacobian[word].role != word:
            yield f"dropping {word!r} leaves out the block of that name and all blocks of that role"


def _of_role(jacobian: Jacobian, role: str) -> Jacobian:
    """Keep the blocks of a role. Names do not count: a block of the network may be called "grid"."""
    return jacobian.keep(lambda block: block.role == role)


def _names(name: str) -> Iterator[str]:
    """Yield a name, and then the same name with numbers from 2."""
    yield name
    yield from (f"{name} #{count}" for count in itertools.count(2))
