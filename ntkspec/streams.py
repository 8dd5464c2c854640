"""Standard output and error of a command: whatever becomes of them, its work goes on and is kept."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class LenientStream(io.RawIOBase):
    """A file descriptor that takes everything: what nobody reads, or has no room for, is dropped."""

    def __init__(self, number: int, *, closed: bool = False) -> None:
        self.number = number
        self.lost: OSError | None = OSError() if closed else None  # why words are dropped

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.number

    def isatty(self) -> bool:
        """Return whether a terminal shows what is written."""
        return os.isatty(self.number)

    def write(self, words: Any, /) -> int:
        """Write, or drop; returns the number of bytes taken."""
        while self.lost is None:
            try:
                return os.write(self.number, words)
            except BlockingIOError:  # somebody made it so; there will be room
                select.select([], [self.number], [])
            except OSError as error:
                self.lost = error
        return memoryview(words).nbytes


@contextlib.contextmanager
def lenient_streams() -> Iterator[LenientStream]:
    """Let standard output and error take everything, characters that they cannot show as "?"; yields output.

    A stream that the process was started without becomes /dev/null, lest a file that is opened later take its
    number and what is meant for the terminal go there. Streams that a caller has put in their place stay, and
    replace characters meanwhile.
    """
    _occupy()
    before = sys.stdout, sys.stderr
    output, errors = (
        LenientStream(number, closed=stream is None) for number, stream in enumerate(before, start=1)
    )
    if sys.stdout in (None, sys.__stdout__):
        sys.stdout = _text(output, sys.stdout, "replace")
    if sys.stderr in (None, sys.__stderr__):
        sys.stderr = _text(errors, sys.stderr, "backslashreplace")
    with _replacing(sys.stdout), _replacing(sys.stderr):
        try:
            yield output
        finally:
            _flush()
            sys.stdout, sys.stderr = before


@contextlib.contextmanager
def _replacing(stream: TextIO) -> Iterator[None]:
    """Let a text stream that would raise at characters that its encoding lacks write "?" for them."""
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # of one that was closed meanwhile
            stream.reconfigure(errors="strict")


def _flush() -> None:
    with contextlib.suppress(Exception):  # of a caller's own streams
        sys.stdout.flush()
        sys.stderr.flush()


def _text(raw: LenientStream, stream: TextIO | None, errors: str) -> TextIO:
    """A text stream in the encoding of the one whose place it takes; what that one holds goes first."""
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    at_once = raw.number == 2 or raw.isatty() or getattr(stream, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=errors, line_buffering=at_once
    )


def _occupy() -> None:
    """Give /dev/null to the standard streams that are closed: `open` takes the lowest number that is free."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
