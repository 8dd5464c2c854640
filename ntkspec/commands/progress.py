"""Show on stderr what a command is doing: a line that changes on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ntkspec.commands.cli import console, line_on_stderr, one_line

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str], None]
FIRST = "starting"  # shown until a command says what it does


@contextlib.contextmanager
def progress(*, quiet: bool = False, bars: bool = False, every: float = 60.0) -> Iterator[Say]:
    """Show what a command is doing.

    A terminal shows one line that changes. A file, such as the log of a job, gets the newest step once a
    minute, and so nothing from a command that ends within a minute.

    Args:
        quiet: show nothing.
        bars: the command draws progress bars of its own on a terminal instead.
        every: seconds between two lines of a file.

    Yields:
        A function to call with the name of each step.

    Example:
        >>> with progress(quiet=True) as say:
        ...     say("reading run.h5")
    """
    stderr = console(stderr=True)
    on_terminal = stderr.is_interactive and stderr.file.isatty()  # rich believes FORCE_COLOR, too
    if quiet or (bars and on_terminal):
        yield lambda _: None
    else:
        with _status_line(stderr) if on_terminal else _lines(every) as say:
            yield say


@contextlib.contextmanager
def _status_line(stderr: Console) -> Iterator[Say]:
    from rich.markup import escape

    spinner = "dots" if stderr.encoding.lower().startswith("utf") else "line"
    with stderr.status(FIRST, spinner=spinner) as status:
        yield lambda step: status.update(escape(one_line(step)))


@contextlib.contextmanager
def _lines(every: float) -> Iterator[Say]:
    """Write the lines from a separate thread, since a step may last for many minutes."""
    start, newest, ended = time.monotonic(), deque([FIRST], maxlen=1), threading.Event()

    def write() -> None:
        while not ended.wait(every):
            minutes = (time.monotonic() - start) / 60
            line_on_stderr(f"[{minutes:.1f} min] {newest[0]}")

    writer = threading.Thread(target=write, name="progress", daemon=True)
    try:
        # Where no thread can start, the work itself may still have room.
        with contextlib.suppress(RuntimeError):
            writer.start()
        yield newest.append
    finally:
        ended.set()
        if writer.is_alive():
            writer.join()
