"""Format durations for people."""

from __future__ import annotations


def format_seconds(seconds: float) -> str:
    """Return a duration with its unit, for people: at least a second.

    Example:
        >>> format_seconds(0.2), format_seconds(720), format_seconds(9000)
        ('1 s', '12 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
