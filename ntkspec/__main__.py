"""The console script `ntkspec`: the commands of `python -m ntkspec.<command>` as subcommands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ntkspec._version import PRODUCER
from ntkspec.commands.cli import BAD_INPUT, DONE, begin, run_command
from ntkspec.errors import not_one_of

COMMANDS = {
    "train": "train one network on a picture or a mesh, and write its run file (needs PyTorch)",
    "export": "write the run file of a model from its checkpoints (needs PyTorch)",
    "analyze": "spectra, ablations and bounds of run files, as a report",
    "batch": "analyse many run files, here or on a cluster, and report on all of them",
    "validate": "check run files against docs/run-format.md",
    "completion": "print the script by which a shell completes all this",
}

MODULES = {name: f"ntkspec.{name}" for name in COMMANDS} | {"export": "ntkspec.commands.export_checkpoints"}
TRIALS = ("analyze", "validate")  # which read run files that others wrote


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; return its exit code.

    Args:
        argv: the words of the command line; None for those of this process, which then is the command's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        begin(trials=words[:1] != [] and words[0] in TRIALS)
        if words and words[0] in COMMANDS:  # here, where Ctrl-C ends its imports without a word
            importlib.import_module(MODULES[words[0]])
    return run_command(lambda: _run(words))


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(PRODUCER)
        return DONE
    if not words or words[0] in ("-h", "--help"):
        print("usage: ntkspec COMMAND ...   (ntkspec COMMAND --help explains each)\n")
        print("\n".join(f"  {name:11} {text}" for name, text in COMMANDS.items()))
        return DONE if words else BAD_INPUT
    if words[0] not in COMMANDS:
        refusal = not_one_of("command", words[0], COMMANDS)
        print(f"error: {refusal}; see ntkspec --help", file=sys.stderr)
        return BAD_INPUT
    command = importlib.import_module(MODULES[words[0]])
    code: int = command.main(words[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
