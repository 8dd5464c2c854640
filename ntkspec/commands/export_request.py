"""Read and check the options of `python -m ntkspec.export`, without PyTorch."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ntkspec.commands.cli import Parser, positive, whole
from ntkspec.errors import UsageError
from ntkspec.nets.devices import DEVICES, check_device
from ntkspec.report.names import apart, numbered
from ntkspec.store.new_file import check_new_file

EXAMPLE = """\
examples:
  python -m ntkspec.export --model field:make --checkpoint end.pt --inputs x.npy -o run.h5
  python -m ntkspec.export --model field:make --checkpoint *.pt --inputs x.npy -o run.h5 --roles table=grid
  python -m ntkspec.export --checkpoint camera.checkpoints/end.pt --inputs x.npy -o run.h5

--model names what makes the model, as package.module:name. It is looked for in the current directory, too,
and called without arguments or with those of --model-args. The code of its module is run; of a checkpoint
nothing is, it is read as weights alone.

A checkpoint is what model.state_dict() returns, or holds that under state_dict, model_state_dict, model or
state. Its tensors hold the kind of numbers that the model's do: floating-point, complex or whole. Its step is
what it says under step, global_step, iteration or epoch, the first of them that it has, else the digits at
the end of its name, else its place among the checkpoints, from 0; --steps gives other ones. Those that
ntkspec.train wrote need no --model.
"""


@dataclass(frozen=True)
class Source:
    """A checkpoint and the label of its snapshot."""

    path: Path
    label: str
    place: int  # among the checkpoints, from 0
    step: int | None  # as it was given; None: what the checkpoint says


@dataclass(frozen=True)
class Request:
    """The values of the command line's options."""

    model: str | None  # package.module:factory; None: the checkpoints say it themselves
    arguments: Sequence[Any] | Mapping[str, Any]  # of the factory
    sources: tuple[Source, ...]
    inputs: Path
    targets: Path | None
    output: Path
    columns: tuple[int, ...] | None  # of the model's outputs; None: all
    roles: Mapping[str, str]
    device: str  # auto, cpu, cuda or cuda:<number>
    precision: Literal["float64", "float32"]
    memory: float | None  # GiB
    label: str | None
    overwrite: bool
    quiet: bool

    def check_place(self) -> None:
        """Refuse, before any work, a run file that cannot or must not be written.

        Raises:
            OutputError: a file of that name exists, or is one that is read.
        """
        reads = [*(source.path for source in self.sources), self.inputs, self.targets]
        check_new_file(self.output, overwrite=self.overwrite, inputs=filter(None, reads))

    def made_from(self) -> dict[str, object]:
        """Return the options that the run file keeps, as a mapping that JSON can hold."""
        checkpoints = [str(source.path) for source in self.sources]
        outputs = None if self.columns is None else list(self.columns)
        made = {"model": self.model, "model_args": self.arguments or None, "outputs": outputs}
        return {
            **{name: value for name, value in made.items() if value is not None},
            "checkpoints": checkpoints,
        }


def read_request(argv: Sequence[str] | None) -> Request:
    """Read the words of the command line.

    Raises:
        UsageError: a value that cannot work, or options that do not fit together.
        SystemExit: an option cannot be parsed; the error was printed in one line.
    """
    given = vars(make_parser().parse_args(argv))
    if given["arguments"] != () and given["model"] is None:
        raise UsageError(
            "⟦--model-args⟧",
            expected="⟦--model⟧ beside it",
            got="none",
            remedy="name the factory by ⟦--model⟧",
        )
    sources = _sources(given.pop("checkpoint"), given.pop("steps"))
    return Request(**given | {"sources": sources, "roles": _roles(given["roles"])})


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.export",
        description="Write the run file of a model from its checkpoints: one snapshot of each.",
        epilog=EXAMPLE,
    )
    _add_files(parser)
    _add_settings(parser)
    return parser


