"""Read values from untrusted JSON; each error says in one line what is wrong, and where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from ntkspec._io import first_line
from ntkspec.errors import ReportFileError, shown

Item = TypeVar("Item")
Default = TypeVar("Default")
Choice = TypeVar("Choice")

LARGEST = 2**64 - 1  # of integers, which run files hold in 64 bits


@dataclass(frozen=True)
class Node:
    """A value in a JSON document, and its place in it.

    Every method raises `ReportFileError` if the value does not have the type that the method returns.
    """

    value: Any
    file: str
    path: str = ""  # the way to the value, such as "runs[0].label"

    @property
    def where(self) -> str:
        """Return the file and the path to the value, for messages."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def refuse(self, expected: str, got: str | None = None) -> NoReturn:
        """Raise a `ReportFileError` that says what was expected in place of this value."""
        raise ReportFileError(
            self.where,
            expected=expected,
            got=shown(self.value) if got is None else got,
            remedy="name a report.json that ntkspec wrote, or analyse the run files again",
        )

    def __getitem__(self, name: str) -> Node:
        """Return the member of that name; raise `ReportFileError` if it is missing."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        if name not in self.value:
            self.refuse(f"a member {name!r}", "none")
        return Node(self.value[name], self.file, f"{self.path}.{name}" if self.path else name)

    def optional(self, name: str, read: Callable[[Node], Item], missing: Default) -> Item | Default:
        """Return what `read` makes of the member of that name, or `missing` where it is absent or null."""
        if not isinstance(self.value, dict) or self.value.get(name) is None:
            return missing
        return read(self[name])

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the members of an object."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        for name in self.value:
            yield name, self[name]

    def each(self, read: Callable[[Node], Item]) -> tuple[Item, ...]:
        """Apply `read` to each item of a list, and return the results."""
        if not isinstance(self.value, list):
            self.refuse("a list")
        return tuple(read(Node(item, self.file, f"{self.path}[{i}]")) for i, item in enumerate(self.value))

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            self.refuse("a string")
        return str(self.value)

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.refuse("true or false")
        return bool(self.value)

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        """Return one of these strings."""
        if not isinstance(self.value, str) or self.value not in choices:
            self.refuse(f"one of {', '.join(map(repr, choices))}")
        return choices[choices.index(self.value)]

    def integer(self, least: int = 0) -> int:
        """Return an integer from `least` on."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            self.refuse(f"an integer >= {least}")
        return int(value)

    def number(self, null: float | None = None, least: float = -math.inf) -> float:
        """Return a finite number, or `null` for null where that is given.

        Args:
            null: what null stands for.
            least: what the number is at least.
        """
        if self.value is None and null is not None:
            return null
        value = _finite(self.value)
        if value is None or value < least:
            self.refuse("a finite number" if least == -math.inf else f"a finite number >= {least:g}")
        return value

    def numbers(
        self, size: int | None = None, null: float | None = None, least: float = -math.inf
    ) -> NDArray[np.float64]:
        """Return a list of numbers as an array (m,).

        Args:
            size: m, if that is known.
            null, least: as for `number`.
        """
        values = self._all_good(null, least)
        if values is None:  # one by one, to say which is not
            values = np.array(self.each(lambda node: node.number(null, least)), dtype=np.float64)
        if size is not None and len(values) != size:
            self.refuse(f"{size} numbers", str(len(values)))
        return values

    def _all_good(self, null: float | None, least: float) -> NDArray[np.float64] | None:
        """Return the result of `numbers` if all items are valid, else None; fast for a million numbers."""
        kinds = {float, int} if null is None else {float, int, type(None)}
        if not isinstance(self.value, list) or not kinds.issuperset(map(type, self.value)):
            return None
        try:
            values = np.array([math.nan if value is None else value for value in self.value], np.float64)
        except OverflowError:  # an integer of hundreds of digits
            return None
        absent = np.array([value is None for value in self.value], dtype=np.bool_)
        present = values[~absent]
        if not (np.isfinite(present).all() and (present >= least).all()):
            return None
        values[absent] = null if null is not None else math.nan
        return values


def parse(text: bytes, file: str) -> Node:
    """Read JSON strictly: in UTF-8, without NaN and Infinity.

    Raises:
        ReportFileError: the text is not such JSON.

    Example:
        >>> parse(b'{"version": 1}', "report.json")["version"].integer()
        1
    """
    root = Node(None, file)
    try:
        return Node(json.loads(text.decode("utf-8"), parse_constant=_no_constant), file)
    except (ValueError, RecursionError) as error:
        reason = first_line(error) if isinstance(error, ValueError) else "nested too deeply"
        root.refuse("JSON", f"something else ({reason[:80]})")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ReportFileError: there is no file, or it cannot be read.
    """
    node = Node(None, str(path))
    try:
        if path.is_dir():
            node.refuse("a file report.json", "a folder")
        if path.exists() and not path.is_file():
            node.refuse("a file report.json", "a device or a pipe")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        node.refuse("a file report.json", getattr(error, "strerror", None) or str(error))


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
