"""Define the errors that ntkspec raises: each says what was expected, what was found, and often a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial


class NtkspecError(Exception):
    """The base of all errors that a user can correct; commands print them on stderr and exit with code 2.

    Args:
        where: what the message is about: a file, a dataset inside it, an option.
        expected: what should have been there.
        got: what was there instead.
        remedy: what to do about it, where that does not follow from the rest.

    Example:
        >>> import ntkspec
        >>> try:
        ...     ntkspec.open_run("nowhere.h5")
        ... except NtkspecError as error:
        ...     print(error)
        nowhere.h5: expected a run file, got no such file; check the path
    """

    def __init__(self, where: str, *, expected: str, got: str, remedy: str = "") -> None:
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(where, expected, got, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """Return a function and its arguments with which pickle rebuilds the error in another process."""
        return partial(type(self), expected=self.expected, got=self.got, remedy=self.remedy), (self.where,)

    def __str__(self) -> str:
        fault = f"{self.where}: expected {self.expected}, got {self.got}"
        return f"{fault}; {self.remedy}" if self.remedy else fault


def shown(value: object) -> str:
    """Return a value in one short line, for messages.

    Example:
        >>> shown("gpus"), shown(10**5000)
        ("'gpus'", 'a value of type int')
    """
    try:
        text = repr(value)
    except Exception:  # Python refuses to print integers of thousands of digits
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 and "\n" not in text else f"{text.splitlines()[0][:77]}..."


def not_one_of(where: str, value: object, choices: Iterable[str]) -> UsageError:
    """Return the error for an unknown name; it suggests the most similar known name.

    Args:
        where: what the name is for, such as "backend".
        value: what came instead of a name.
        choices: all names.

    Example:
        >>> print(not_one_of("backend", "gpus", ("auto", "cpu", "gpu")))
        backend: expected one of auto, cpu, gpu, got 'gpus'; did you mean gpu?
    """
    names = [*choices]
    near = difflib.get_close_matches(value, names, n=1) if isinstance(value, str) else []
    remedy = f"did you mean {near[0]}?" if near else ""
    return UsageError(where, expected=f"one of {', '.join(names)}", got=shown(value), remedy=remedy)


class RunFileError(NtkspecError):
    """A run file that does not obey the contract in docs/run-format.md."""


class ReportFileError(NtkspecError):
    """A file that is not a report.json, or a damaged one."""


class UsageError(NtkspecError):
    """An argument or a combination of arguments that cannot work."""


class OutputError(NtkspecError):
    """A file or folder that cannot be written, or must not be."""


class MemoryBudgetError(NtkspecError):
    """Work that does not fit the memory budget."""


class BackendError(NtkspecError):
    """A backend that was requested but cannot run on this machine."""


class ClusterError(NtkspecError):
    """Worker processes that cannot be started or reached, or that were lost."""


class ExportError(NtkspecError):
    """A model whose per-sample Jacobian cannot be exported."""


class NotInstalledError(NtkspecError, ModuleNotFoundError):
    """A part of ntkspec whose extra is not installed; it is an `ImportError`, too."""


class UnsupportedSystemError(NtkspecError, ImportError):
    """An operating system on which ntkspec does not work."""


class TrainingError(NtkspecError):
    """A training run that failed: bad data or a diverged loss."""
