"""Take a worker's share of the machine that it runs on: memory, and one device."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ntkspec.errors import BackendError
from ntkspec.machine.memory import PROCESSES_HERE

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip

_UUID = re.compile(r"UUID: ((?:GPU|MIG)-[^)\s]+)")
_GIVEN = {name: value for name, value in os.environ.items() if name == VISIBLE}  # at the process's start
_claims: dict[str, object] = {}  # the lock of each device that this process has, until it ends


def environment(threads: int, processes: int) -> dict[str, str]:
    """Return environment variables that set a worker's threads and its share of the machine's memory.

    Args:
        threads: of the libraries that compute.
        processes: how many workers share the memory.

    Example:
        >>> environment(4, 2)["OMP_NUM_THREADS"]
        '4'
    """
    return dict.fromkeys(THREADS, str(threads)) | {PROCESSES_HERE: str(processes)}


def devices(variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use, in the form of `CUDA_VISIBLE_DEVICES`.

    They are not read from CUDA, which reads that variable only once: a worker sets it afterwards.

    Args:
        variables: those of the environment.

    Example:
        >>> devices({"CUDA_VISIBLE_DEVICES": "0, 1"})
        ('0', '1')
    """
    if VISIBLE in variables:
        return tuple(name.strip() for name in variables[VISIBLE].split(",") if name.strip() not in ("", "-1"))
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # without a driver there is no device
        return ()
    names = _UUID.findall(done.stdout)
    parts = [name for name in names if name.startswith("MIG")]  # if a device is cut into parts, these compute
    return tuple(parts or names)


def take_device(count: int | None, place: Path | None = None) -> None:
    """Limit the GPUs that this process sees: to one that no other worker here has, to none, or not at all.

    It must be called before CUDA starts in this process. A device is claimed by a lock on a file, which the
    system releases when the process ends. Where the environment names a single device, as in a job that asked
    for one, that is the worker's, without a lock.

    Args:
        count: 0 or 1; None: the devices that the process was started with.
        place: folder of the locks; default: one for this user on this machine.

    Raises:
        BackendError: there is no device, or other workers have them all.
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
        remedy="start fewer ⟦--workers⟧, or take ⟦--profile=cpu⟧",
    )


def workers_for(devices_here: Sequence[str], cores: int, gpus: int) -> int:
    """Return how many workers to start on this machine: one per GPU, or one per core if `gpus` is 0.

    Args:
        devices_here: names of this machine's GPUs.
        cores: number of cores.
        gpus: the number of GPUs for each worker, 0 or 1.

    Raises:
        BackendError: a worker needs a GPU and there is none.

    Example:
        >>> workers_for(["0", "1"], cores=16, gpus=1)
        2
    """
    if not gpus:
        return cores
    if not devices_here:
        raise BackendError(
            "⟦--profile⟧ with a GPU",
            expected="a device on this machine",
            got="none",
            remedy="take ⟦--profile=cpu⟧, or ⟦--cluster|place=slurm⟧",
        )
    return len(devices_here)


def _claim(name: str, place: Path) -> bool:
    """Lock a device for this process; return False if another process has it."""
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
