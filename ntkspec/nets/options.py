"""An option of a training run: its place in flags, TOML and JSON, and its possible values."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ntkspec.errors import UsageError, not_one_of, shown

LEAST_LIKENESS = 0.75  # of a name to a mistyped word, in [0, 1]; "side" and "size" are that much alike
SYNONYMS = {  # what other programs call our options
    **dict.fromkeys(("steps", "max-steps", "epochs", "iters", "max-iters", "n-iters"), "iterations"),
    **dict.fromkeys(("learning-rate", "rate"), "lr"),
    "batch-size": "batch",
    "layers": "depth",
    "out": "output",
    "force": "overwrite",
    "name": "label",
}


@dataclass(frozen=True)
class Option:
    """An option: its names, its section and its possible values."""

    name: str  # field of TrainConfig
    kind: type  # int, float, str, bool or tuple (of steps)
    help: str
    section: str = ""  # of TOML and JSON; "" is the top level
    key: str = ""  # inside the section; default: the name
    choices: tuple[str, ...] = ()
    least: float | None = None  # smallest value
    above: float | None = None  # bound that the value must exceed
    most: float | None = None  # largest value
    optional: bool = False  # None is a value
    needs: tuple[str, str] | None = None  # (other option, its value) without which this one does nothing
    hidden: bool = False  # derived from the data: stands in JSON, is neither a flag nor a TOML key

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or self.name)

    @property
    def flag(self) -> str:
        """Return the option's name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """Describe the possible values of an option without choices."""
        if self.kind is tuple:
            return "a list of steps, whole numbers from 0"
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[self.kind]
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("of at least", self.least), ("above", self.above), ("of at most", self.most))
            if bound is not None
        ]
        return " ".join([words, " and ".join(bounds)]).strip()

    def parse(self, text: str) -> Any:
        """Convert a word of the command line to a value; for a list, to one of its steps.

        Raises:
            UsageError: it is not among the values that make sense.
        """
        try:
            value = int(text) if self.kind is tuple else self.kind(text)
        except ValueError:
            raise self._refusal(text) from None
        if self.kind is not tuple:
            return self.check(value)
        if value < 0:
            raise self._refusal(text)
        return value

    def check(self, value: Any, where: str | None = None) -> Any:
        """Return `value` in the option's type; `where` names its place, by default the flag.

        Raises:
            UsageError: it is not among the values that make sense.
        """
        checked = self._convert(value)
        if checked is None and not (value is None and self.optional):
            raise self._refusal(value, where)
        return checked

    def _refusal(self, value: object, where: str | None = None) -> UsageError:
        place = where or f"option ⟦{self.flag}⟧"
        if self.choices:
            return not_one_of(place, value, self.choices)
        return UsageError(place, expected=self.expected, got=shown(value))

    def _convert(self, value: Any) -> Any:
        """Convert `value` to the option's type; None if it does not fit."""
        if self.kind is tuple:
            steps = isinstance(value, list | tuple) and all(type(step) is int and step >= 0 for step in value)
            return tuple(sorted(set(value))) if steps else None
        if self.kind is float and type(value) is int:
            value = float(value) if abs(value) < 2**53 else math.inf
        if type(value) is not self.kind or (self.choices and value not in self.choices):
            return None
        if isinstance(value, bool | str):
            return value
        number: Any = value
        inside = (
            (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and math.isfinite(number)  # last, since it raises at a whole number beyond all floats
        )
        return number if inside else None


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Find the name that a mistyped word, or another program's name, stands for; None if none is close.

    Case does not count, nor do the dashes before a flag, nor whether those inside are underscores.

    >>> nearest("--MPE-fin", ["mpe-coarse", "mpe-fine"]), nearest("--steps", ["--threads", "--iterations"])
    ('mpe-fine', '--iterations')
    """

    def bare(name: str) -> str:
        return name.lstrip("-").casefold().replace("_", "-")

    plain, meant = {bare(name): name for name in names}, bare(word)
    for same in (meant, SYNONYMS.get(meant, meant)):
        close = difflib.get_close_matches(same, plain, n=1, cutoff=LEAST_LIKENESS)
        if close:
            return plain[close[0]]
    return None
