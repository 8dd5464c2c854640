"""Tables in Markdown, which analysis/studies lends."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / room) for room in ("benchmarks", "studies")]

from tables import markdown, put

__all__ = ["markdown", "put"]
