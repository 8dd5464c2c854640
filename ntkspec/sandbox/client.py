"""Start and end the server, and ask it for trials. This module imports little: commands import it first."""

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
# Variables that tell BLAS libraries how many threads to use; with one they start none.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1")
BOOT = """\
import json, sys
sys.path[:], modules = json.loads(sys.argv[1])
from ntkspec.sandbox.children import serve
serve(modules)
"""
UNTRIED = b"null\n"  # the answer when no trial took place; [] means no error

Step = Callable[[], None]
_tried: dict[tuple[object, ...], bytes] = {}


def try_out(path: Path, what: str, look: Callable[[Step], None], budget: int, seconds: int = SECONDS) -> None:
    """Run a function in a child process of the server, and raise its error in this process.

    A hang or a crash of the child becomes an error, too. On systems other than Linux nothing is run.

    Args:
        path: the file that the function reads.
        what: name of the trial. The result is cached by this name until the file changes, if it was a
            success, a hang or a crash.
        look: a function, or a partial of one, that another interpreter can import. After each step it must
            call its argument, which renews the limit of CPU time.
        budget: bytes that it may allocate.
        seconds: limit of CPU time until its first call of the argument; large files get up to a minute more,
            since they may have many thousand small parts.

    Raises:
        NtkspecError: `look` raised it.
        RunFileError: the HDF5 library hung or crashed.
    """
    if sys.platform != "linux":
        return
    status = path.stat()
    key = (what, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    limit = seconds + min(status.st_size // 2**21, 60)
    module = getattr(look, "func", look).__module__
    answer = _tried.get(key) or _ask(pickle.dumps((look, budget, limit)), module)
    words = json.loads(answer)
    if words == [] or (words and words[:2] == ["RunFileError", ""]):
        _tried[key] = answer  # other errors may depend on more than the file
    if words:
        name, where, expected, got, remedy = words
        kind: type[NtkspecError] = getattr(errors, name)
        raise kind(where or str(path), expected=expected, got=got, remedy=remedy)


@dataclass
class _Server:
    """The server of this process, if it has one."""

    line: socket.socket | None = None  # connected to the server, which ends when all copies are closed
    pid: int = 0
    owner: int = 0  # the process that started it; its forks may use the server, but not end it
    users: int = 0  # how many `with server()` are open


_server = _Server()
_changing = threading.RLock()


@contextlib.contextmanager
def server() -> Iterator[None]:
    """Keep one server for all trials in the `with` block; the first trial starts it.

    A trial outside of such a block starts a server of its own.
    """
    with _changing:
        _server.users += 1
    try:
        yield
    finally:
        with _changing:
            _server.users -= 1
            if not _server.users:
                stop()


def start(*modules: str) -> None:
    """Start the server now, so that it is ready at the first trial.

    Do nothing if it is running already, or if the system cannot start another process. The server ends when
    the last open `server` block ends, at `stop`, or with this process.

    Args:
        modules: names of modules that trials will need: the server imports them once, a trial each time.
    """
    with _changing:
        if _server.line is not None or sys.platform != "linux" or not sys.executable:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            try:
                pid = _spawn(theirs.fileno(), modules)
            except OSError:  # no room for another process
                return
            # Numbers below 3 may be free, but whoever writes to a closed standard stream would write here.
            above_streams = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        _server.line, _server.pid, _server.owner = socket.socket(fileno=above_streams), pid, os.getpid()
        atexit.unregister(stop)
        atexit.register(stop)


def stop() -> None:
    """Close the socket to the server; if this process started the server, wait until it has ended."""
    line, _server.line = _server.line, None
    if line is None:
        return
    line.close()
    if _server.owner == os.getpid():
        # Other code in this process may wait for all children.
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            _reap(_server.pid)


def _reap(pid: int) -> None:
    """Wait `GRACE` seconds for the server to end, then kill it: it may still be importing modules."""
    late = time.monotonic() + GRACE
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > late:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(GRACE / 20)


def _spawn(line: int, modules: tuple[str, ...]) -> int:
    """Start the server's interpreter with this socket as standard input; return its process id.

    It has a process group of its own, so that Ctrl-C of a terminal does not reach it.
    """
    words = [sys.executable, "-c", BOOT, json.dumps([sys.path, modules])]
    streams = [
        (os.POSIX_SPAWN_DUP2, line, 0),
        *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)),
    ]
    environment = os.environ | ALONE
    return os.posix_spawn(
        sys.executable, words, environment, file_actions=streams, setpgroup=0, setsigmask=()
    )


def _ask(request: bytes, module: str) -> bytes:
    """Return the server's answer to a request, a line of JSON; if the server has died, try a new one once.

    Args:
        request: pickled (function, budget in bytes, seconds).
        module: of the function; a new server imports it, for this trial and those after it.
    """
    with server():
        for _ in range(2):
            start(module)
            line = _server.line
            if line is None:
                break
            if answer := _answer(line, request):
                return answer
            with _changing:
                if _server.line is line:
                    stop()
    return UNTRIED


def _answer(line: socket.socket, request: bytes) -> bytes:
    """Send a request and return the answer, or nothing if the server is gone.

    The answer comes through a pipe of its own; closing that pipe ends the trial.
    """
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
