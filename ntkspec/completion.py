"""python -m ntkspec.completion: print the script by which a shell completes commands and their options."""

from __future__ import annotations

if __name__ == "__main__":  # before the commands are imported
    from ntkspec.commands.cli import begin

    begin()

import argparse
import importlib
import sys
from collections.abc import Sequence

from ntkspec.__main__ import COMMANDS, MODULES
from ntkspec.commands.cli import DONE, Parser, run_command
from ntkspec.extras import needs_completion

SHELLS = ("bash", "zsh", "tcsh", "fish")
EXAMPLE = """\
examples:
  python -m ntkspec.completion bash > ~/.local/share/bash-completion/completions/ntkspec
  python -m ntkspec.completion zsh > ~/.zfunc/_ntkspec    (with ~/.zfunc in fpath before compinit)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: _print(make_parser().parse_args(argv).shell))


def _print(shell: str) -> int:
    with needs_completion("completion"):
        import shtab
    whole = argparse.ArgumentParser(prog="ntkspec", description="Spectra of neural tangent kernels.")
    whole.add_argument("--version", action="store_true", help="print the version and exit")
    commands = whole.add_subparsers(parser_class=argparse.ArgumentParser)
    for name, text in COMMANDS.items():
        parser: argparse.ArgumentParser = importlib.import_module(MODULES[name]).make_parser()
        for action in parser._actions:  # which shtab reads, too
            if action.choices is None and action.nargs != 0:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own mark
        commands.add_parser(name, parents=[parser], add_help=False, help=text)
    print(shtab.complete(whole, shell))
    return DONE


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.completion",
        description="Print the script by which a shell completes the commands of `ntkspec` and their\n"
        "options, and files where these take any. It costs the commands nothing; renew it after an update.",
        epilog=EXAMPLE,
    )
    parser.add_argument("shell", choices=SHELLS, help="whose script")
    return parser


if __name__ == "__main__":
    sys.exit(main())
