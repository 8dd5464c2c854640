"""Try a file out in a child process: libhdf5 may hang or crash on a damaged one, and Python cannot stop it.

The child is allowed `SECONDS` of CPU time for each step, so that a slow disk or a busy machine makes no good
file fail, and `WALL` seconds by the clock. Only Linux has what this needs; elsewhere files are opened
untried.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import h5py

from ntkspec import errors
from ntkspec.errors import NtkspecError

SECONDS = 3  # of CPU time, for a step that takes milliseconds in a good file
WALL = 60  # seconds without a step, for a child that waits for a disk
ROOM = 2**27  # bytes of address space beyond the budget

Step = Callable[[], None]
_tried: dict[tuple[object, ...], bytes] = {}


def try_out(path: Path, what: str, look: Callable[[Step], None], budget: int, seconds: int = SECONDS) -> None:
    """Run `look` on the file at `path` in a child; raise here what it raised, or that it hung or crashed.

    Args:
        what: names the trial; success, a hang and a crash are remembered while the file is the same.
        look: calls its argument after each step, which grants it the time for another.
        budget: bytes that it may allocate.
        seconds: CPU time for the first step.
    """
    if sys.platform != "linux":
        return
    status = path.stat()
    key = (what, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    words = json.loads(_tried.get(key) or _run(look, budget, seconds))
    if not words or words[:2] == ["RunFileError", ""]:  # other refusals may depend on more than the file
        _tried[key] = json.dumps(words).encode()
    if words:
        name, where, expected, got, remedy = words
        kind: type[NtkspecError] = getattr(errors, name)
        raise kind(where or str(path), expected=expected, got=got, remedy=remedy)


def _run(look: Callable[[Step], None], budget: int, seconds: int) -> bytes:
    """The child's last line: nothing, or the words of an error."""
    reader, writer = os.pipe()
    child = 0
    try:
        with warnings.catch_warnings():  # other threads are of no concern to a child that only calls HDF5
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                with h5py._objects.phil:  # its lock, which no other thread may hold in the child
                    child = os.fork()
            except OSError:  # no room for another process
                return b"[]"
        if child == 0:
            _child(writer, look, budget, seconds)
        os.close(writer)
        writer = -1
        said = _listen(reader)
    finally:
        for end in {reader, writer} - {-1}:
            os.close(end)
        ended = _end(child) if child else 0
    if said is None or (not said and ended == signal.SIGXCPU):
        return _damaged("one that takes too long to read: the HDF5 library does not come back")
    return said or _damaged(f"one on which the HDF5 library crashes ({signal.strsignal(ended) or ended})")


def _child(writer: int, look: Callable[[Step], None], budget: int, seconds: int) -> NoReturn:
    """Never returns, and runs nobody's finalizers: what the parent has open stays as it is."""
    said: list[str] = []
    try:
        gc.disable()
        faulthandler.disable()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        _limit(budget, seconds)

        def step() -> None:
            os.write(writer, b".")
            _grant(SECONDS)

        look(step)
    except NtkspecError as error:
        said = [type(error).__name__, error.where, error.expected, error.got, error.remedy]
    except MemoryError:
        need = "to read it within the memory budget", "a need of more", "raise --memory"
        said = ["MemoryBudgetError", "", *need]
    except BaseException:
        pass  # the parent will meet it too
    finally:
        with contextlib.suppress(BaseException):
            os.write(writer, json.dumps(said).encode() + b"\n")
        os._exit(0)


def _limit(budget: int, seconds: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([now + budget + ROOM, *limits]), hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _grant(seconds)


def _grant(seconds: int) -> None:
    """So much more CPU time until SIGXCPU ends this process."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(time.process_time()) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard < 0 else min(limit, hard), hard))


def _listen(reader: int) -> bytes | None:
    """The child's last line; empty if it died, None if nothing came for too long."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    text = b""
    while not text.endswith(b"\n"):
        if not poll.poll(1000 * WALL):
            return None
        more = os.read(reader, 65536)
        if not more:
            return b""
        text += more.lstrip(b".")
    return text


def _end(child: int) -> int:
    """Make sure that the child has ended, leaving no zombie; the signal that ended it, or 0."""
    try:
        os.kill(child, signal.SIGKILL)  # changes nothing where it died on its own
        _, status = os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):  # somebody else in this process waits for all children
        return 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _damaged(got: str) -> bytes:
    words = "a readable HDF5 file", f"a damaged one: {got}", "copy or export it again"
    return json.dumps(["RunFileError", "", *words]).encode()
