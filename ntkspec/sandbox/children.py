"""Run the server that answers requests for trials, and its child processes; `client` starts the server."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pickle
import resource
import select
import signal
import socket
import time
from pathlib import Path
from typing import NoReturn

from ntkspec.errors import NtkspecError
from ntkspec.sandbox.client import SECONDS, UNTRIED

WALL = 60  # seconds by the clock that a step may take: a child may wait for a disk
ROOM = 2**27  # bytes of address space beyond the budget
REQUEST = 2**16  # bytes that a request may have
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl


def serve(modules: list[str]) -> NoReturn:
    """Answer requests one after the other, each in a forked child, until all clients have closed the socket.

    It must run in a fresh interpreter that has the socket as its standard input.

    Args:
        modules: names of modules that trials will need, imported at once.
    """
    faulthandler.disable()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise `waitpid` might not tell how a child ended
    for module in modules:
        with contextlib.suppress(Exception):  # the client meets the same error when it does this itself
            importlib.import_module(module)
    with socket.socket(fileno=0) as line:
        while True:
            request, handles, _, _ = socket.recv_fds(line, REQUEST, 2)
            if not request:
                os._exit(0)
            client, folder = handles
            with contextlib.suppress(OSError):
                os.write(client, _run(request, client, folder))
            os.close(client)
            os.close(folder)


def _run(request: bytes, client: int, folder: int) -> bytes:
    """Fork a child for a request and return the answer for the client, a line of JSON.

    Args:
        request: pickled (function, budget in bytes, seconds), see `client.try_out`.
        client: descriptor of the pipe to the client.
        folder: descriptor of the client's working directory.

    Returns:
        A list with the fields of an `NtkspecError`, empty if there was none; null if no child could start.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError:  # no room for another process
        os.close(reader)
        os.close(writer)
        return UNTRIED
    if child == 0:
        _child(request, parent, writer, folder)
    os.close(writer)
    answer = _listen(reader, client)
    os.close(reader)
    ended = _end(child)
    if answer is None or (not answer and ended == signal.SIGXCPU):
        return _damaged("one that takes too long to read: the HDF5 library does not come back")
    return answer or _damaged(f"one on which the HDF5 library crashes ({signal.strsignal(ended) or ended})")


def _child(request: bytes, parent: int, writer: int, folder: int) -> NoReturn:
    """Run a trial, write its answer to `writer`, and end this child process without running finalizers."""
    words: list[str] = []
    try:
        gc.disable()
        _die_with(parent)
        os.dup2(1, 0)  # closes the child's copy of the server's socket
        os.fchdir(folder)
        look, budget, seconds = pickle.loads(request)
        _limit(budget, seconds)

        def step() -> None:
            os.write(writer, b".")
            _grant(SECONDS)

        look(step)
    except NtkspecError as error:
        words = [type(error).__name__, *error.args]
    except MemoryError:
        need = "to read it within the memory budget", "a need of more", "raise ⟦--memory⟧"
        words = ["MemoryBudgetError", "", *need]
    except BaseException:
        pass  # the client meets the same error when it does this itself
    finally:
        with contextlib.suppress(BaseException):
            os.write(writer, json.dumps(words).encode() + b"\n")
        os._exit(0)


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, also if the parent is killed."""
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before that
        os._exit(0)


def _limit(budget: int, seconds: int) -> None:
    """Limit this process to `budget` more bytes of address space and `seconds` more seconds of CPU time."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([now + budget + ROOM, *limits]), hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _grant(seconds)


def _grant(seconds: int) -> None:
    """Allow `seconds` more seconds of CPU time, after which SIGXCPU ends this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(time.process_time()) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard < 0 else min(limit, hard), hard))


def _listen(reader: int, client: int) -> bytes | None:
    """Wait for a child's last line and return it.

    Returns:
        The line; empty if the child died or the client is gone; None if nothing came for `WALL` seconds.
    """
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(client, 0)  # reports only that its other end is closed
    text = b""
    while not text.endswith(b"\n"):
        ready = dict(poll.poll(1000 * WALL))
        if not ready:
            return None
        more = os.read(reader, 2**16) if reader in ready else b""
        if client in ready or not more:
            return b""
        text += more.lstrip(b".")
    return text


def _end(child: int) -> int:
    """Kill a child process and wait for it, leaving no zombie; return the signal that ended it, or 0."""
    try:
        os.kill(child, signal.SIGKILL)  # without effect if it has ended by itself
        _, status = os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):  # other code in this process waits for all children
        return 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _damaged(got: str) -> bytes:
    """Return the line of JSON from which the client makes a `RunFileError` about a damaged file."""
    words = "a readable HDF5 file", f"a damaged one: {got}", "copy or export it again"
    return json.dumps(["RunFileError", "", *words]).encode() + b"\n"
