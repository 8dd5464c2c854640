"""Define what all commands share: exit codes, one-line errors, and clean-up when they are interrupted."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ntkspec import sandbox
from ntkspec._version import PRODUCER
from ntkspec.errors import NtkspecError, OutputError, UsageError, shown
from ntkspec.machine.signals import ENDINGS_IN_WORDS, interruption_of, signals_arrive
from ntkspec.machine.streams import LenientStream, lenient_streams

if TYPE_CHECKING:
    from rich.console import Console

Number = TypeVar("Number", int, float)
DONE, FAILED, BAD_INPUT, UNEXPECTED, INTERRUPTED = 0, 1, 2, 70, 130  # 70: EX_SOFTWARE of sysexits.h
TRACEBACK = "NTKSPEC_TRACEBACK"  # set it to see where an unexpected exception came from
_NO_MEMORY = (  # the last one is Python's of a module's code for which there was no room
    os.strerror(errno.ENOMEM),
    "can't start new thread",
    "failed to map segment",
    "error return without exception set",
)


def run_command(command: Callable[[], int]) -> int:
    """Run a command and return its exit code.

    The code is the command's own (0 done, 1 a bound or a check does not hold); 2 for bad usage or input, full
    disks and too little memory; 70 for an exception that nobody expected; 128 + n after signal n: Ctrl-C,
    SIGTERM, SIGHUP. Codes from 2 on come with one line on stderr, and none with a traceback. Characters that
    stdout cannot show are replaced. Where the reader of stdout leaves early, the code stays the same.
    """
    with lenient_streams() as stdout:
        try:
            return _exit_code(command) or _lost_words(stdout)
        except SystemExit as stop:  # argparse, after --help or a usage error
            if not stop.code and (code := _lost_words(stdout)):
                raise SystemExit(code) from None
            raise


def _lost_words(stdout: LenientStream) -> int:
    """Report output that could not be written, unless the reading process has ended; return the exit code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if stdout.lost is None or stdout.lost.errno in (None, errno.EPIPE):
        return DONE
    line_on_stderr(f"error: standard output: {_no_place(stdout.lost)}")
    return BAD_INPUT


def _exit_code(command: Callable[[], int]) -> int:
    """Run a command; turn every exception except SystemExit into one line on stderr and an exit code."""
    try:
        with signals_arrive(replacing=_leave):
            code = command()
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a stream that is not ours to replace left
        return DONE
    except KeyboardInterrupt as error:
        return _end_of(error)
    except Exception as error:
        interrupt = interruption_of(error)
        return _exit_code_of(error) if interrupt is None else _end_of(interrupt)


def _end_of(interrupt: KeyboardInterrupt) -> int:
    """Print which signal ended the command, and return its exit code."""
    number = getattr(interrupt, "number", signal.SIGINT)
    line_on_stderr(ENDINGS_IN_WORDS[number])
    return 128 + int(number)


