"""The k largest eigenvalues of a kernel, from products K v alone, none of them missed.

A Krylov space that starts from one vector holds one vector of each eigenspace; further copies of a multiple
eigenvalue, and members of a cluster, come in by rounding, or not at all. So the vectors found are projected
out, and the iteration starts again from another vector, until it finds no eigenvalue above the k-th.

Let V (N, k) be orthonormal with V^T K V = diag(theta), R = K V - V diag(theta), and mu the largest eigenvalue
of K on the vectors orthogonal to V. Then every lambda_i (i <= k) is within ||R|| + max(0, mu - theta_k) of
theta_i (Parlett 1998, The Symmetric Eigenvalue Problem, theorem 11.5.1; Weyl 1912).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

from ntkspec.backend.base import solver_failed

SMALL = 256  # rows up to which all of K is computed, by N products
SHARE = 4  # likewise up to this many times k: a Krylov space would be nearly as large
WHOLE = 6  # matrices of K's size that this takes
ROUNDS = 100  # of asking for more; what is left then is stated as an error
ATTEMPTS = 4  # from other vectors, at an iteration that has none left to go on by
AT_ONCE = 16  # vectors that are added at one time, at most
SHARP = 0.1  # of the noise: how far off mu may be


@dataclass(frozen=True, eq=False)
class Largest:
    """The k largest eigenvalues of an operator, and what is known of their errors."""

    values: NDArray[np.float64]  # (k,) descending
    vectors: NDArray[np.float64]  # (N, k) orthonormal
    residual: float  # ||R||
    missed: float  # max(0, mu - theta_k)


@dataclass(frozen=True, eq=False)
class _Ritz:
    """Ritz values and vectors of a space: V with V^T K V diagonal."""

    values: NDArray[np.float64]  # (m,) descending
    vectors: NDArray[np.float64]  # (N, m)
    images: NDArray[np.float64]  # (N, m) K times the vectors

    def first(self, k: int) -> _Ritz:
        """Return the k largest Ritz values alone."""
        return _Ritz(self.values[:k], self.vectors[:, :k], self.images[:, :k])

    @property
    def residual(self) -> float:
        """Return ||R||, the spectral norm."""
        return float(np.linalg.norm(self.images - self.vectors * self.values, 2))

    def leading_out(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the directions of K V outside of the space, (N, up to AT_ONCE), and the sizes of all (m,).

        They are the left singular vectors of R and its singular values.
        """
        left, sizes, _ = np.linalg.svd(self.images - self.vectors * self.values, full_matrices=False)
        return np.array(left[:, :AT_ONCE]), sizes


def takes_whole(size: int, k: int, budget: int) -> bool:
    """Return whether to compute all of K: a Krylov space saves little, and K fits the budget in bytes."""
    return size <= max(SMALL, SHARE * k) and 8 * WHOLE * size**2 <= budget


def vector_bytes(size: int, k: int) -> int:
    """Return the bytes of the vectors in memory: Krylov space, Ritz vectors, their images, copies of both."""
    return 8 * size * (2 * k + 20 + 4 * (k + AT_ONCE))


def largest(product: LinearOperator, k: int, noise: float, *, whole: bool = False) -> Largest:
    """Find the k largest eigenvalues of a positive semidefinite operator of trace 1.

    Args:
        product: (N, N); it is applied some hundred times.
        whole: compute all of K at once, see `takes_whole`.
        k: 1 to N - 1.
        noise: error of the eigenvalues from rounding in the products; the iteration stops at this accuracy.

    Raises:
        BackendError: ARPACK gave up.
    """
    if whole:
        ritz = _ritz(product, np.eye(product.shape[0]))
        return Largest(ritz.values[:k], ritz.vectors[:, :k], ritz.first(k).residual, 0.0)
    _, vectors = _arpack(product, k, 0, SHARP * noise)
    ritz = _sharpened(product, _ritz(product, vectors), noise)
    missed = 0.0
    for turn in range(1, ROUNDS + 1):
        least = float(ritz.values[-1])
        more, vectors = _of_the_rest(product, ritz, min(2 ** (turn - 1), AT_ONCE), turn, noise)
        missed = max(float(more.max()) + SHARP * noise - least, 0.0)
        above = more > least + noise + ritz.residual
        if not above.any():
            break
        ritz = _sharpened(product, _with(product, ritz, vectors[:, above]).first(k), noise)
    return Largest(ritz.values, ritz.vectors, ritz.residual, missed)