def _add_files(parser: Parser) -> None:
    """Add the options that name the model and the files."""
    add = parser.add_argument
    add("--model", metavar="MODULE:NAME", help="what makes the model, as package.module:factory")
    add(
        "--model-args",
        dest="arguments",
        type=_json,
        default=(),
        metavar="JSON",
        help="its arguments, as an object or a list",
    )
    add(
        "--checkpoint",
        action="extend",
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoints, of torch.save; may be repeated",
    )
    add(
        "--steps",
        type=whole,
        action="extend",
        nargs="+",
        metavar="N",
        help="training steps of the checkpoints, one each and in their order (default: what they say)",
    )
    add(
        "--inputs",
        type=Path,
        required=True,
        metavar="X.npy",
        help="coordinates (n, d); .npz of one array, too",
    )
    add(
        "--targets",
        type=Path,
        metavar="Y.npy",
        help="what was to be learnt there: a column for each output that is kept",
    )
    add("-o", "--output", type=Path, required=True, metavar="RUN.h5", help="run file to write")


def _add_settings(parser: Parser) -> None:
    """Add the options that say what is exported, and how."""
    add = parser.add_argument
    add(
        "--outputs",
        dest="columns",
        type=_columns,
        metavar="I,J,...",
        help="which of the model's outputs to keep, numbered from 0 (default: all); analyze has an option of "
        "that name, too, which says how those that were kept make one kernel",
    )
    add(
        "--roles",
        action="extend",
        nargs="+",
        default=[],
        metavar="PREFIX=ROLE",
        help="role of the parameters whose names begin so, as encoding=grid; may be repeated",
    )
    add(
        "--device",
        type=check_device,
        default="auto",
        metavar=DEVICES,
        help="where the model is evaluated (default auto: CUDA if there is any)",
    )
    add("--precision", default="float64", choices=("float64", "float32"), help="of its evaluation")
    add("--memory", type=positive(float), metavar="GIB", help="what a chunk of samples may take")
    add(
        "--label",
        metavar="TEXT",
        help="name of the run in reports (default: what ntkspec.train called it, else that of the file)",
    )
    add("--overwrite", action="store_true", help="replace an older run file")
    add("-q", "--quiet", action="store_true", help="print nothing but warnings and errors")


def _json(text: str) -> dict[str, object] | list[object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict | list):
        raise argparse.ArgumentTypeError(f"expected a JSON object or list, got {text!r}")
    return value


def _columns(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(re.fullmatch(r"[0-9]{1,9}", word.strip()) for word in words):
        raise argparse.ArgumentTypeError(f"expected numbers from 0 with commas between, got {text!r}")
    columns = tuple(int(word) for word in words)
    if len(set(columns)) < len(columns):
        raise argparse.ArgumentTypeError(f"expected each output once, got {text!r}")
    return columns


def _roles(words: Sequence[str]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for word in words:
        prefix, _, role = word.partition("=")
        if not prefix.strip() or not role.strip():
            raise UsageError("⟦--roles⟧", expected="PREFIX=ROLE", got=repr(word), remedy="e.g. encoding=grid")
        if roles.setdefault(prefix, role) != role:
            got = f"{roles[prefix]} and {role}"
            raise UsageError("⟦--roles⟧", expected=f"one role for {prefix}", got=got)
    return roles


def _sources(paths: Sequence[Path], steps: Sequence[int] | None) -> tuple[Source, ...]:
    """Name checkpoints after their files; where several have one name, after their folders, too."""
    places = [Path(os.path.abspath(path)) for path in paths]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UsageError("⟦--checkpoint⟧", expected="each checkpoint once", got=str(paths[i]))
    if steps is not None and len(steps) != len(paths):
        raise UsageError("⟦--steps⟧", expected=f"{len(paths)}, one for each checkpoint", got=str(len(steps)))

    def longer(i: int) -> Iterator[str]:
        parts = (*places[i].parent.parts[1:], places[i].stem)
        longer_ones = ("/".join(parts[-length:]) for length in range(2, len(parts) + 1))
        return itertools.chain(longer_ones, numbered(places[i].stem))

    labels = apart([place.stem for place in places], longer)
    given: Sequence[int | None] = [None] * len(paths) if steps is None else steps
    found = zip(paths, labels, range(len(paths)), given, strict=True)
    return tuple(Source(*of_one) for of_one in found)
