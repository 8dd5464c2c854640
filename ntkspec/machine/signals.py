"""Turn SIGTERM, SIGHUP and Ctrl-C into exceptions that end a command."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class Terminated(KeyboardInterrupt):
    """The exception that SIGTERM raises: code that cleans up after Ctrl-C cleans up after it, too."""

    number = signal.SIGTERM


class HungUp(KeyboardInterrupt):
    """The exception that SIGHUP raises: the terminal was closed."""

    number = signal.SIGHUP


_ENDINGS: dict[int, type[KeyboardInterrupt]] = {signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}
ENDINGS_IN_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


def interruption_of(error: Exception) -> KeyboardInterrupt | None:
    """Return the Ctrl-C that became this exception, as it becomes a SystemError while HDF5 calls back."""
    return error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else None


@contextlib.contextmanager
def signals_arrive(replacing: Callable[..., object]) -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise exceptions as Ctrl-C does, unless the caller has handlers for them.

    A signal whose exception a library swallows, as h5py does inside of HDF5, is sent once more. Timers and
    alarms are not touched.

    Args:
        replacing: the handler of Ctrl-C that gives way to Python's own until the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> NoReturn:
        raise _ENDINGS[number]

    before: dict[int, Any] = {}
    try:
        for number in _ENDINGS:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
        if signal.getsignal(signal.SIGINT) is replacing:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
        with _lost_interrupts_again():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _lost_interrupts_again() -> Iterator[None]:
    """Send a signal once more, from another thread, if a library printed its exception and went on."""
    hook, main, senders = sys.unraisablehook, threading.main_thread().ident, list[threading.Timer]()

    def send(number: int) -> None:
        if main is not None and callable(signal.getsignal(number)):  # not to what would kill the process
            signal.pthread_kill(main, number)

    def again(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)
            return
        number = getattr(lost.exc_type, "number", signal.SIGINT)
        sender = threading.Timer(0.05, send, [number])  # seconds; by then that call is over
        sender.daemon = True
        senders.append(sender)
        sender.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for sender in senders:
            sender.cancel()
            sender.join()  # or it might send after its signal's handler is gone
