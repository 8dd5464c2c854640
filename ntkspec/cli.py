"""What every command line shares: exit codes, one-line errors, and ends that clean up."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ntkspec import sandbox
from ntkspec._version import PRODUCER
from ntkspec.errors import NtkspecError
from ntkspec.streams import LenientStream, lenient_streams

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, BAD_INPUT, UNEXPECTED, INTERRUPTED = 0, 1, 2, 70, 130  # 70: EX_SOFTWARE of sysexits.h
TRACEBACK = "NTKSPEC_TRACEBACK"  # set it to see where an unexpected exception came from


class Terminated(KeyboardInterrupt):
    """SIGTERM: what cleans up after Ctrl-C does so after this, too."""

    number = signal.SIGTERM


class HungUp(KeyboardInterrupt):
    """SIGHUP: the terminal went away."""

    number = signal.SIGHUP


_ENDINGS: dict[int, type[KeyboardInterrupt]] = {signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}
_NO_MEMORY = (os.strerror(errno.ENOMEM), "can't start new thread", "failed to map segment")
_SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


def run_command(command: Callable[[], int]) -> int:
    """Run a command and return its exit code.

    That is the command's own (0 done, 1 a bound or a check does not hold); 2 for bad usage or input, full
    disks and too little memory; 70 for an exception that nobody expected; 128 + n after signal n: Ctrl-C,
    SIGTERM, SIGHUP. Each but the first two comes with one line on stderr, and none with a traceback.
    Characters that stdout cannot show are replaced, and a reader of it that leaves changes nothing.
    """
    with lenient_streams() as stdout:
        try:
            return _exit_code(command) or _lost_words(stdout)
        except SystemExit as stop:  # argparse, after --help or a usage error
            if not stop.code and (code := _lost_words(stdout)):
                raise SystemExit(code) from None
            raise


def _lost_words(stdout: LenientStream) -> int:
    """Say that output had no place, if so; a reader who left is no reason. Returns an exit code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if stdout.lost is None or stdout.lost.errno in (None, errno.EPIPE):
        return DONE
    line_on_stderr(f"error: standard output: {_no_place(stdout.lost)}")
    return BAD_INPUT


def _exit_code(command: Callable[[], int]) -> int:
    """Run a command; every exception but SystemExit becomes one line and an exit code."""
    try:
        with _signals_arrive():
            code = command()
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a stream that is not ours to replace left
        return DONE
    except KeyboardInterrupt as error:
        number = getattr(error, "number", signal.SIGINT)
        line_on_stderr(_SAID[number])
        return 128 + int(number)
    except Exception as error:
        return _exit_code_of(error)


def _exit_code_of(error: Exception) -> int:
    """Say in a line what came, and return the exit code that belongs to it."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0") and not isinstance(error, NtkspecError):
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    words, code = in_words(error)
    line_on_stderr(f"error: {words}")
    return code


def in_words(error: Exception) -> tuple[str, int]:
    """Return what to say of any exception, and the exit code that belongs to it."""
    if isinstance(error, NtkspecError):
        return str(error), BAD_INPUT
    if _out_of_memory(error):
        return (
            "out of memory; lower --memory, use fewer samples, or raise the limit of `ulimit -v`",
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
    """Whether that is the reason, or the reason's reason: libraries say it in several ways."""
    while error is not None:
        said = str(error)
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if any(words in said for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def line_on_stderr(text: str) -> None:
    """Print one line on stderr, if that is there and takes it."""
    if sys.stderr is not None:  # or `print` would take stdout
        with contextlib.suppress(OSError, ValueError):
            print(one_line(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals_arrive() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, unless somebody has other plans for them.

    What comes where a library cannot let exceptions through, as h5py in HDF5, comes once more. Timers and
    alarms stay the caller's.
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
        if signal.getsignal(signal.SIGINT) is _leave:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
        with _lost_interrupts_again():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _lost_interrupts_again() -> Iterator[None]:
    """Send a signal once more, from another thread, whose exception a library printed and forgot."""
    hook, main, senders = sys.unraisablehook, threading.main_thread().ident, list[threading.Timer]()

    def send(number: int) -> None:
        if main is not None and callable(signal.getsignal(number)):  # not to what would kill the process
            signal.pthread_kill(main, number)

    def again(lost: Any) -> None:
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


def begin(*, trials: bool = False) -> None:
    """Prepare the process of a command, in its first lines; never that of who imports its module.

    Args:
        trials: whether the command will try files out; the server for it starts while this process imports.
    """
    quiet_interrupts()
    if trials:
        sandbox.start("ntkspec.store")


def quiet_interrupts() -> None:
    """Choose what happens while a command is still importing, as NumPy and SciPy, for half a second.

    Ctrl-C ends it without a word, and an exception with one line and its exit code.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _leave_with


def _leave(*_: object) -> NoReturn:
    sandbox.stop()
    os._exit(INTERRUPTED)


def _leave_with(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """As `sys.excepthook`, after which Python itself would say 1: a bound does not hold."""
    if not isinstance(error, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    code = _exit_code_of(error)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    sandbox.stop()
    os._exit(code)


class Parser(argparse.ArgumentParser):
    """An argument parser with --version, whose refusals are one line, and which takes no abbreviations."""

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
        self.add_argument("--version", action="version", version=PRODUCER, help="print the version and exit")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with code 2."""
        line_on_stderr(f"error: {message}; see {self.prog} --help")
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


@contextlib.contextmanager
def warnings_as_lines(kind: type[Warning]) -> Iterator[None]:
    """Print warnings of a kind as one line each on stderr; others go their usual way."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, kind):
                warn(str(message))
            else:
                usual(message, category, *rest, **named)

        warnings.showwarning = show
        yield


def warn(text: str) -> None:
    """Print one line on stderr that is no error."""
    print(f"warning: {text}", file=sys.stderr)


def one_line(text: str) -> str:
    """The text without line breaks and control characters: names inside a foreign file may hold anything."""
    return "".join(char if char.isprintable() else " " for char in text)
