"""What the other rooms of analysis/ lend: tables in Markdown, and the statement of the machine."""

import functools
import sys
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / room) for room in ("benchmarks", "studies")]

from machine import cores, environment
from tables import markdown, put

__all__ = ["made_by", "markdown", "put"]


@functools.cache
def made_by() -> dict[str, Any]:
    """Machine, versions and commit, as the benchmarks state them, but for time and load."""
    stated = environment(cores())
    return {key: value for key, value in stated.items() if key not in ("created", "threads", "load_average")}
