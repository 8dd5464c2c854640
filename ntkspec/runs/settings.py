"""Define how run files are analysed: the settings, the samples that they choose, and the kernel at these."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import Floats
from ntkspec.backend import Backend, Choice, Precision
from ntkspec.errors import UsageError, require_one_of
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.choose import check_precision
from ntkspec.spectral.solvers import SOLVERS

When = Literal["auto", "always", "never"]
MOST_MODES = 2048  # of a kernel whose eigenvectors are computed without being asked for


def draw(samples: int, settings: RunSettings) -> NDArray[np.intp]:
    """Return the numbers of the samples to analyse, ascending: all, or as many as asked for, at random.

    Two runs of equally many samples give the same numbers for the same seed.

    Raises:
        UsageError: the run has fewer samples than asked for.

    Example:
        >>> draw(10, RunSettings(samples=3, seed=1)).tolist()
        [3, 4, 7]
    """
    if settings.samples is None:
        return np.arange(samples)
    wanted = whole_number(settings.samples, "⟦--samples⟧", 1)
    if wanted > samples:
        raise UsageError(
            "⟦--samples⟧", expected=f"at most the run's {samples}", got=str(wanted), remedy="ask for fewer"
        )
    return np.sort(np.random.default_rng(settings.seed).choice(samples, wanted, replace=False))


def drawn(jacobian: Jacobian, settings: RunSettings, part: range | None = None) -> Jacobian:
    """Return the Jacobian of the samples to analyse, or of a range of these.

    Args:
        jacobian: of all samples of the run.
        settings: say which samples are analysed.
        part: places among the samples to analyse, from 0; their factors are loaded into memory.
    """
    if settings.samples is not None:
        numbers = draw(jacobian.samples, settings)
        return jacobian.rows(numbers if part is None else numbers[part.start : part.stop])
    return jacobian if part is None else jacobian.load(part.start, part.stop)


def kernel_of(
    jacobian: Jacobian, settings: RunSettings, engine: Backend, columns: Jacobian | None = None
) -> Kernel:
    """Describe the kernel of these samples by the settings' outputs, precision and memory; see `Kernel`."""
    return Kernel.from_jacobian(
        jacobian,
        settings.outputs,
        columns=columns,
        precision=settings.precision,
        backend=engine,
        memory=settings.memory,
    )


def digest(inputs: Floats) -> str:
    """Return a hash of coordinates (n, d), equal only for equal coordinates; their dtype does not matter.

    Example:
        >>> digest(np.zeros((2, 1), dtype=np.float32)) == digest(-np.zeros((2, 1)))
        True
    """
    numbers = np.ascontiguousarray(inputs, dtype="<f8") + 0.0  # makes 0 of -0
    return blake2b(repr(inputs.shape).encode() + numbers.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class RunSettings:
    """The settings of an analysis, as plain values that can be pickled and compared.

    Raises:
        UsageError: there is no such method or precision, `seed` is no whole number, or `precision`, `check`
            or `alignment` asks for what the method, or `k`, cannot give.
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
        require_one_of("method", self.method, get_args(MethodChoice))
        require_one_of("precision", self.precision, get_args(Precision))
        check_precision(self.method, self.precision)
        object.__setattr__(self, "seed", whole_number(self.seed, "⟦--seed⟧", 0))
        solver = None if self.method == "auto" else SOLVERS[self.method]  # None: any that fits
        if self.check and (self.k is not None or (solver and not solver.complete)):
            raise UsageError(
                "⟦--check⟧",
                expected="all eigenvalues",
                got="the largest k alone"
                if self.k is not None
                else f"method {self.method}, the largest alone",
                remedy="leave out ⟦-k⟧, ⟦--check⟧, or the method",
            )
        require_one_of("⟦--alignment⟧", self.alignment, get_args(When))
        if self.alignment == "always":
            self.require_vectors("⟦--alignment=always⟧")

    def require_vectors(self, option: str) -> None:
        """Raise `UsageError` if an option asks for eigenvectors, which the method does not give."""
        able = [name for name, solver in SOLVERS.items() if solver.vectors]
        if self.method in SOLVERS and self.method not in able:
            raise UsageError(
                option,
                expected=f"method auto or {' or '.join(able)}, which give eigenvectors",
                got=f"method {self.method}",
                remedy="leave out one of the two",
            )


DEFAULTS = RunSettings()
