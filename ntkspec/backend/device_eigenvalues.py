"""Compute all eigenvalues of a large symmetric matrix on a GPU, in little more memory than the matrix takes.

Three steps: reduction to a band by matrix products (`ntkspec.backend.band`), reduction of the band to
tridiagonal form by chasing bulges (cuda/chase.cu), and bisection (cuda/bisect.cu). The last two are in double
precision for every matrix.

Errors. The first two steps are orthogonal transformations in floating point. They are backward stable: the
result is exact for a matrix that differs from A by c eps ||A||. The proven c grows slowly with N, the
measured one hardly at all (analysis/benchmarks/bench_gpu.py compares it with LAPACK's). Bisection adds an
error of a few eps ||A||, which is proven. All sums are added in a fixed order, so that equal matrices give
equal bits.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike

from ntkspec.backend.arrays import Array, strips
from ntkspec.backend.band import collected, to_band
from ntkspec.backend.device_kernels import C_TYPES, DeviceKernels, rows_apart
from ntkspec.backend.in_place import DeviceInPlace
from ntkspec.backend.mixing import mix

# Of the band. The kernels can do 32, too: the chase is then faster, and the products are slower.
WIDTH = 64
PANEL_THREADS = 512  # of a block
PANEL_ROWS = 64  # of a block, at least: with fewer, blocks would mostly wait for each other
BAND_COLUMNS = 4  # of a block of the band, a warp; the chase counts on sums of eight times B threads
BISECTING = 256  # threads of a block
THREADS = 2**17  # that a device keeps busy: eigenvalues share them
BITS = 56  # by which bisection makes an interval smaller: then it adds nothing to double precision's rounding
SMALLEST = 2.0**-60  # of a subdiagonal entry, see cuda/bisect.cu
LIBRARIES = 2**27  # bytes that cuBLAS, the kernels and passes over the matrix take


class DeviceEigenvalues:
    """The eigenvalue solver on the current device.

    Args:
        cupy: the module CuPy.
        kernels: our compiled CUDA kernels.
        products: multiplies and transposes parts of the matrix.
        width: b, the number of subdiagonals of the band: 32 or 64.
    """

    def __init__(
        self, cupy: ModuleType, kernels: DeviceKernels, products: DeviceInPlace, width: int = WIDTH
    ) -> None:
        self.xp, self.kernels, self.products, self.width = cupy, kernels, products, width

    def values(self, matrix: Array) -> Array:
        """Compute the eigenvalues (N,) of a symmetric matrix (N, N), ascending; the matrix is destroyed.

        Args:
            matrix: float32 or float64, C-contiguous; its largest entry must be far from over- and underflow.

        Raises:
            numpy.linalg.LinAlgError: an entry is not finite.
        """
        size = len(matrix)
        largest = max(float(self.xp.abs(matrix[rows]).max()) for rows in strips(matrix))
        if not math.isfinite(largest):
            raise np.linalg.LinAlgError("the matrix has entries that are not finite")
        if largest == 0:
            return self.xp.zeros((size,), np.float64)
        exponent = math.frexp(largest)[1]
        for rows in strips(matrix):
            matrix[rows] *= matrix.dtype.type(2.0**-exponent)  # exactly: squares then stay in range
        mix(matrix, self.xp)
        panels = DevicePanels(self.xp, self.kernels, self.products, matrix.dtype, self.width)
        band = to_band(matrix, self.xp, panels, self.products)
        self._chase(band)
        eigenvalues = self._bisect(band[:, 0].copy(), band[:-1, 1].copy())
        eigenvalues *= 2.0**exponent
        return eigenvalues

    def bytes_beside(self, rows: int, dtype: DTypeLike) -> int:
        """Return the bytes that `values` needs in addition to a matrix of `rows` rows."""
        columns = 2 * 2 * collected(rows, self.width) + 3 * self.width
        return rows * (columns * int(np.dtype(dtype).itemsize) + 8 * (2 * self.width + 8)) + LIBRARIES

    def _chase(self, band: Array) -> None:
        """Reduce a band matrix to tridiagonal form with the same eigenvalues, in place.

        Args:
            band: (N, 2 b), as `to_band` returns it. At the end its first column is the diagonal, its second
                one the subdiagonal.
        """
        size, width = len(band), self.width
        if size < 3:
            return
        kernel = self.kernels.get("chase", together=True, B=width, COLUMNS=BAND_COLUMNS)
        threads = 32 * width // BAND_COLUMNS
        blocks = min(self.kernels.resident(kernel, threads), -(-size // (2 * width)) + 1)
        done = self.xp.zeros((size,), np.int32)
        kernel((blocks,), (threads,), (band, np.int32(size), done))

    def _bisect(self, diagonal: Array, subdiagonal: Array) -> Array:
        """Compute the eigenvalues of a tridiagonal matrix from its diagonal (N,) and subdiagonal (N - 1,)."""
        xp, size = self.xp, len(diagonal)
        radius = xp.zeros((size,), np.float64)  # of Gershgorin's discs
        radius[1:] += xp.abs(subdiagonal)
        radius[:-1] += xp.abs(subdiagonal)
        exponent = math.frexp(float((xp.abs(diagonal) + radius).max()))[1] + 1
        diagonal *= 2.0**-exponent
        radius *= 2.0**-exponent
        squares = xp.zeros((size,), np.float64)
        squares[1:] = xp.maximum(xp.abs(subdiagonal) * 2.0**-exponent, SMALLEST) ** 2
        slack = 4 * SMALLEST + float(np.finfo(np.float64).eps)
        low, high = float((diagonal - radius).min()) - slack, float((diagonal + radius).max()) + slack
        lanes = 1
        while lanes < 32 and 2 * lanes * size <= THREADS:
            lanes *= 2
        rounds = math.ceil(BITS / math.log2(lanes + 1))
        eigenvalues = xp.empty((size,), np.float64)
        kernel = self.kernels.get("bisect", LANES=lanes)
        numbers = (np.int32(size), np.float64(low), np.float64(high), np.int32(rounds))
        blocks = -(-size * lanes // BISECTING)
        kernel((blocks,), (BISECTING,), (diagonal, squares, *numbers, eigenvalues))
        eigenvalues *= 2.0**exponent
        return eigenvalues


class DevicePanels:
    """QR of panels by cuda/panel.cu and cuda/triangle.cu; see `ntkspec.backend.band.Panels`."""

    def __init__(
        self, cupy: ModuleType, kernels: DeviceKernels, products: DeviceInPlace, dtype: DTypeLike, width: int
    ) -> None:
        self.width, self.products = width, products
        real = C_TYPES[str(np.dtype(dtype))]
        self._panel = kernels.get("panel", together=True, REAL=real, B=width, THREADS=PANEL_THREADS)
        self._triangle = kernels.get("triangle", REAL=real, B=width)
        # One for each multiprocessor: more would lose more time in waiting for each other than they save.
        self._most_blocks = min(kernels.resident(self._panel, PANEL_THREADS), kernels.multiprocessors)
        self._taus, self._head, self._squares, self._product = (
            cupy.empty(shape, dtype) for shape in ((width,), (2, width), (width, width), (width, width))
        )
        self._sums = cupy.empty((2, self._most_blocks, width), dtype)
        self._arrived = cupy.zeros((1,), np.uint32)

    def factor(self, panel: Array, v: Array, again: Array) -> Array:
        """See `Panels.factor`. The next call overwrites the array T that is returned."""
        rows = len(panel)
        blocks = max(min(self._most_blocks, rows // PANEL_ROWS), 1)
        self._arrived.fill(0)
        matrices = (panel, rows_apart(panel), np.int32(rows), v, again, rows_apart(v))
        shared = (self._taus, self._sums, self._head, self._arrived)
        self._panel((blocks,), (PANEL_THREADS,), (*matrices, *shared))
        self.products.multiply(self._squares, v.T, v)
        self._triangle((1,), (self.width,), (self._squares, self._taus, self._product))
        return self._product
