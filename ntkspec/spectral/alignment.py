"""Where the targets lie in the spectrum of a kernel: what each of its modes holds of them.

    K = V diag(lambda) V^T,    share of mode i = sum_o (v_i . y_o)^2 / ||Y||_F^2

Y (n, c) are the targets, one column an output, their mean over the samples taken away from each: any network
learns a constant at once, and its share would hide that of the detail. Of the residual y - f(x) nothing is
taken away, since gradient flow is said of it: while the kernel stays as it is, dr/dt = -K r, so that

    ||r(t)||^2 / ||r(0)||^2 = sum_i share_i exp(-2 lambda_i t).

Modes whose eigenvalues are not resolved are one rest. Nor are modes told apart whose eigenvalues lie closer
than their errors: only the space that the first k of them span counts. With lambda_k off by e_k, and the
next eigenvalue at most u_(k+1), this space is off by an angle of

    sin theta_k <= e_k / (lambda_k - e_k - u_(k+1))

(Davis and Kahan 1970 for the error of K, Wedin 1972 for that of J: t / (sigma_k - sigma_(k+1)) is
t (sigma_k + sigma_(k+1)) over the gap of eigenvalues, and e_k contains 2 t sigma_k). The square root of the
share outside of it is then off by sin theta_k at most, and so is the share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from ntkspec.backend import Backend, Choice, Precision
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.spectral.accuracy import solver_error
from ntkspec.spectral.choose import MethodChoice, spectrum
from ntkspec.spectral.eigenvalues import Spectrum
from ntkspec.spectral.targets import Vector, check_targets

DIGITS = 5  # of shares, rounded when they are made: a file holds the very record, and is small
TOLERANCE = 10.0 ** (1 - DIGITS)  # relative, of a share or of a sum of shares


@dataclass(frozen=True, repr=False)
class Alignment:
    """Shares of the targets and of the residual in the modes of a kernel, largest eigenvalue first.

    All numbers have five digits. `target` and `rest` add up to 1, and so do `residual` and `residual_rest`. A
    single share is known as well as the cuts before and after its mode are, see `angles`.
    """

    spectrum: Spectrum  # of the kernel, without its eigenvectors; r modes are resolved
    target: Vector  # (r,) share of the targets' squared norm, their mean over samples taken away
    rest: float  # the same outside of the resolved modes
    kernel_target: float | None = None  # kernel-target alignment, 0 to 1; None: not all eigenvalues are known
    residual: Vector | None = None  # (r,) the same of y - f(x), as it is; None: f is not known, or it is y
    residual_rest: float | None = None

    def __repr__(self) -> str:
        count = self.modes()
        holding = f"more than {self.more_than()}" if count is None else count
        return f"Alignment({holding} of {self.size} modes hold 90% of the targets)"

    @property
    def size(self) -> int:
        """N, the number of all modes."""
        return self.spectrum.size

    @property
    def eigenvalues(self) -> Vector:
        """Return the resolved ones (r,), largest first."""
        return self.spectrum.eigenvalues[: self.spectrum.resolved]

    @property
    def cumulative(self) -> Vector:
        """Return the share of the targets within the first k modes, k from 1 to r; (r,)."""
        return np.minimum(np.cumsum(self.target), 1.0)

    def beyond(self, count: int) -> float:
        """Return the share of the targets outside of the first `count` modes.

        Beyond the resolved modes it is not known, but at most what this returns, the share outside of these.
        """
        if count >= self.size:
            return 0.0
        return float(self._beyond[min(max(count, 0), len(self.target))])

    def modes(self, share: float = 0.9) -> int | None:
        """Count the first modes that are sure to hold this share of the targets.

        The count is one after which the next eigenvalue is smaller by more than the errors of both: where
        several lie closer, all of them are counted. None: the resolved modes are not sure to hold it.

        Raises:
            UsageError: a share that is not between 0 and 1.
        """
        _, high = self._enclosure(self._beyond)
        enough = np.flatnonzero(high[1:] <= _outside(share) * (1 + TOLERANCE))
        return int(enough[0]) + 1 if len(enough) else None

    def more_than(self, share: float = 0.9) -> int:
        """Count the first modes that are sure not to hold this share: it takes more than so many."""
        low, _ = self._enclosure(self._beyond)
        return int(np.flatnonzero(low > _outside(share) * (1 - TOLERANCE))[-1])

    @cached_property
    def angles(self) -> Vector:
        """Return sin theta_k (r,), how far the space of the first k modes may be off; 1: it is not known."""
        found, r = self.spectrum, len(self.target)
        if r == 0:
            return np.zeros(0)
        value, error = found.eigenvalues[:r], found.error[:r]
        following = np.append(found.upper[1:r], self._rest_at_most)
        with np.errstate(invalid="ignore", over="ignore"):  # of errors that a foreign report calls infinite
            gap = value - error - following
        apart = gap > error
        # Beside the angle, computed vectors are off by what the solver's own roundings make of them.
        own = solver_error(self.size, np.dtype(found.precision))
        sines = np.minimum(np.where(apart, error, 1.0) / np.where(apart, gap, 1.0) + own, 1.0)
        if r == self.size:
            sines[-1] = 0.0  # all there is
        return sines

    def residual_over_time(self, times: ArrayLike) -> tuple[Vector, Vector] | None:
        """Enclose ||r(t)||^2 / ||r(0)||^2 under gradient flow with the kernel as it is now.

        Args:
            times: (m,) from 0, in units of 1 / eigenvalue: learning rate times steps, of a loss ||r||^2 / 2.

        Returns:
            What it is at least and at most (m,), the errors of eigenvalues and of shares included, and what
            lies below the floor taken for anything from 0 to that; None where there is no residual.

        Raises:
            UsageError: a time that is negative or not finite.
        """
        moments = np.atleast_1d(np.asarray(times, dtype=np.float64))
        if not (np.isfinite(moments) & (moments >= 0)).all():
            expected = "finite numbers from 0"
            raise UsageError("times", expected=expected, got=shown(times), remedy="leave out the others")
        if self.residual is None or self.residual_rest is None:
            return None
        r = len(self.residual)
        low, high = (each[1:] for each in self._enclosure(_beyond(self.residual, self.residual_rest)))
        at_least = np.maximum.accumulate(self.spectrum.lower[:r][::-1])[::-1]
        at_most = np.minimum.accumulate(self.spectrum.upper[:r])
        slow, fast = (
            _flow(np.append(values, last), beyond, moments)
            for values, last, beyond in ((at_least, 0.0, high), (at_most, self._rest_at_most, low))
        )
        return fast * (1 - TOLERANCE), np.minimum(slow * (1 + TOLERANCE), 1.0)

    @cached_property
    def _beyond(self) -> Vector:
        return _beyond(self.target, self.rest)

    @property
    def _rest_at_most(self) -> float:
        """What eigenvalues beyond the resolved ones are at most."""
        found, r = self.spectrum, len(self.target)
        if r < len(found.eigenvalues):
            return max(float(found.upper[r]), found.floor)
        return 0.0 if r == self.size else float(found.upper[-1])

    def _enclosure(self, beyond: Vector) -> tuple[Vector, Vector]:
        """What shares outside of the first 0 to r modes (r + 1,) are at least and at most."""
        root, sine = np.sqrt(beyond), np.append(0.0, self.angles)
        high = np.minimum((root + sine) ** 2, beyond + sine)
        low = np.maximum(np.maximum(root - sine, 0.0) ** 2, beyond - sine)
        high[0] = low[0] = 1.0
        # The more modes, the less is outside: a cut that is not known lies between those that are.
        return np.maximum.accumulate(low[::-1])[::-1], np.minimum.accumulate(high)


def alignment(
    jacobian: Jacobian,
    targets: ArrayLike,
    outputs_of_model: ArrayLike | None = None,
    outputs: Outputs = "trace",
    *,
    method: MethodChoice = "auto",
    k: int | None = None,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> Alignment:
    """Find what each mode of the kernel J J^T holds of the targets, and of what is left to learn of them.

    Args:
        jacobian: blocks, in memory or in a run file.
        targets: y, (n, c), or (n,) of one output.
        outputs_of_model: f(x), of the same shape, for the residual y - f(x); none: no residual.
        outputs: "trace": every output is held against the same n modes; "full": modes are of all outputs
            together, sample-major; an output's number: of that alone.
        method, k, precision, backend, memory: as for `ntkspec.spectrum`; methods that give eigenvectors.

    Raises:
        UsageError: targets of another shape, not finite, or the same at every sample.
        MemoryBudgetError: the kernel and its eigenvectors do not fit the budget.

    Source:
        Cristianini, Shawe-Taylor, Elisseeff and Kandola 2001, "On kernel-target alignment"; Jacot, Gabriel
        and Hongler 2018, "Neural tangent kernel", for the residual; see docs/method.md.

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.diag([3.0, 2.0, 1.0])[:, None])
        >>> found = alignment(Jacobian((Block("w", "network", 3, 1, None, rows),)), [1.0, -1.0, 0.0])
        >>> found.target.tolist(), found.modes(0.9), found.beyond(1)
        ([0.5, 0.5, 0.0], 2, 0.5)
    """
    check_targets(targets, outputs_of_model, jacobian, outputs)  # before the work
    found = spectrum(
        jacobian,
        outputs,
        method=method,
        k=k,
        vectors=True,
        precision=precision,
        backend=backend,
        memory=memory,
    )
    return align(found, targets, outputs_of_model, jacobian, outputs)


def align(
    found: Spectrum,
    targets: ArrayLike,
    outputs_of_model: ArrayLike | None,
    jacobian: Jacobian,
    outputs: Outputs = "trace",
) -> Alignment:
    """Find the alignment from a spectrum that has its eigenvectors; other arguments as for `alignment`."""
    target, residual = check_targets(targets, outputs_of_model, jacobian, outputs)
    if found.vectors is None:
        raise UsageError(
            "alignment", expected="a spectrum with vectors", got="one without", remedy="ask for vectors"
        )
    projected = found.vectors.T @ target
    shares, rest = _shares(found, target, projected)
    left = None if residual is None else _shares(found, residual, found.vectors.T @ residual)
    return Alignment(
        spectrum=replace(found, vectors=None),
        target=shares,
        rest=rest,
        kernel_target=_kernel_target(found, target, projected),
        residual=None if left is None else left[0],
        residual_rest=None if left is None else left[1],
    )


def _shares(found: Spectrum, values: Vector, projected: Vector) -> tuple[Vector, float]:
    """Shares of the resolved modes (r,), and of the rest, from v_i . y_o (m, columns)."""
    r, whole = found.resolved, float(np.sum(values**2))
    if r == found.size:
        rest = 0.0
    elif found.vectors is None or r == 0:
        rest = 1.0
    else:  # not 1 - the others: it may be far below their rounding
        rest = float(np.sum((values - found.vectors[:, :r] @ projected[:r]) ** 2)) / whole
    shares = np.sum(projected[:r] ** 2, axis=1) / whole
    return np.array([_rounded(share) for share in shares.tolist()]), _rounded(min(rest, 1.0))


def _kernel_target(found: Spectrum, target: Vector, projected: Vector) -> float | None:
    """<K, Y Y^T> / (||K|| ||Y Y^T||), Frobenius; None where not all of K is known, or it is zero."""
    if not found.complete or found.resolved == 0:
        return None
    values = found.eigenvalues / found.eigenvalues[0]
    common = float(values @ np.sum(projected**2, axis=1))
    norms = np.linalg.norm(values) * np.linalg.norm(target.T @ target)
    return _rounded(min(common / float(norms), 1.0))


def _outside(share: float) -> float:
    """The share that may be missing."""
    if not 0 < share <= 1:
        expected = "a number above 0, up to 1"
        raise UsageError(
            "share of the targets", expected=expected, got=shown(share), remedy="give such a one"
        )
    return 1 - share


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")


def _beyond(shares: Vector, rest: float) -> Vector:
    """What lies outside of the first 0 to r modes (r + 1,), added up from the smallest eigenvalue on."""
    outside: Vector = np.cumsum(np.append(rest, shares[::-1]))[::-1]
    return np.minimum(outside, 1.0)


def _flow(eigenvalues: Vector, beyond: Vector, times: Vector) -> Vector:
    """sum_i share_i exp(-2 lambda_i t) (m,), from what lies outside of the first 1 to r modes.

    Args:
        eigenvalues: (r + 1,) descending, the last one that of all the rest.
    """
    with np.errstate(over="ignore", under="ignore"):
        decay = np.exp(-2 * np.outer(times, eigenvalues))
    found: Vector = decay[:, 0] + np.diff(decay, axis=1) @ beyond
    return found
