"""Durations for people."""

from __future__ import annotations


def format_seconds(seconds: float) -> str:
    """Seconds for people: '3 s', '12 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
