"""Take a worker's share of the machine that it wakes up on: memory, and one device."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ntkspec.errors import BackendError
from ntkspec.memory import PROCESSES_HERE

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip

_UUID = re.compile(r"UUID: ((?:GPU|MIG)-[^)\s]+)")
_GIVEN = {name: value for name, value in os.environ.items() if name == VISIBLE}  # when this process began
_claims: dict[str, object] = {}  # by device its lock, which is this process's as long as it lives


def environment(threads: int, processes: int) -> dict[str, str]:
    """Return the variables that give a worker its threads, and its part of a machine's memory.

    Args:
        threads: of the libraries that compute.
        processes: workers that share the memory.

    Example:
        >>> environment(4, 2)["OMP_NUM_THREADS"]
        '4'
    """
    return dict.fromkeys(THREADS, str(threads)) | {PROCESSES_HERE: str(processes)}


def devices(variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` takes them.

    CUDA itself is not asked: it reads that variable once, and a worker chooses afterwards.

    Args:
        variables: of the environment.
    """
    if VISIBLE in variables:
        return tuple(name.strip() for name in variables[VISIBLE].split(",") if name.strip() not in ("", "-1"))
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # no driver, so no device
        return ()
    names = _UUID.findall(done.stdout)
    parts = [name for name in names if name.startswith("MIG")]  # of a device that is cut, its parts compute
    return tuple(parts or names)


def take_device(count: int | None, place: Path | None = None) -> None:
    """Let this process see one GPU that no other worker here has, or none, or those that it was given.

    Must come before CUDA starts in this process. The claim is a lock on a file, which ends with the process,
    however that ends. Where the environment names one device alone, as in a job that asked for one, that is
    the worker's.

    Args:
        count: 0 or 1; None: what the process was started with.
        place: folder of the locks; default: this user's on this machine.

    Raises:
        BackendError: there is no device, or other workers have all.
    """
    if count == 0:
        os.environ[VISIBLE] = ""
        return
    os.environ.pop(VISIBLE, None)
    os.environ.update(_GIVEN)
    choice = devices()
    if count is None or (VISIBLE in _GIVEN and len(choice) == 1):
        return
    for name in choice:
        if name in _claims or _claim(name, place or Path(tempfile.gettempdir(), f"ntkspec-{os.getuid()}")):
            os.environ[VISIBLE] = name
            return
    raise BackendError(
        "a worker with a GPU",
        expected="a device of its own",
        got=f"{len(choice)} devices, which other workers have" if choice else "none on this machine",
        remedy="start fewer --workers, or take --profile cpu",
    )


def workers_for(devices_here: Sequence[str], cores: int, gpus: int) -> int:
    """Return how many workers this machine has room for: one a device, or one a core.

    Raises:
        BackendError: a device is asked for each and there is none.
    """
    if not gpus:
        return cores
    if not devices_here:
        raise BackendError(
            "--profile with a GPU",
            expected="a device on this machine",
            got="none",
            remedy="take --profile cpu, or --cluster slurm",
        )
    return len(devices_here)


def _claim(name: str, place: Path) -> bool:
    """Lock a device for this process; return whether no other has it."""
    from filelock import FileLock, Timeout

    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if place.lstat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "somebody else's")
        path = place / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock"
        lock = FileLock(path, mode=0o600, blocking=False)
        lock.acquire()
    except Timeout:  # another worker has it
        return False
    except OSError as error:
        raise BackendError(
            str(place),
            expected="a folder of this user's for locks",
            got=error.strerror or str(error),
            remedy="set TMPDIR to another place",
        ) from None
    _claims[name] = lock
    return True
