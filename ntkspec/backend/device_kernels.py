"""Compile our CUDA kernels, each once, and ask how many of their blocks a device can run at the same time."""

from __future__ import annotations

from importlib import resources
from types import ModuleType
from typing import Any

import numpy as np

from ntkspec.backend.arrays import Array

C_TYPES = {"float32": "float", "float64": "double"}


def rows_apart(matrix: Array) -> np.int64:
    """Return the stride from one row to the next, in numbers, not bytes, as an argument of a kernel."""
    return np.int64(matrix.strides[0] // matrix.itemsize)


class DeviceKernels:
    """The CUDA kernels in the folder `cuda`. NVRTC compiles them, with IEEE arithmetic, when first asked for.

    Args:
        cupy: the module CuPy.
    """

    def __init__(self, cupy: ModuleType) -> None:
        self.cupy = cupy
        self._compiled: dict[tuple[str, str], Any] = {}

    def get(self, name: str, *, together: bool = False, **macros: object) -> Any:
        """Return a kernel, compiled with these macros.

        Args:
            name: name of the kernel, and of its file without the suffix.
            together: whether its blocks wait for each other, so that all must run at the same time.
            macros: name -> value of preprocessor macros.
        """
        options = tuple(f"-D{macro}={value}" for macro, value in macros.items())
        key = (name, " ".join(options))
        if key not in self._compiled:
            source = resources.files("ntkspec.backend").joinpath("cuda", f"{name}.cu").read_text("utf-8")
            self._compiled[key] = self.cupy.RawKernel(
                source, name, options=options, enable_cooperative_groups=together
            )
        return self._compiled[key]

    @property
    def multiprocessors(self) -> int:
        """Return the number of multiprocessors of the device."""
        return int(self.cupy.cuda.Device().attributes["MultiProcessorCount"])

    def resident(self, kernel: Any, threads: int) -> int:
        """Return how many blocks of `threads` threads the device can run at the same time, by its driver."""
        driver, function = self.cupy.cuda.driver, kernel.kernel.ptr
        on_each = driver.occupancyMaxActiveBlocksPerMultiprocessor(function, threads, 0)
        return int(on_each) * self.multiprocessors
