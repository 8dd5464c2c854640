"""Write the report of a population in a process of its own, whose memory is given back when it ends.

The pickled arguments of `write_population` come on standard input.
"""

from __future__ import annotations

import pickle
import sys

from ntkspec.commands.cli import DONE, run_command
from ntkspec.population.report import write_population


def main() -> int:
    """Write the report; return the exit code."""
    return run_command(_write)


def _write() -> int:
    write_population(*pickle.load(sys.stdin.buffer))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
