"""What memory, disk and files of this machine do in a second; medians of five."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ntkspec
from ntkspec.population.json_files import write_json
from scaling.constants import TIMES, dense, median_s

COPIED = 2**28  # bytes: beyond every cache
WRITTEN = 2**28  # bytes of a file
RUN_SAMPLES, RUN_WIDTH = 4096, 512  # of a run file of 32 MiB
FILES = 200  # small ones at a time


@dataclass(frozen=True)
class Storage:
    """Rates of memory and files; files are in the folder for temporary ones."""

    copy_rate: float  # bytes read and written a second where an array is copied
    write_rate: float  # a second into a file, until it is safe on the disk
    hash_rate: float  # a second in sha256, which names what a file of kernels is of
    read_s_a_byte: float  # of a run file that the system has at hand: opened, checked, read
    small_file_s: float  # a result of some hundred bytes, as populations keep it


def measure_storage() -> Storage:
    """Measure all of them, in some seconds."""
    source = np.ones(COPIED // 8)
    target = np.empty_like(source)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return Storage(
            copy_rate=2 * COPIED / median_s(lambda: np.copyto(target, source)),
            write_rate=WRITTEN / median_s(lambda: _write(folder / "large", source)),
            hash_rate=WRITTEN / median_s(lambda: hashlib.sha256(source.data)),
            read_s_a_byte=_read(folder / "run.h5"),
            small_file_s=median_s(lambda: _write_small(folder)) / FILES,
        )


def _write(path: Path, numbers: Any) -> None:
    with path.open("wb") as file:
        file.write(numbers[: WRITTEN // 8].data)
        os.fsync(file.fileno())


def _read(path: Path) -> float:
    """Seconds a byte of a run file of one dense block."""
    rows = dense(RUN_SAMPLES, RUN_WIDTH).values[:]
    ntkspec.write_run(path, rows[:, 0, :2], rows[:, :, 0], {"theta": rows})

    def read() -> None:
        with ntkspec.open_run(path) as run:
            run.check_values()
            run.snapshot(-1).jacobian.load()

    return median_s(read) / path.stat().st_size


def _write_small(folder: Path) -> None:
    for number in range(FILES):
        write_json(folder / f"{number}.json", {"label": "a run", "values": [1.0] * TIMES})
