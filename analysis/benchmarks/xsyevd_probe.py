"""What do eigenvalues on this GPU need and cost, and are they right?

First the workspace that cuSOLVER's Xsyevd asks for at sizes up to 120,000, with and without eigenvectors;
then time, largest error and memory of eigenvalues alone, in float64, on kernels with a known spectrum. The
GPU backend refuses sizes that are said to fail before CUDA 13.0; this shows what holds on a given machine.

Needs CuPy and a GPU: exits with 2 and says so in a line where there is none.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ntkspec.backend import select
from ntkspec.errors import BackendError

WORKSPACES = (4096, 16_384, 23_170, 26_754, 32_768, 46_341, 65_536, 92_681, 120_000)
SIZES = (8192, 16_384, 32_768, 49_152)
GIB = 2**30
STRIP = 4096  # rows of the kernel set up at once
DECADES = 12  # over which the known eigenvalues fall


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "sizes", nargs="*", type=int, default=SIZES, metavar="N", help="rows (default: %(default)s)"
    )
    options = parser.parse_args()
    try:
        select("gpu")
    except BackendError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    import cupy

    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    versions = f"runtime {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}"
    print(f"{name}, CuPy {cupy.__version__}, CUDA {versions}\n")
    print("     n  vectors  matrix GiB  device work GiB  host work GiB")
    for n in WORKSPACES:
        for vectors in (False, True):
            head = f"{n:>6}  {'yes' if vectors else 'no':>7}  {n * n * 8 / GIB:>10.2f}"
            print(attempt(head, partial(workspace, n, vectors)), flush=True)
    print("\n     n  seconds  largest error  peak of the pool GiB")
    for n in options.sizes:
        print(attempt(f"{n:>6}", partial(solve, cupy, n)), flush=True)
        cupy.get_default_memory_pool().free_all_blocks()


def attempt(head: str, measure: Callable[[], str]) -> str:
    """A line of a table; a solver that fails is a result too."""
    try:
        return head + measure()
    except (RuntimeError, MemoryError, ValueError, np.linalg.LinAlgError) as error:
        said = (str(error).splitlines() or [""])[0]
        return f"{head}  {type(error).__name__}: {said}"


def workspace(n: int, vectors: bool) -> str:
    """What Xsyevd asks for, in GiB: on the device and on the host. Takes no memory itself."""
    from cupy.cuda import device
    from cupy_backends.cuda.libs import cublas, cusolver

    real = 1  # CUDA_R_64F
    handle, params = device.Device().cusolver_handle, cusolver.createParams()
    mode = cusolver.CUSOLVER_EIG_MODE_VECTOR if vectors else cusolver.CUSOLVER_EIG_MODE_NOVECTOR
    lower = cublas.CUBLAS_FILL_MODE_LOWER
    try:
        sizes = cusolver.xsyevd_bufferSize(handle, params, mode, lower, n, real, 0, n, real, 0, real)
    finally:
        cusolver.destroyParams(params)
    return f"  {sizes[0] / GIB:>15.3f}  {sizes[1] / GIB:>13.3f}"


def solve(cupy: Any, n: int) -> str:
    """Eigenvalues of a kernel with a known spectrum, by the call that the GPU backend makes."""
    import cupyx

    pool = cupy.get_default_memory_pool()
    exact, kernel = known(cupy, n)
    cupy.cuda.Device().synchronize()
    start = time.perf_counter()
    with cupyx.errstate(linalg="raise"):
        found = cupy.linalg.eigvalsh(kernel)
    cupy.cuda.Device().synchronize()
    seconds = time.perf_counter() - start
    error = float(cupy.abs(cupy.sort(exact) - found).max())
    return f"  {seconds:>7.1f}  {error:>13.2e}  {pool.total_bytes() / GIB:>20.1f}"


def known(xp: Any, n: int) -> tuple[Any, Any]:
    """Eigenvalues and a kernel that has them, up to rounding: H D H with a reflection H = I - 2 v v^T.

    Args:
        xp: NumPy or CuPy.
        n: rows.

    Returns:
        (n,) falling from 1 over `DECADES`, and (n, n) symmetric, both float64. No step costs n^3.
    """
    d = xp.logspace(0, -DECADES, n)
    v = xp.random.default_rng(0).standard_normal(n)
    v /= xp.linalg.norm(v)
    dv = d * v
    vdv = float(v @ dv)
    kernel = xp.zeros((n, n))
    xp.einsum("ii->i", kernel)[...] = d
    for start in range(0, n, STRIP):
        at = slice(start, start + STRIP)
        kernel[at] += xp.outer(4 * vdv * v[at] - 2 * dv[at], v) - 2 * xp.outer(v[at], dv)
    return d, kernel


if __name__ == "__main__":
    main()
