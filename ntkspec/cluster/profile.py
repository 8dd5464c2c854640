"""Read a profile, a TOML file that states the resources of each worker: GPUs, cores, memory and time."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ntkspec._io import first_line
from ntkspec.errors import UsageError, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SHIPPED = ("cpu", "gpu")

_WALLTIME = re.compile(r"([0-9]+-)?[0-9]{1,2}:[0-9]{2}:[0-9]{2}")
Record = TypeVar("Record", bound="DataclassInstance")


@dataclass(frozen=True)
class SlurmJob:
    """The resources that a job of SLURM asks for; each job runs one worker."""

    cpus: int  # threads of the worker
    memory_gib: float
    walltime: str  # such as "04:00:00"
    partition: str = ""  # "": the site's default
    account: str = ""
    directives: tuple[str, ...] = ()  # further options of sbatch
    prologue: tuple[str, ...] = ()  # lines of shell before the worker starts
    interface: str = ""  # network between the nodes; "": the default route's
    logs: str = "slurm-logs"  # folder for what jobs print


@dataclass(frozen=True)
class Profile:
    """The resources of a worker. Workers on this machine share its cores and its memory equally."""

    gpus: int  # devices that it sees: 0 or 1
    slurm: SlurmJob


def read_profile(name: str) -> Profile:
    """Read a profile: "cpu" or "gpu", which the package contains, or a TOML file like these.

    Args:
        name: one of `SHIPPED`, or the path of a file.

    Raises:
        UsageError: there is no such file, or it is not a valid profile.

    Example:
        >>> read_profile("gpu").gpus
        1
    """
    if name in SHIPPED:
        text = files("ntkspec.cluster").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
    else:
        text = _text(name)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and lists beyond all bounds
        _refuse(name, "TOML", first_line(error))
    profile = _record(name, Profile, content)
    if profile.gpus > 1:
        _refuse(f"{name}: gpus", "0 or 1", str(profile.gpus))
    if not profile.slurm.cpus:
        _refuse(f"{name}: slurm: cpus", "a whole number >= 1", "0")
    if not _WALLTIME.fullmatch(profile.slurm.walltime):
        _refuse(f"{name}: slurm: walltime", "hours, minutes, seconds: 04:00:00", profile.slurm.walltime)
    return profile


def _text(name: str) -> str:
    """Return the text of the file at the path `name`; raise `UsageError` if it cannot be read."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text in UTF-8"
        _refuse("⟦--profile⟧", f"{', '.join(SHIPPED)} or a TOML file", f"{name!r}, {reason}")


def _record(where: str, kind: type[Record], content: object) -> Record:
    """Return a dataclass with the values of a TOML table.

    Raise `UsageError` if a key is not a field, or if a field without a default has no key.
    """
    if not isinstance(content, dict):
        _refuse(where, "a table", shown(content))
    by_name = {field.name: field for field in fields(kind)}
    strange = sorted(content.keys() - by_name.keys())
    if strange:
        _refuse(where, f"keys among {', '.join(by_name)}", repr(strange[0]))
    missing = [name for name, field in by_name.items() if field.default is MISSING and name not in content]
    if missing:
        _refuse(where, f"a key {missing[0]!r}", "none")
    return kind(
        **{name: _READERS[str(by_name[name].type)](f"{where}: {name}", content[name]) for name in content}
    )


def _whole(where: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        _refuse(where, "a whole number", shown(value))
    return value


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        _refuse(where, "a positive number", shown(value))
    return float(value)


def _words(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        _refuse(where, "a string of one line", shown(value))
    return value


def _lines(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        _refuse(where, "a list of strings", shown(value))
    return tuple(_words(where, line) for line in value)


_READERS: Mapping[str, Callable[[str, object], Any]] = {  # by the type of a field
    "int": _whole,
    "float": _number,
    "str": _words,
    "tuple[str, ...]": _lines,
    "SlurmJob": lambda where, value: _record(where, SlurmJob, value),
}


def _refuse(where: str, expected: str, got: str) -> NoReturn:
    raise UsageError(where, expected=expected, got=got, remedy="see docs/cluster.md for a profile")
