"""Define the errors that ntkspec raises: each says what was expected, what was found, and often a remedy."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Self

# Whoever raises an error marks the options in its texts by brackets, as ⟦--memory⟧ and ⟦--method=gram⟧. Where
# scripts call one by another name, this follows: ⟦-o|folder⟧, ⟦-o|folder=report⟧. Nothing else is changed.
_OPTION = re.compile(r"⟦(--?[a-z][a-z-]*)(?:\|([^=⟧]+))?(?:=([^⟧]*))?⟧")
_UNQUOTED = re.compile(r"True|-?\d[\d.]*(?:e[-+]?\d+)?")


class NtkspecError(Exception):
    """The base of all errors that a user can correct; commands print them on stderr and exit with code 2.

    The message and the attributes name arguments as scripts give them; `at_command_line` names the options.

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
        self.where = _OPTION.sub(_argument, where)
        self.expected = _OPTION.sub(_argument, expected)
        self.got = got  # this is what came, and names nothing
        self.remedy = _OPTION.sub(_argument, remedy)
        super().__init__(where, expected, got, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """Return a function and its arguments with which pickle rebuilds the error in another process."""
        where, expected, got, remedy = self.args
        return partial(type(self), expected=expected, got=got, remedy=remedy), (where,)

    def __str__(self) -> str:
        return _message(self.where, self.expected, self.got, self.remedy)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def but(self, *, inside: str = "", remedy: str | None = None, also: str = "") -> Self:
        """Return an error of the same type that names another place or another remedy; options stay marked.

        Args:
            inside: what the place lies in, such as a file; "": it stays as it is.
            remedy: in place of this error's; None: it stays.
            also: what to add to the remedy.

        Example:
            >>> error = UsageError("k", expected="1", got="0", remedy="use ⟦--method=gram⟧")
            >>> print(error.but(inside="a.h5", also="b.h5 is written"))
            a.h5: k: expected 1, got 0; use method='gram'; b.h5 is written
        """
        where, expected, got, usual = self.args
        where = f"{inside}: {where}" if inside else where
        remedy = "; ".join(filter(None, (usual if remedy is None else remedy, also)))
        return type(self)(where, expected=expected, got=got, remedy=remedy)

    @property
    def fault(self) -> str:
        """Return the message without its remedy, for reports, which scripts and people at commands read."""
        return _message(self.where, self.expected, self.got, "")

    def at_command_line(self) -> str:
        """Return the message for whoever gave options.

        Example:
            >>> error = UsageError("⟦-k⟧", expected="1", got="0", remedy="use ⟦--method=gram⟧")
            >>> print(error.at_command_line())
            -k: expected 1, got 0; use --method gram
            >>> print(error)
            k: expected 1, got 0; use method='gram'
        """
        where, expected, got, remedy = self.args
        where, expected, remedy = (_OPTION.sub(_typed, text) for text in (where, expected, remedy))
        return _message(where, expected, got, remedy)


def _message(where: str, expected: str, got: str, remedy: str) -> str:
    fault = f"{where}: expected {expected}, got {got}"
    return f"{fault}; {remedy}" if remedy else fault


def _argument(marked: re.Match[str]) -> str:
    """Return an option as the argument of a script: memory, method='gram', base=16 or overwrite=True."""
    option, name, value = marked.groups()
    name = name or option.lstrip("-").replace("-", "_")
    if value is None:
        return name
    return f"{name}={value if _UNQUOTED.fullmatch(value) else repr(value)}"


def _typed(marked: re.Match[str]) -> str:
    """Return an option as it is typed: --memory, --method gram, --base 16 or --overwrite."""
    option, _, value = marked.groups()
    return option if value in (None, "True") else f"{option} {value}"


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


def named_path(path: str | os.PathLike[str], of: str = "a file") -> Path:
    """Return a path that a caller gave; raise `UsageError` for what is none, an empty one, and one with NUL.

    Args:
        path: what came.
        of: what it should be the path of, for the message.

    Example:
        >>> named_path("runs/a.h5").name
        'a.h5'
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else b""
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError("path", expected=f"the path of {of}", got=shown(path))
    return Path(text)


def require_one_of(where: str, value: object, choices: Collection[str]) -> None:
    """Raise `UsageError` unless a value is one of these names; see `not_one_of`."""
    if not isinstance(value, str) or value not in choices:
        raise not_one_of(where, value, choices)


def not_one_of(where: str, value: object, choices: Iterable[str]) -> UsageError:
    """Return the error for an unknown name; it suggests the most similar known name, whatever its case.

    Args:
        where: what the name is for, such as "backend".
        value: what came instead of a name.
        choices: all names.

    Example:
        >>> print(not_one_of("backend", "GPUs", ("auto", "cpu", "gpu")))
        backend: expected one of auto, cpu, gpu, got 'GPUs'; did you mean gpu?
    """
    names = [*choices]
    plain = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(value.casefold(), plain, n=1) if isinstance(value, str) else []
    remedy = f"did you mean {plain[near[0]]}?" if near else ""
    return UsageError(where, expected=f"one of {', '.join(names)}", got=shown(value), remedy=remedy)


class RunFileError(NtkspecError):
    """A run file that does not obey the contract in docs/run-format.md."""


class KernelFileError(RunFileError):
    """A file of kernels, as `ntkspec.write_kernels` makes them, where a run file should be."""


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
