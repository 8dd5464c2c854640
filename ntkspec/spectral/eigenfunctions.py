"""Eigenfunctions of a kernel: its eigenvectors, and their values between the samples (Nystroem).

    phi_i(x) = sum_j K(x, x_j) v_i(x_j) / lambda_i

(Williams and Seeger 2001, "Using the Nystroem method to speed up kernel machines"; at the samples it is v_i.)
The kernel between the points and the samples is never in memory as a whole: each tile is multiplied and
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import as_index, whole_number
from ntkspec.backend import Backend, Choice
from ntkspec.display import NotAnArray, counted, listed
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel import tiles
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import FLOAT64, gram_errors, magnitude_of
from ntkspec.spectral.bounds.record import require
from ntkspec.spectral.record import Spectrum
from ntkspec.summation import gamma

MODES = (1, 2, 3, 4, 8, 16, 64, 256)  # those that reports show
OF_TRACE = 1e-12  # traces that differ by less are one trace: two backends may add it up in two orders
MOST_ERROR = 0.01  # share of a mode that rounding may change, beyond which it is not extended


@dataclass(frozen=True, repr=False, eq=False)
class Eigenfunctions(NotAnArray):
    """Some eigenvectors of a kernel, of length 1 at its samples, or their values at other points.

    The sign is such that the sample's value of largest magnitude, the first of equals, is positive.
    """

    _ARRAYS = "its array .values, (N, k), of the samples, or (M, k) of other points"

    modes: tuple[int, ...]  # k of them, ascending, from 1: that of the largest eigenvalue
    eigenvalues: NDArray[np.float64]  # (k,)
    values: NDArray[np.float64]  # (N, k), a row for each of the kernel's; at other points (M, k)
    error: NDArray[np.float64]  # (k,) of an extension, as a share of the mode, at most; 0 at the samples
    left_out: Mapping[int, str] = field(default_factory=dict)  # modes that were asked for, and why not

    def __repr__(self) -> str:
        return f"Eigenfunctions(modes {listed([*map(str, self.modes)])} at {counted(point=len(self.values))})"


def eigenfunctions(
    spectrum: Spectrum,
    jacobian: Jacobian,
    at: Jacobian | None = None,
    modes: int | Iterable[int] = MODES,
    outputs: Outputs = "trace",
    *,
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> Eigenfunctions:
    """Find eigenfunctions of a kernel at its samples or, by Nystroem's extension, at other points.

    An extension divides the rounding errors of a sum over the samples by the eigenvalue. `error` states what
    they may change, as a share of the mode: the extension to the samples themselves differs from v_i by at
    most so much. Between the samples the error is the same if the points are spread as the samples are.
    Eigenvectors of equal eigenvalues may be rotated into each other, and so, nearly, may those of nearly
    equal ones.

    Args:
        spectrum: of `jacobian` in the same output mode, with vectors.
        jacobian: blocks at the n samples, in memory or in a run file.
        at: the Jacobian of the same parameters at other inputs; default: the values at the samples.
        modes: number of a mode, from 1, or several. Modes that are not resolved are left out, and so are
            modes whose extension rounding may change by more than 1%.
        outputs: output mode of the kernel.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default 80% of what is free.

    Raises:
        UsageError: a spectrum without vectors or of another kernel, other parameters, or a mode below 1.
        MemoryBudgetError: the tiles at work and the factors of two samples do not fit.

    Source:
        Williams and Seeger 2001, "Using the Nystroem method to speed up kernel machines", equation 8.

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> from ntkspec.spectral import spectrum
        >>> def jac(*rows):
        ...     right = DenseFactor(np.array(rows)[:, None])
        ...     return Jacobian((Block("w", "network", len(rows), 1, None, right),))
        >>> samples = jac([3.0, 0.0], [0.0, 1.0])
        >>> modes = eigenfunctions(spectrum(samples, vectors=True), samples, jac([6.0, 5.0]), modes=[1, 2])
        >>> modes.eigenvalues.round(9).tolist(), modes.values.round(9).tolist()
        ([9.0, 1.0], [[2.0, 5.0]])
    """
    kernel = Kernel.from_jacobian(jacobian, outputs, backend=backend, memory=memory)
    return eigenfunctions_of(kernel, spectrum, at, modes)


def eigenfunctions_of(
    kernel: Kernel, spectrum: Spectrum, at: Jacobian | None = None, modes: int | Iterable[int] = MODES
) -> Eigenfunctions:
    """Find eigenfunctions of a kernel; see `eigenfunctions`."""
    # An array of no axes is one number.
    given = [modes] if as_index(modes) is not None or not isinstance(modes, Iterable) else modes
    asked = sorted({whole_number(mode, "mode", 1) for mode in given})
    vectors, left_out = _vectors(spectrum, kernel), dict[int, str]()
    for mode in asked:
        if mode > spectrum.resolved:
            few = mode > len(spectrum.eigenvalues)
            left_out[mode] = "its eigenvalue was not computed" if few else "its eigenvalue is not resolved"
    kept = [mode for mode in asked if mode not in left_out]
    error = np.zeros(len(kept))
    between = None
    if at is not None:
        between = kernel.in_float64.replaced(rows=at, columns=kernel.rows)
        plan = Assembly.from_kernel(between, targets_given=True)
        error = _error(kernel, spectrum, kept, plan)
        for mode, share in zip(kept, error, strict=True):
            if share > MOST_ERROR:
                left_out[mode] = f"rounding may change {share:.2%} of it, more than {MOST_ERROR:.0%}"
        error = error[error <= MOST_ERROR]
        kept = [mode for mode in kept if mode not in left_out]
    columns = np.array(kept, dtype=np.intp) - 1
    values, eigenvalues = _upright(vectors[:, columns]), spectrum.eigenvalues[columns]
    if between is not None:
        values = _times(between, plan, values) / eigenvalues
    return Eigenfunctions(tuple(kept), eigenvalues, values, error, left_out)


def _vectors(spectrum: Spectrum, kernel: Kernel) -> NDArray[np.float64]:
    """Return the eigenvectors of a spectrum, once sizes and blocks agree with the kernel's."""
    require("Spectrum", spectrum, "eigenfunctions")
    if spectrum.vectors is None:
        expected, got = "a spectrum with eigenvectors", "one without"
    elif spectrum.size != kernel.size:
        expected, got = f"the spectrum of a kernel of {kernel.size} rows", f"one of {spectrum.size}"
    elif spectrum.blocks != kernel.rows.names:
        expected, got = f"the spectrum of blocks {kernel.rows.names}", f"one of {spectrum.blocks}"
    elif not _same_trace(spectrum, kernel):
        expected = f"the spectrum of this kernel, whose trace is {kernel.trace:.6g}"
        got = f"that of another output mode or Jacobian, with trace {spectrum.trace:.6g}"
    else:
        return spectrum.vectors
    remedy = "take ntkspec.spectrum(jac, outputs, vectors=True) of the same Jacobian"
    raise UsageError("eigenfunctions", expected=expected, got=got, remedy=remedy)