def _sharpened(product: LinearOperator, ritz: _Ritz, noise: float) -> _Ritz:
    """Add directions of K V outside of the space, until ||R|| is noise or it no longer falls by much.

    ARPACK's tolerance is for its own estimate of the error: in clusters, vectors may come with 10^6 times
    that, depending on how sums are rounded, and so large a residual would hide eigenvalues passed over.
    """
    directions, sizes = ritz.leading_out()
    while sizes[0] > noise:
        taken = sizes[:AT_ONCE] > noise
        sharper = _with(product, ritz, directions[:, taken]).first(len(ritz.values))
        further, left = sharper.leading_out()
        if np.square(left).sum() > np.square(sizes).sum() - np.square(sizes[:AT_ONCE][taken]).sum() / 2:
            break
        ritz, directions, sizes = sharper, further, left
    return ritz


def _of_the_rest(
    product: LinearOperator, ritz: _Ritz, count: int, seed: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues of K on the space orthogonal to the Ritz vectors, and their vectors.

    The operator is raised by the smallest Ritz value: ARPACK's tolerance is relative, and on that space K may
    be nothing but rounding.
    """
    raised = max(float(ritz.values[-1]), noise)

    def project(v: NDArray[np.float64]) -> NDArray[np.float64]:
        rest: NDArray[np.float64] = v - ritz.vectors @ (ritz.vectors.T @ v)
        return rest

    def rest(v: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = project(v.ravel())
        return project(product @ inside) + raised * v.ravel()

    operator = LinearOperator(product.shape, matvec=rest, dtype=np.dtype(np.float64))
    values, vectors = _arpack(operator, count, seed, SHARP * noise / raised)
    return values - raised, vectors


def _arpack(
    product: LinearOperator, k: int, seed: int, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the k largest eigenvalues and their vectors by Lanczos with implicit restarts.

    Source:
        Lehoucq, Sorensen and Yang 1998, "ARPACK users' guide".
    """
    starts = np.random.default_rng(seed)  # fixed: a run can be repeated
    failures = []
    for attempt in range(ATTEMPTS):  # where eigenvalues are equal, it may end with no vector to go on by
        start = starts.standard_normal(product.shape[0])
        try:
            values, vectors = eigsh(product, k=k, which="LA", v0=start, tol=0.0 if attempt % 2 else tolerance)
            return values, vectors
        except ArpackNoConvergence as error:
            raise solver_failed("Lanczos iteration", error) from None
        except ArpackError as error:
            failures.append(error)
    raise solver_failed("Lanczos iteration", failures[-1])


def _ritz(product: LinearOperator, vectors: NDArray[np.float64]) -> _Ritz:
    """Return the Ritz values and vectors of the space spanned by vectors (N, m)."""
    basis, _ = np.linalg.qr(vectors)
    return _rotated(basis, product @ basis)


def _with(product: LinearOperator, ritz: _Ritz, vectors: NDArray[np.float64]) -> _Ritz:
    """Return the Ritz values and vectors of the space spanned by Ritz vectors and further vectors."""
    for _ in range(2):  # once is not enough where they are nearly parallel
        vectors = vectors - ritz.vectors @ (ritz.vectors.T @ vectors)
    new, _ = np.linalg.qr(vectors)
    return _rotated(np.hstack([ritz.vectors, new]), np.hstack([ritz.images, product @ new]))


def _rotated(basis: NDArray[np.float64], images: NDArray[np.float64]) -> _Ritz:
    """Return the Ritz values and vectors of an orthonormal basis (N, m) and its images K V."""
    square = basis.T @ images
    values, rotation = np.linalg.eigh((square + square.T) / 2)
    values, rotation = values[::-1], rotation[:, ::-1]
    return _Ritz(values, basis @ rotation, images @ rotation)
