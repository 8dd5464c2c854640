"""Stand-ins for a GPU: CuPy's calls answered by NumPy and SciPy, CUDA C compiled and run on the CPU."""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from ntkspec.backend import Backend, gpu

SHIM = Path(__file__).parent / "backend" / "shim"
CUDA_13 = 13_000


class OutOfMemoryError(MemoryError):
    """As CuPy's: made from sizes, a MemoryError by descent."""

    def __init__(self, size: int, total: int) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class RawKernel:
    """`cupy.RawKernel` on the CPU: the same source, compiled by g++, block after block.

    Arguments must be of the types that the kernel declares. Skips the test where there is no g++.
    """

    backwards = False  # in which order the threads of a block take turns; results must not depend on it

    def __init__(
        self, code: str, name: str, options: Sequence[str] = (), enable_cooperative_groups: bool = False
    ) -> None:
        self.code, self.name, self.options = code, name, tuple(options)
        self.together = enable_cooperative_groups  # blocks wait for each other
        self.kernel = types.SimpleNamespace(ptr=0)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any]) -> None:
        library = _compiled(self.code, self.name, self.options)
        declared = library.signature().decode().split()
        assert [_code(arg) for arg in args] == declared
        held = [_pointer(arg) for arg in args]  # must outlive the call
        addresses = (ctypes.c_void_p * len(held))(*[ctypes.addressof(arg) for arg in held])
        gx, gy, gz = (*grid, 1, 1)[:3]
        assert gz == 1
        assert 1 <= gx < 2**31
        assert 1 <= gy < 2**16  # the device's limits
        assert len(block) == 1
        assert 1 <= block[0] <= 1024
        status = library.launch(gx, gy, block[0], self.together, self.backwards, addresses)
        assert status == 0, "some threads of a block ended while others waited at a barrier"


class SharedArithmetic(Backend):
    """The part that the GPU backend shares, run over NumPy: no Numba, no shortcut at nonzeros."""

    name = "cpu"

    def __init__(self) -> None:
        super().__init__(np, scipy.sparse)

    def get(self, array: Any) -> Any:
        """See `Backend.get`."""
        return array


SharedArithmetic.__abstractmethods__ = frozenset()  # it has no solvers


class HostInPlace:
    """`ntkspec.backend.in_place.DeviceInPlace` by NumPy."""

    def multiply(self, out: Any, x: Any, y: Any, alpha: float = 1.0, beta: float = 0.0) -> None:
        """Compute out = alpha x y + beta out."""
        product = x @ y
        product *= alpha
        if beta:
            product += beta * out
        out[...] = product

    def transpose(self, out: Any, x: Any) -> None:
        """Copy x^T to `out`."""
        out[...] = x.T


def stand_in_gpu(
    monkeypatch: pytest.MonkeyPatch, version: int = CUDA_13, free: int = 2**40
) -> gpu.GpuBackend:
    """The GPU backend itself with NumPy and SciPy in CuPy's place: its calls, not its device.

    Args:
        version: of the CUDA runtime, as it writes it: 12090 for 12.9.
        free: bytes on the device.
    """
    runtime = runtime_of(version, free)
    pool = types.SimpleNamespace(free_bytes=lambda: 0, total_bytes=lambda: 0, free_all_blocks=lambda: None)
    of_cupy = {
        "asnumpy": np.asarray,
        "RawKernel": RawKernel,
        "cuda": device_of(runtime),
        "get_default_memory_pool": lambda: pool,
    }
    numpy_as_cupy = types.SimpleNamespace(**vars(np) | of_cupy)
    cupyx = types.SimpleNamespace(errstate=lambda linalg: np.errstate(), scipy=scipy)
    monkeypatch.setattr(gpu, "_cupy", lambda: (cupyx, numpy_as_cupy, scipy.sparse))
    monkeypatch.setattr(gpu, "DeviceInPlace", lambda cublas, handle: HostInPlace())
    return gpu.GpuBackend()


def device_of(runtime: Any) -> Any:
    """As `cupy.cuda`: a device that holds four blocks at once."""
    return types.SimpleNamespace(
        cublas=None,
        device=types.SimpleNamespace(get_cublas_handle=lambda: 0),
        runtime=runtime,
        driver=types.SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=lambda *_: 2),
        Device=_Device,
    )


class _Device:
    """`cupy.cuda.Device`, which has always done what it was asked for."""

    id = 0
    attributes = types.MappingProxyType({"MultiProcessorCount": 2})

    def synchronize(self) -> None:
        """Do nothing."""


def runtime_of(version: int, free: int) -> types.SimpleNamespace:
    """CUDA's runtime: its version, and a device with so many bytes free."""
    return types.SimpleNamespace(
        runtimeGetVersion=lambda: version,
        driverGetVersion=lambda: version,
        memGetInfo=lambda: (free, 2 * free),
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: {"name": b"Stand-in"},
    )


@functools.cache
def _compiled(code: str, name: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """A library of the kernel with the functions of tests/backend/shim/launch.cpp.

    Compiled once for all processes of the tests: some twenty of them take a second or two each.
    """
    compiler = shutil.which("g++")
    if compiler is None:  # a test of CUDA C without a device; the package itself needs no compiler
        pytest.skip("no g++ to run CUDA C on the CPU")
    command = [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command += ["-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE"]  # the latter refuses jumps to other stacks
    command += ["-isystem", str(SHIM), f"-DKERNEL={name}", *options, str(SHIM / "launch.cpp")]
    shim = [path.read_text(encoding="utf-8") for path in sorted(SHIM.iterdir())]
    key = hashlib.sha256("\0".join([code, *command, *shim]).encode()).hexdigest()
    library = _libraries() / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            source, part = Path(folder) / "kernel.cu", library.with_name(f"{key}.{os.getpid()}")
            source.write_text(code, encoding="utf-8")
            command += [f'-DSOURCE="{source}"', "-o", str(part)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            os.replace(part, library)
    loaded = ctypes.CDLL(str(library))
    loaded.signature.restype = ctypes.c_char_p
    return loaded


def _libraries() -> Path:
    """A folder of compiled kernels, of the processes of one run of the tests alone."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
    folder = Path(tempfile.gettempdir()) / f"ntkspec-kernels-{run}"
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _code(arg: Any) -> str:
    """The type of a kernel's argument as the shim writes it: i4, f8, *f8."""
    if isinstance(arg, np.ndarray):
        return f"*{arg.dtype.str[1:]}"
    return np.asarray(arg).dtype.str[1:]  # CuPy too makes 64 bits of Python's numbers


def _pointer(arg: Any) -> Any:
    """The argument's bytes as ctypes holds them."""
    if isinstance(arg, np.ndarray):
        return ctypes.c_void_p(arg.ctypes.data)
    value = np.asarray(arg)
    return (ctypes.c_char * value.itemsize).from_buffer_copy(value.tobytes())
