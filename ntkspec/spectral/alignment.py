"""How the targets are spread over the modes of a kernel, from its largest eigenvalue to its smallest.

    K = V diag(lambda) V^T,    share of mode i = sum_o (v_i . y_o)^2 / ||Y||_F^2

A mode is an eigenvector v_i. Y (n, c) are the targets, a column for each output. The mean over the samples is
taken away from each column: any network learns a constant at once, and its share would hide that of the
detail. Nothing is taken away from the residual r = y - f(x), since gradient flow acts on all of it: while the
kernel stays as it is, dr/dt = -K r, so that

    ||r(t)||^2 / ||r(0)||^2 = sum_i share_i exp(-2 lambda_i t).

Modes whose eigenvalues are not resolved are added up to one rest. Modes whose eigenvalues lie closer than
their errors cannot be told apart: what is known is the space that the first k modes span. With lambda_k off
by e_k, and the next eigenvalue at most u_(k+1), this space is off by an angle of

    sin theta_k <= e_k / (lambda_k - e_k - u_(k+1))

(Davis and Kahan 1970 for the error of K, Wedin 1972 for that of J: t / (sigma_k - sigma_(k+1)) is
t (sigma_k + sigma_(k+1)) over the gap of eigenvalues, and e_k contains 2 t sigma_k). The square root of the
share outside of it is then off by sin theta_k at most, and so is the share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import as_real
from ntkspec.backend import Backend, Choice, Precision
from ntkspec.display import NotAnArray
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.checks import check_jacobians
from ntkspec.spectral.accuracy import solver_error
from ntkspec.spectral.choose import MethodChoice, spectrum
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.shares import TOLERANCE, kernel_target_of, shares_of
from ntkspec.spectral.targets import Vector, check_targets


@dataclass(frozen=True, repr=False, eq=False)
class Alignment(NotAnArray):
    """Shares of the targets and of the residual in the modes of a kernel, largest eigenvalue first.

    The share of a mode is the part of the squared norm that lies along it, 0 to 1, rounded to five digits.
    `target` has the shares of the resolved modes, `rest` that of all other modes together; they add up to 1.
    `residual` and `residual_rest` are the same for y - f(x). `angles` bounds the errors of sums of shares.

    Example:
        >>> spectrum = Spectrum(np.array([9.0, 4.0, 1.0]), np.zeros(3), 1e-14, 3, 14.0, "svd", "float64")
        >>> aligned = Alignment(spectrum, target=np.array([0.7, 0.25, 0.05]), rest=0.0)
        >>> aligned
        Alignment(2 of 3 modes hold 90% of the targets)
        >>> aligned.modes(0.99), round(aligned.beyond(1), 9)
        (3, 0.3)
    """

    _ARRAYS = "its arrays .target and .residual, (r,)"

    spectrum: Spectrum  # of the kernel, without its eigenvectors; r modes are resolved
    target: Vector  # (r,) share of the targets' squared norm, their mean over samples taken away
    rest: float  # share of the targets outside of the resolved modes
    kernel_target: float | None = None  # kernel-target alignment, 0 to 1; None: not all eigenvalues are known
    residual: Vector | None = None  # (r,) shares of y - f(x), mean kept; None: f is not known, or it is y
    residual_rest: float | None = None

    def __repr__(self) -> str:
        count = self.modes()
        holding = f"more than {self.more_than()}" if count is None else count
        return f"Alignment({holding} of {self.size} modes hold 90% of the targets)"

    @property
    def size(self) -> int:
        """Return N, the number of all modes."""
        return self.spectrum.size

    @property
    def eigenvalues(self) -> Vector:
        """Return the resolved eigenvalues (r,), largest first."""
        return self.spectrum.eigenvalues[: self.spectrum.resolved]

    @property
    def cumulative(self) -> Vector:
        """Return the shares of the targets in the first k modes together, for k from 1 to r; (r,)."""
        return np.minimum(np.cumsum(self.target), 1.0)

    def beyond(self, count: int) -> float:
        """Return the share of the targets outside of the first `count` modes.

        For a count beyond the resolved modes that share is not known; the share outside of the resolved ones,
        which is at least as large, is returned.

        Raises:
            UsageError: the count is no whole number from 0.
        """
        count = whole_number(count, "count of modes", 0)
        return 0.0 if count >= self.size else float(self._beyond[min(count, len(self.target))])

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
        """Return the largest number of first modes that are sure not to hold this share of the targets."""
        low, _ = self._enclosure(self._beyond)
        return int(np.flatnonzero(low > _outside(share) * (1 - TOLERANCE))[-1])

    @cached_property
    def angles(self) -> Vector:
        """Return sin theta_k for k from 1 to r (r,): how far the space of the first k modes may be off.

        A value of 1 says that the space is not known.
        """
        spectrum, r = self.spectrum, len(self.target)
        if r == 0:
            return np.zeros(0)
        value, error = spectrum.eigenvalues[:r], spectrum.error[:r]
        following = np.append(spectrum.upper[1:r], self._rest_at_most)
        with np.errstate(invalid="ignore", over="ignore"):  # of errors that a foreign report calls infinite
            gap = value - error - following
        apart = gap > error
        # Beside the angle, computed vectors are off by the roundings of the solver itself.
        own = solver_error(self.size, np.dtype(spectrum.precision))
        sines = np.minimum(np.where(apart, error, 1.0) / np.where(apart, gap, 1.0) + own, 1.0)
        if r == self.size:
            sines[-1] = 0.0  # the whole space
        return sines

    def residual_over_time(self, times: ArrayLike) -> tuple[Vector, Vector] | None:
        """Enclose ||r(t)||^2 / ||r(0)||^2 under gradient flow with the kernel as it is now.

        This is the flow of all parameters for a single output, and in mode "full". In mode "trace" each
        output is taken to be alone with the kernel K, the sum of the kernels of all c outputs: where these
        are alike, time runs c times too fast.

        Args:
            times: (m,) from 0, in units of 1 / eigenvalue: learning rate times steps, of a loss ||r||^2 / 2.

        Returns:
            The least and the largest values, both (m,): the errors of eigenvalues and of shares are included,
            and an eigenvalue below the floor may be anything from 0 to it. None where there is no residual.

        Raises:
            UsageError: a time that is negative or not finite.
        """
        moments = np.atleast_1d(as_real(times, "times").astype(np.float64, copy=False))
        if not (np.isfinite(moments) & (moments >= 0)).all():
            raise UsageError("times", expected="finite numbers from 0", got=shown(times))
        if self.residual is None or self.residual_rest is None:
            return None
        r = len(self.residual)
        low, high = (cuts[1:] for cuts in self._enclosure(_beyond(self.residual, self.residual_rest)))
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
        """Return an upper bound on the eigenvalues beyond the resolved ones."""
        spectrum, r = self.spectrum, len(self.target)
        if r < len(spectrum.eigenvalues):
            return max(float(spectrum.upper[r]), spectrum.floor)
        return 0.0 if r == self.size else float(spectrum.upper[-1])

    def _enclosure(self, beyond: Vector) -> tuple[Vector, Vector]:
        """Return the least and the largest shares outside of the first 0 to r modes, both (r + 1,)."""
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
    """Find the share of the targets, and of what is left to learn of them, in each mode of the kernel J J^T.

    Args:
        jacobian: blocks, in memory or in a run file.
        targets: y, (n, c), or (n,) of one output.
        outputs_of_model: f(x), of the same shape, for the residual y - f(x); None: no residual.
        outputs: "trace": every output has its shares in the same n modes; "full": a mode has an entry for
            every output of every sample, sample-major; an output's number: of that output alone.
        method, k, precision, backend, memory: as for `ntkspec.spectrum`; the method must give eigenvectors.

    Raises:
        UsageError: targets of another shape, not finite, or the same at every sample.
        MemoryBudgetError: the kernel and its eigenvectors do not fit the budget.

    Source:
        Cristianini, Shawe-Taylor, Elisseeff and Kandola 2001, "On kernel-target alignment"; Jacot, Gabriel
        and Hongler 2018, "Neural tangent kernel", for the residual; see docs/method.md.

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.diag([3.0, 2.0, 1.0])[:, None])
        >>> aligned = alignment(Jacobian((Block("w", "network", 3, 1, None, rows),)), [1.0, -1.0, 0.0])
        >>> aligned.target.tolist(), aligned.modes(0.9), aligned.beyond(1)
        ([0.5, 0.5, 0.0], 2, 0.5)
    """
    check_jacobians([jacobian])
    check_targets(targets, outputs_of_model, jacobian, outputs)  # before the work
    with_vectors = spectrum(
        jacobian,
        outputs,
        method=method,
        k=k,
        vectors=True,
        precision=precision,
        backend=backend,
        memory=memory,
    )
    return align(with_vectors, targets, outputs_of_model, jacobian, outputs)


def align(
    spectrum: Spectrum,
    targets: ArrayLike,
    outputs_of_model: ArrayLike | None,
    jacobian: Jacobian,
    outputs: Outputs = "trace",
) -> Alignment:
    """Find the alignment from a spectrum with eigenvectors; other arguments and errors as for `alignment`.

    Raises:
        UsageError: the spectrum has no eigenvectors.
    """
    target, residual = check_targets(targets, outputs_of_model, jacobian, outputs)
    if spectrum.vectors is None:
        raise UsageError(
            "alignment", expected="a spectrum with vectors", got="one without", remedy="ask for vectors"
        )
    projected = spectrum.vectors.T @ target
    shares, rest = shares_of(spectrum, target, projected)
    left = (None, None) if residual is None else shares_of(spectrum, residual, spectrum.vectors.T @ residual)
    return Alignment(
        spectrum=replace(spectrum, vectors=None),
        target=shares,
        rest=rest,
        kernel_target=kernel_target_of(spectrum, target, projected),
        residual=left[0],
        residual_rest=left[1],
    )


def _outside(share: object) -> float:
    """Return 1 - share; raise `UsageError` unless the share is above 0 and at most 1."""
    if not isinstance(share, Real) or not 0 < float(share) <= 1:
        raise UsageError("share of the targets", expected="a number above 0, up to 1", got=shown(share))
    return 1 - float(share)


def _beyond(shares: Vector, rest: float) -> Vector:
    """Return the shares outside of the first 0 to r modes (r + 1,), added up from the last mode on."""
    outside: Vector = np.cumsum(np.append(rest, shares[::-1]))[::-1]
    return np.minimum(outside, 1.0)


def _flow(eigenvalues: Vector, beyond: Vector, times: Vector) -> Vector:
    """Return sum_i share_i exp(-2 lambda_i t) (m,), by partial summation.

    Args:
        eigenvalues: (r + 1,) descending; the last one stands for all the rest.
        beyond: (r,) shares outside of the first 1 to r modes.
        times: (m,).
    """
    with np.errstate(over="ignore", under="ignore"):
        decay = np.exp(-2 * np.outer(times, eigenvalues))
    remaining: Vector = decay[:, 0] + np.diff(decay, axis=1) @ beyond
    return remaining