def _same_trace(spectrum: Spectrum, kernel: Kernel) -> bool:
    """Return whether a spectrum's kernel has the trace of this one, but for the rounding of both."""
    return abs(spectrum.trace - kernel.trace) <= 2 * spectrum.trace_error + OF_TRACE * kernel.trace


def _upright(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give eigenvectors (N, k) the signs that `Eigenfunctions` promises."""
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _error(kernel: Kernel, spectrum: Spectrum, modes: list[int], plan: Assembly) -> NDArray[np.float64]:
    """Bound how far K v / lambda is from v, for each mode v of length 1; (k,).

    v is an eigenvector of a kernel K + E that forming and solving have changed, so that
    (K v - lambda v) / lambda is -E v / lambda. K v itself is computed from tiles of K, whichever solver gave
    v, so that E is no smaller than the error of forming K.
    """
    columns = np.array(modes, dtype=np.intp) - 1
    values, magnitude = spectrum.eigenvalues[columns], kernel.in_float64.fact(magnitude_of)
    of_forming = gram_errors(magnitude, FLOAT64).error(values, float(spectrum.eigenvalues[0]))
    step, samples = plan.tiling.step, kernel.rows.samples
    added = step * kernel.repeat + -(-samples // step)  # within a tile, and tiles to each other
    return (np.maximum(of_forming, spectrum.error[columns]) + gamma(added) * magnitude.norm) / values


def _times(kernel: Kernel, plan: Assembly, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply the kernel between two sets of samples (M, N) with vectors (N, k), a tile at a time."""
    engine, repeat = kernel.backend, kernel.repeat
    on_backend, product = engine.put(vectors, np.float64), np.zeros((kernel.size, vectors.shape[1]))

    def work(pairs: list[tuple[tiles.Strip, tiles.Strip]]) -> tuple[slice, NDArray[np.float64]]:
        rows = pairs[0][0]
        total: Any = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for _, columns in pairs:  # in order, so that the sum is the same bits every time
                tile = tiles.compute(rows, columns, plan.groups, kernel)["total"]
                total = total + tile @ on_backend[columns.start * repeat : columns.stop * repeat]
        return slice(rows.start * repeat, rows.stop * repeat), engine.get(total)

    for pairs in tiles.panel_pairs(kernel, plan.tiling):
        of_rows = [list(group) for _, group in groupby(pairs, lambda pair: pair[0].start)]
        for rows, part in engine.each(work, of_rows):
            product[rows] += part
    if not np.isfinite(product).all():
        raise UsageError(
            "eigenfunctions",
            expected="factors at the other points that float64 can multiply",
            got="an overflow, or factors with NaN",
            remedy="rescale the model's outputs, or see that the network did not diverge",
        )
    return product
