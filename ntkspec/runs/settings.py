"""Define the settings with which run files are analysed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ntkspec.backend import Choice, Precision
from ntkspec.errors import UsageError, not_one_of
from ntkspec.jacobian import Outputs
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.solvers import SOLVERS

When = Literal["auto", "always", "never"]
MOST_MODES = 2048  # of a kernel whose eigenvectors are computed without being asked for


@dataclass(frozen=True)
class RunSettings:
    """The settings of an analysis, as plain values that can be pickled and compared.

    Raises:
        UsageError: `check` or `alignment` asks for what the method, or `k`, cannot give.
    """

    snapshot: str = "all"  # a label, an id or a step, or "all"
    method: MethodChoice = "auto"
    k: int | None = None  # only so many eigenvalues, the largest; None: all
    outputs: Outputs = "trace"
    drop: tuple[tuple[str, ...], ...] = ()  # further ablations: roles or blocks to leave out
    backend: Choice = "auto"
    precision: Precision = "float64"
    memory: float | None = None  # GiB
    check: bool = False  # compute every total kernel and spectrum in a second way, too
    samples: int | None = None  # so many of the run's, drawn at random; None: all
    seed: int = 0  # of that draw
    alignment: When = "auto"  # whether to find where the targets lie, which needs eigenvectors

    def __post_init__(self) -> None:
        # None: any that fits, or one that is unknown, which is refused later.
        solver = None if self.method == "auto" else SOLVERS.get(self.method)
        if self.check and (self.k is not None or (solver and not solver.complete)):
            raise UsageError(
                "⟦--check⟧",
                expected="all eigenvalues",
                got="the largest k alone"
                if self.k is not None
                else f"method {self.method}, the largest alone",
                remedy="leave out ⟦-k⟧, ⟦--check⟧, or the method",
            )
        if self.alignment not in get_args(When):
            raise not_one_of("⟦--alignment⟧", self.alignment, get_args(When))
        if self.alignment == "always" and solver and not solver.vectors:
            able = [name for name, solver in SOLVERS.items() if solver.vectors]
            raise UsageError(
                "⟦--alignment=always⟧",
                expected=f"method auto or {' or '.join(able)}, which give eigenvectors",
                got=f"method {self.method}",
                remedy="leave out the method, or ⟦--alignment⟧",
            )


DEFAULTS = RunSettings()
