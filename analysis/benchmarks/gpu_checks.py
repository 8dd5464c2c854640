"""Are a device's numbers right? Eigenvalues known exactly, kernels beside the CPU's, the same bits twice.

Each function yields rows, of which `passed` says whether the check holds, `worst` the worst number that was
found and `limit` the largest that passes.

Eigenvalues that are known need a matrix that is exact in floating point: forming Q diag(w) Q^T from a random
Q rounds its entries by as much as a good solver's own error. Here Q is Sylvester's Hadamard matrix of signs,
its rows in random order and of random sign, n a power of two, and w are whole numbers whose sum is at most
2^53. Every entry of Q diag(w) Q^T is a sum of +-w, a whole number that float64 holds, and the eigenvalues are
n w: no rounding anywhere. What is below 2^-53 of the sum of w becomes zero, of 16 decades two or three.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gpu_device import Device, Row, formed, real
from numpy.typing import NDArray

import ntkspec
from ntkspec.backend import gpu
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import magnitude_of, solver_error

EPS = float(np.finfo(np.float64).eps)
RATIO = 3.0  # the device's largest error may be so many times LAPACK's
# Errors below count as so many eps. LAPACK's are from 9 to 37 at 512 and 2048 rows; a much smaller one is
# luck, which no solver that adds in another order can follow.
FLOOR = 4.0
LAPACK_UP_TO = 2048  # rows: beyond, LAPACK takes the time that the device is lent for
# Of trace and norm, relative: some hundred times what a right solver leaves. Wrong eigenvalues, as some
# solvers give beyond a size, show far above.
SUMS = 1e-12
CONTRACT = Path(__file__).parents[2] / "tests" / "core" / "test_gram_contract.py"
SEED = 20_260


def spectra(n: int) -> dict[str, NDArray[np.float64]]:
    """Return prescribed spectra by name, (n,) each, largest 1, as they are asked for."""
    rng = np.random.default_rng(SEED)
    half = rng.random(n)
    half[n // 2 :] = 0
    return {
        "16 decades": np.logspace(0, -16, n),
        "8 clusters": 10.0 ** -(np.arange(n) * 8 // n),
        "half zeros": half / half.max(),
        "flat": np.where(np.arange(n) == 0, 1.0, 0.25),
        "random": np.append(1.0, rng.random(n - 1)),
    }


def exact(xp: Any, spectrum: NDArray[np.float64]) -> tuple[NDArray[np.float64], Any]:
    """Return eigenvalues (n,), ascending, and a dense symmetric matrix (n, n) that has them exactly.

    Args:
        xp: where the matrix is made.
        spectrum: (n,) of any scale, which is rounded to whole numbers; n a power of two.

    Example:
        >>> exact(np, np.array([1.0, 0.5]))[0] / 2**54
        array([0.33333333, 0.66666667])
    """
    n, rng = len(spectrum), np.random.default_rng(SEED)
    whole = np.floor(spectrum * (2.0**53 / spectrum.sum())).astype(np.int64)
    sums, step = whole.copy(), 1
    while step < n:  # sums[m] = sum over k of (-1)^|k and m| whole[k], a fast Walsh-Hadamard transform
        pairs = sums.reshape(-1, 2, step)
        sums = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
        step *= 2
    order, signs = xp.asarray(rng.permutation(n)), xp.asarray(rng.choice([-1.0, 1.0], n))
    matrix = xp.asarray(sums.astype(np.float64))[order[:, None] ^ order[None, :]]
    matrix *= signs[:, None]
    matrix *= signs[None, :]
    return np.sort(whole.astype(np.float64) * n), matrix


def eigenvalues(device: Device, n: int) -> Iterator[Row]:
    """Compare eigenvalues with prescribed ones, beside LAPACK's errors on the same matrices.

    Numbers are the largest error over the largest eigenvalue, in eps. Where LAPACK runs, `limit` is `RATIO`
    times its error; beyond, what the package states as a solver's error. Below the size from which the
    backend takes its own solver that is checked besides. Eigenvalues of a network's kernel are not known:
    there `worst` is the difference from LAPACK, and both may be off by as much as they were.
    """
    solvers = {"eigenvalues": device.engine.eigvalsh}
    if n < gpu.BAND_FROM:
        own = device.engine.eigenvalues.values
        solvers["by the own solver"] = lambda matrix: device.engine.get(own(matrix))
    lapack_worst = FLOOR
    for name, spectrum in spectra(n).items():
        truth, matrix = exact(device.xp, spectrum)
        lapack = None
        limit = solver_error(n, np.dtype(np.float64)) / EPS
        if n <= LAPACK_UP_TO:
            lapack = off(np.linalg.eigvalsh(device.engine.get(matrix)), truth)
            lapack_worst = max(lapack_worst, lapack)
            limit = RATIO * max(lapack, FLOOR)
        for check, solve in solvers.items():
            yield _row(check, name, n, off(solve(matrix.copy()), truth), limit) | {"lapack": lapack}
    if n <= LAPACK_UP_TO:
        kernel = formed(device, real("mlp256", n))
        expected = np.linalg.eigvalsh(device.engine.get(kernel))
        for check, solve in solvers.items():
            worst, limit = off(solve(kernel.copy()), expected), (RATIO + 1) * lapack_worst
            yield _row(check, "kernel of mlp256", n, worst, limit)


def contracts() -> Iterator[Row]:
    """Run the contract suite of kernels on the device, in another process; `worst` counts what failed."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(CONTRACT)]
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    said = subprocess.run(
        words, cwd=CONTRACT.parents[2], capture_output=True, text=True, check=False, env=variables
    ).stdout
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|error)", said)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    worst = float(failed) if counts.get("passed") else float("inf")  # nothing ran: no check at all
    yield _row("contract suite", CONTRACT.name, counts.get("passed", 0), worst, 0.0)


def grams(device: Device, network: str, n: int) -> Iterator[Row]:
    """Compare a kernel with the CPU's, both in float64, entry by entry.

    Numbers are the largest difference over sqrt(K_ii K_jj), in eps. An entry is off by half an eps for each
    rounding behind it at most, on either side, so their number is the limit.
    """
    jac = real(network, n)
    expected = ntkspec.gram(jac, backend="cpu")
    found = device.engine.get(formed(device, jac))
    scale = np.sqrt(np.diag(expected))
    worst = float((np.abs(found - expected) / scale[:, None] / scale[None, :]).max()) / EPS
    yield _row("kernel", network, n, worst, float(Kernel(jac).fact(magnitude_of).entry_sums))


def bits(device: Device, n: int) -> Iterator[Row]:
    """Count the eigenvalues whose bits differ between two runs on the same kernel."""
    kernel = formed(device, real("mlp256", n))
    first, second = (device.engine.eigvalsh(each) for each in (kernel.copy(), kernel))
    yield _row("same bits", "kernel of mlp256", n, float(np.count_nonzero(first != second)), 0.0)


def sums(row: Row) -> Iterator[Row]:
    """Hold a large kernel's eigenvalues against its trace and norm."""
    worst = max(row["trace_error"], row["norm_error"])
    yield _row("trace and norm", f"kernel of mlp256, {row['what']}", row["n"], worst, SUMS)


def off(values: NDArray[Any], truth: NDArray[np.float64]) -> float:
    """The largest error over the largest eigenvalue, in eps."""
    return float(np.abs(values - truth).max() / truth[-1]) / EPS


def _row(check: str, what: str, n: int, worst: float, limit: float) -> Row:
    return {"what": check, "of": what, "n": n, "worst": worst, "limit": limit, "passed": bool(worst <= limit)}
