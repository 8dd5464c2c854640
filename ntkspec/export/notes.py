"""Collect warnings, each of which is given once."""

from __future__ import annotations


class Notes:
    """Lines to be given as warnings, without those that were there before.

    Example:
        >>> notes = Notes()
        >>> notes.add("a", "", "b", "a")
        >>> notes.take()
        ['a', 'b']
        >>> notes.add("b", "c")
        >>> notes.take()
        ['c']
    """

    def __init__(self) -> None:
        self._new: list[str] = []
        self._known: set[str] = set()

    def add(self, *lines: str) -> None:
        """Add lines, but for empty ones and those that were added before."""
        for line in lines:
            if line and line not in self._known:
                self._known.add(line)
                self._new.append(line)

    def take(self) -> list[str]:
        """Return the lines that were added since the last call."""
        taken, self._new = self._new, []
        return taken
