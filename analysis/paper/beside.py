"""What the other rooms of analysis/ lend: tables in Markdown, and the statement of the machine."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / room) for room in ("benchmarks", "studies")]

from machine import cores, environment
from tables import markdown, put

__all__ = ["cores", "environment", "markdown", "put"]