def _exit_code_of(error: Exception) -> int:
    """Print an exception as one line on stderr, and return its exit code."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0") and not isinstance(error, NtkspecError):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    words, code = in_words(error)
    line_on_stderr(f"error: {words}")
    return code


def in_words(error: Exception) -> tuple[str, int]:
    """Return the message for an exception, and its exit code."""
    if isinstance(error, NtkspecError):
        return error.at_command_line(), BAD_INPUT
    if _out_of_memory(error):
        return (
            "out of memory; lower --memory if the command has it, use fewer samples, or raise the limit of "
            "`ulimit -v`",
            BAD_INPUT,
        )
    if isinstance(error, OSError):
        return f"{f'{error.filename}: ' if error.filename else ''}{_no_place(error)}", BAD_INPUT
    steps = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(steps[-1].filename)}:{steps[-1].lineno}" if steps else "a worker"
    remedy = f"this is a fault of the program, please report it with what {TRACEBACK}=1 prints"
    if isinstance(error, ModuleNotFoundError):
        remedy = "install what is missing, as `pip install ntkspec` does"
    return f"{where}: expected to finish, got {type(error).__name__}: {error}; {remedy}", UNEXPECTED


def _no_place(error: OSError) -> str:
    return f"expected to read or write, got {error.strerror or error}; check place and space"


def _out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one that caused it, means that memory ran out."""
    while error is not None:
        message = str(error)
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if any(words in message for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def line_on_stderr(text: str) -> None:
    """Print one line on stderr; do nothing where stderr is closed or cannot be written."""
    if sys.stderr is not None:  # or `print` would take stdout
        with contextlib.suppress(OSError, ValueError):
            print(one_line(text), file=sys.stderr, flush=True)


def begin(*, trials: bool = False) -> None:
    """Prepare the process of a command; called in its first lines, and never when its module is imported.

    During the half second in which a command imports NumPy and SciPy, Ctrl-C ends it silently, and an
    exception ends it with one line and its exit code.

    Args:
        trials: start the server that opens untrusted files, so that it is ready after this process's imports.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _leave_with
    if trials:
        sandbox.start("ntkspec.store")


def _leave(*_: object) -> NoReturn:
    sandbox.stop()
    os._exit(INTERRUPTED)


def _leave_with(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Serve as `sys.excepthook`, but do not exit with code 1, which means that a bound does not hold."""
    if not isinstance(error, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    code = _exit_code_of(error)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    sandbox.stop()
    os._exit(code)


class Parser(argparse.ArgumentParser):
    """An argument parser with --version, one-line errors, no abbreviated options and no empty paths."""

    def __init__(
        self,
        *,
        prog: str | None = None,
        usage: str | None = None,
        description: str | None,
        epilog: str | None = None,
        argument_default: str | None = None,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            argument_default=argument_default,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.register("type", Path, _path)
        self.add_argument("--version", action="version", version=PRODUCER, help="print the version and exit")

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and exit with code 2."""
        line_on_stderr(f"error: {message}; see {self.prog} --help")
        raise SystemExit(BAD_INPUT)


def positive(kind: Callable[[str], Number]) -> Callable[[str], Number]:
    """Return a parser for argparse of finite numbers > 0.

    Args:
        kind: int or float.

    Example:
        >>> positive(float)("0.5")
        0.5
    """

    def parse(text: str) -> Number:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if value > 0 and value < float("inf"):
                return value
        what = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"expected a positive {what}, got {shown(text)}")

    return parse


def whole(text: str) -> int:
    """Parse a whole number from 0, for argparse.

    Example:
        >>> whole("12")
        12
    """
    from ntkspec.arguments.counts import whole_number  # here, since it loads NumPy

    number: object = text
    with contextlib.suppress(ValueError):
        number = int(text)
    try:
        return whole_number(number, "", 0)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"expected {error.expected}, got {shown(text)}") from None


def _path(text: str) -> Path:
    """Parse a path; refuse an empty one, which would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected the path of a file or folder, got ''")
    return Path(text)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console that raises BrokenPipeError, where rich itself would exit with code 1."""
    from rich.console import Console

    class PipedConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return PipedConsole(stderr=stderr)


@contextlib.contextmanager
def warnings_as_lines(kind: type[Warning]) -> Iterator[None]:
    """Print each warning of a kind as one line on stderr; leave other warnings as they are."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
            if issubclass(category, kind):
                line_on_stderr(f"warning: {message}")
            else:
                usual(message, category, *rest, **options)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def after(written: str) -> Iterator[None]:
    """Add to an `OutputError` of the `with` block what was written before, and stays.

    Args:
        written: in words, such as "the report is in run-report".
    """
    try:
        yield
    except OutputError as error:
        raise error.but(also=written) from error


def one_line(text: str) -> str:
    """Replace line breaks and control characters, which names in untrusted files may contain, by spaces.

    Example:
        >>> one_line("two\\nlines")
        'two lines'
    """
    return "".join(char if char.isprintable() else " " for char in text)
