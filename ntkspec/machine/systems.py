"""Refuse operating systems on which ntkspec does not work."""

from __future__ import annotations

import sys
from types import TracebackType

from ntkspec.errors import UnsupportedSystemError

BAD_USAGE = 2  # the exit code, as of commands


def require_unix(system: str = sys.platform) -> None:
    """Raise `UnsupportedSystemError` on Windows, and let it end a program in one line if nothing catches it.

    The package cannot be imported there, so that no command of it could print this line.

    Args:
        system: as `sys.platform` names it.
    """
    if system != "win32":
        return
    refusal = UnsupportedSystemError(
        "ntkspec", expected="Linux or macOS", got="Windows", remedy="run it in WSL, the Linux inside Windows"
    )
    usual = sys.excepthook

    def in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if error is not refusal:
            usual(kind, error, trace)
            return
        print(f"error: {error}", file=sys.stderr)
        if not hasattr(sys, "ps1"):  # an interactive interpreter goes on
            raise SystemExit(BAD_USAGE)

    sys.excepthook = in_one_line
    raise refusal
