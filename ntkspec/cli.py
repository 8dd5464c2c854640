"""What every command line shares: exit codes and one-line errors."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ntkspec.errors import NtkspecError

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run_command(command: Callable[[], int]) -> int:
    """Run a command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted.

    Every `NtkspecError` becomes one line on stderr, without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _interrupts_arrive():
            code = command()
        sys.stdout.flush()
        return code
    except NtkspecError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output left, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError:
        print("error: out of memory; lower --memory, use fewer samples or -k", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # e.g. a full disk behind stdout
        place = f"{error.filename}: " if error.filename else ""
        said = f"{place}expected to write, got {error.strerror or error}; check place and space"
        print(f"error: {_one_line(said)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT


@contextlib.contextmanager
def _interrupts_arrive() -> Iterator[None]:
    """Ctrl-C that comes where a library cannot let exceptions through, as h5py in HDF5, comes once more."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    hook, alarm = sys.unraisablehook, signal.signal(signal.SIGALRM, signal.default_int_handler)

    def again(lost: Any) -> None:
        if lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.05)  # seconds; by then that call is over
        else:
            hook(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        sys.unraisablehook = hook


def quiet_interrupts() -> None:
    """For the package's first line: Ctrl-C while a command is still importing ends it without a word."""
    words = sys.orig_argv  # -m is not said in sys.argv which module it is, and others may import this one
    module = next((after for word, after in itertools.pairwise(words) if word == "-m"), "")
    by_name = os.path.basename(sys.argv[0] if sys.argv else "") == "ntkspec"
    command = (sys.argv[:1] == ["-m"] and module.split(".")[0] == "ntkspec") or by_name
    if command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> NoReturn:
    os._exit(INTERRUPTED)


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, and which takes no abbreviated options."""

    def __init__(
        self, *, prog: str | None = None, description: str | None, epilog: str | None = None
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with code 2."""
        print(f"error: {_one_line(message)}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def positive(kind: type) -> Callable[[str], Any]:
    """For argparse: parses a finite number > 0 of this kind."""

    def parse(text: str) -> Any:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if value > 0 and value < float("inf"):
                return value
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")

    return parse


def console(*, stderr: bool = False) -> Console:
    """A rich console whose broken pipes reach `run_command`, where rich itself would exit with code 1."""
    from rich.console import Console

    class PipedConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return PipedConsole(stderr=stderr)


def _one_line(text: str) -> str:
    """The text without line breaks and control characters: names inside a foreign file may hold anything."""
    return "".join(char if char.isprintable() else " " for char in text)
