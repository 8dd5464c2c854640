"""Which sums of blocks a report takes spectra of: the whole, its parts by role, and ablations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ntkspec.jacobian import Jacobian


def sums_of_blocks(jacobian: Jacobian, drop: Sequence[Sequence[str]]) -> dict[str, Jacobian]:
    """The sums of blocks to take spectra of. An ablation sums what it keeps; nothing is subtracted."""
    parts = {"total": jacobian}

    def add(name: str, part: Jacobian) -> None:
        """Under a name that is free: a file may hold any role, "total" among them."""
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


def _of_role(jacobian: Jacobian, role: str) -> Jacobian:
    """By role alone: a network's block may be called "grid"."""
    return jacobian.keep(lambda block: block.role == role)


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} #{count}" for count in itertools.count(2))
