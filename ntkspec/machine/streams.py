"""Provide standard output and error that never fail, so that a command finishes even if they are closed."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LenientStream(io.RawIOBase):
    """A file descriptor whose writes never fail: output that cannot be written is dropped."""

    def __init__(self, number: int, *, closed: bool = False) -> None:
        self.number = number
        self.lost: OSError | None = OSError() if closed else None  # why output is dropped; None: it is not

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.number

    def isatty(self) -> bool:
        """Return whether a terminal shows what is written."""
        return os.isatty(self.number)

    def write(self, words: ReadableBuffer, /) -> int:
        """Write bytes, or drop them; return how many were written or dropped."""
        while self.lost is None:
            try:
                return os.write(self.number, words)
            except BlockingIOError:  # whoever shares it made it non-blocking: wait for room
                select.select([], [self.number], [])
            except OSError as error:
                self.lost = error
        return memoryview(words).nbytes


@contextlib.contextmanager
def lenient_streams() -> Iterator[LenientStream]:
    """Let writes to standard output and error never fail; characters outside their encoding become "?".

    A stream that was closed when the process started becomes /dev/null: otherwise a file that is opened later
    would take its number, and get what is meant for the terminal. Streams that a caller has put in place of
    the standard ones stay; they too replace characters meanwhile.

    Yields:
        Standard output.
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
    """Let a text stream write "?" for characters outside its encoding, instead of raising an error."""
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # it may have been closed meanwhile
            stream.reconfigure(errors="strict")


def _flush() -> None:
    with contextlib.suppress(Exception):  # a caller's own stream may raise anything
        sys.stdout.flush()
        sys.stderr.flush()


def _text(raw: LenientStream, stream: TextIO | None, errors: str) -> TextIO:
    """Make a text stream in the encoding of the one that it replaces, whose buffer is written out first."""
    if stream is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors)
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    at_once = raw.number == 2 or raw.isatty() or getattr(stream, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=errors, line_buffering=at_once
    )


def _occupy() -> None:
    """Open /dev/null for each standard stream that is closed: `open` takes the lowest number that is free."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
