"""Ask for trials: the server as those see it who start it. Light, since commands import it first."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ntkspec import errors
from ntkspec.errors import NtkspecError

SECONDS = 3  # of CPU time, for a step that takes milliseconds in a good file
GRACE = 0.02  # seconds for an idle server to end by itself
# Where BLAS libraries look how many threads they may have; with one they start none.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1")
BOOT = """\
import json, sys
sys.path[:], modules = json.loads(sys.argv[1])
from ntkspec.sandbox.children import serve
serve(modules)
"""
UNTRIED = b"null\n"  # in the place of an error's words, or of [] where there was none

Step = Callable[[], None]
_tried: dict[tuple[object, ...], bytes] = {}


def try_out(path: Path, what: str, look: Callable[[Step], None], budget: int, seconds: int = SECONDS) -> None:
    """Run `look` in a child of the server; raise here what it raised, or that it hung or crashed.

    Args:
        path: the file that it looks at.
        what: names the trial; success, a hang and a crash are remembered while the file is the same.
        look: a function, or a partial of one, that another interpreter can import. It calls its argument
            after each step, which grants it the time for another.
        budget: bytes that it may allocate.
        seconds: CPU time for the first step.
    """
    if sys.platform != "linux":
        return
    status = path.stat()
    key = (what, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    answer = _tried.get(key) or _ask(pickle.dumps((look, budget, seconds)))
    words = json.loads(answer)
    if words == [] or (words and words[:2] == ["RunFileError", ""]):
        _tried[key] = answer  # other refusals may depend on more than the file
    if words:
        name, where, expected, got, remedy = words
        kind: type[NtkspecError] = getattr(errors, name)
        raise kind(where or str(path), expected=expected, got=got, remedy=remedy)


@dataclass
class _Kept:
    """What this process knows of its server."""

    line: socket.socket | None = None  # to it; when all ends of it are closed, the server ends
    pid: int = 0
    owner: int = 0  # who started it: processes that were forked since may use it, but not end it
    users: int = 0  # how many `server` are open
    modules: tuple[str, ...] = ()  # that one loads which is started inside of these


_kept = _Kept()
_changing = threading.RLock()


@contextlib.contextmanager
def server(*modules: str) -> Iterator[None]:
    """Keep one server for all trials inside, where otherwise each starts one; the first starts it.

    Args:
        modules: what these trials use, for the server to load once.
    """
    with _changing:
        _kept.users += 1
        _kept.modules = tuple(dict.fromkeys((*_kept.modules, *modules)))
    try:
        yield
    finally:
        with _changing:
            _kept.users -= 1
            if not _kept.users:
                _kept.modules = ()
                stop()


def start(*modules: str) -> None:
    """Start the server now, to be ready by the first trial, unless it runs or there is no room for it.

    The first `server` that is left ends it, or `stop`, or the end of this process.
    """
    with _changing:
        if _kept.line is not None or sys.platform != "linux" or not sys.executable:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            try:
                pid = _spawn(theirs.fileno(), (*_kept.modules, *modules))
            except OSError:  # no room for another process
                return
            # A standard stream that was closed leaves its number free, to which somebody might write.
            above_streams = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        _kept.line, _kept.pid, _kept.owner = socket.socket(fileno=above_streams), pid, os.getpid()
        atexit.unregister(stop)
        atexit.register(stop)


def stop() -> None:
    """End the server, if this process started one, and leave no zombie."""
    line, _kept.line = _kept.line, None
    if line is None:
        return
    line.close()
    if _kept.owner == os.getpid():
        with contextlib.suppress(
            ProcessLookupError, ChildProcessError
        ):  # somebody else waits for all children
            _reap(_kept.pid)


def _reap(pid: int) -> None:
    """Wait for the server to end, but for no import of its own."""
    late = time.monotonic() + GRACE
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > late:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(GRACE / 20)


def _spawn(line: int, modules: tuple[str, ...]) -> int:
    """Start an interpreter with this socket as standard input, out of the reach of the terminal's Ctrl-C."""
    words = [sys.executable, "-c", BOOT, json.dumps([sys.path, modules])]
    streams = [
        (os.POSIX_SPAWN_DUP2, line, 0),
        *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)),
    ]
    environment = os.environ | ALONE
    return os.posix_spawn(
        sys.executable, words, environment, file_actions=streams, setpgroup=0, setsigmask=()
    )


def _ask(request: bytes) -> bytes:
    """The server's answer, a line of JSON; one that has died is replaced once."""
    with server():
        for _ in range(2):
            start()
            line = _kept.line
            if line is None:
                break
            if answer := _answer(line, request):
                return answer
            with _changing:
                if _kept.line is line:
                    stop()
    return UNTRIED


def _answer(line: socket.socket, request: bytes) -> bytes:
    """What comes back on a pipe of this request's own, or nothing; to close the pipe ends the trial."""
    reader, writer = os.pipe()
    with open(reader, "rb") as answers:
        with open(writer, "wb"):
            folder = os.open(".", os.O_PATH | os.O_DIRECTORY)  # to which paths refer
            try:
                socket.send_fds(line, [request], [writer, folder])
            except OSError:
                return b""
            finally:
                os.close(folder)
        return answers.readline()
