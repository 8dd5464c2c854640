"""The errors that ntkspec raises on purpose: each says what was expected, what came and what to do."""

from __future__ import annotations

from functools import partial


class NtkspecError(Exception):
    """Base of every error a user can mend. Command lines print it on stderr and exit with code 2.

    Args:
        where: what the message is about: a file, a dataset inside it, an option.
        expected: what should have been there.
        got: what was there instead.
        remedy: what to do about it.
    """

    def __init__(self, where: str, *, expected: str, got: str, remedy: str) -> None:
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(where, expected, got, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """For pickle, by which errors come back from worker processes."""
        return partial(type(self), expected=self.expected, got=self.got, remedy=self.remedy), (self.where,)

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, got {self.got}; {self.remedy}"


def shown(value: object) -> str:
    """Show what was given instead, in one short line."""
    try:
        text = repr(value)
    except Exception:  # Python refuses to print integers of thousands of digits
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 and "\n" not in text else f"{text.splitlines()[0][:77]}..."


class RunFileError(NtkspecError):
    """A run file that does not obey the contract in docs/run-format.md."""


class ReportFileError(NtkspecError):
    """A file that is no report.json, or a damaged one."""


class UsageError(NtkspecError):
    """An argument or a combination of arguments that cannot work."""


class OutputError(NtkspecError):
    """A place that cannot be written, or must not be."""


class MemoryBudgetError(NtkspecError):
    """Work that does not fit the memory budget."""


class BackendError(NtkspecError):
    """A backend that was asked for and cannot run here."""


class ClusterError(NtkspecError):
    """Worker processes that cannot be had, or were lost."""


class ExportError(NtkspecError):
    """A model whose per-sample Jacobian cannot be exported."""


class NotInstalledError(NtkspecError, ModuleNotFoundError):
    """A part of ntkspec that needs an extra which is not installed; an `ImportError`, too."""


class TrainingError(NtkspecError):
    """A training run that failed: bad data or a diverged loss."""
