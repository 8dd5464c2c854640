"""A message names an argument as whoever gave it did: by its name in a script, as an option in a command."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import looks
import needs
import pytest
import runs
from hypothesis import example, given
from hypothesis import strategies as st
from named import sources

import ntkspec
from ntkspec.__main__ import MODULES
from ntkspec.analyze import main
from ntkspec.cluster.workers import Cluster
from ntkspec.errors import NtkspecError, OutputError, UsageError
from ntkspec.jacobian import check_outputs
from ntkspec.nets.config import TrainConfig
from ntkspec.report.compare import find_baseline
from ntkspec.report.places import Places
from ntkspec.report.write import FOLDER
from ntkspec.sandbox import client

PIECES = st.text(st.characters(exclude_characters="⟦⟧")) | st.sampled_from(
    ["--k=3", "-o", "--overwrite=True", " "]
)
UNMARKED = st.lists(PIECES, max_size=6).map("".join)
MARKED, OPTION = re.compile("⟦[^⟧]*⟧"), re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
# Words that commands print, and none of them in an error that a script can get.
PRINTED = (
    "python -m ntkspec",
    "out of memory; lower --memory",
    "--details",
    "--alignment never leaves it out",  # what reports of 0.2.0 say
    "analyze --everywhere draws",
    " --everywhere x",
    "--config",
)


@cache
def ours() -> frozenset[str]:
    """Return the options of all commands that are somebody's arguments, and the words of `_as_text`."""
    parsers = (importlib.import_module(module).make_parser() for module in MODULES.values())
    options = {option for parser in parsers for option in parser._option_string_actions}
    return frozenset(options - {"-h", "--help", "--version"} | {"--flag", "--x"})


def all_unmarked() -> Iterator[tuple[str, str]]:
    """Yield what is wrong in texts of the package, with the module of each: see `unmarked_in`."""
    for name, source in sources().items():
        if name == "ntkspec.errors":  # which says what a mark is
            continue
        yield from ((name, option) for option in unmarked_in(source.tree))


def unmarked_in(node: ast.AST) -> Iterator[str]:
    """Yield the options of ours that have no brackets below a node, and brackets about anything else.

    Docstrings are left out, and functions that define a command's options.
    """
    match node:
        case ast.Expr(ast.Constant()):
            return
        case ast.FunctionDef() if any(getattr(each, "attr", "") == "add_argument" for each in ast.walk(node)):
            return
        case ast.JoinedStr():
            yield from _unmarked_words("".join(map(_as_text, node.values)))
            children = [each.value for each in node.values if isinstance(each, ast.FormattedValue)]
        case ast.Constant(str(text)):
            yield from _unmarked_words(text)
            children = []
        case _:
            children = [*ast.iter_child_nodes(node)]
    for child in children:
        yield from unmarked_in(child)


def _as_text(part: ast.expr) -> str:
    """Return a part of an f-string, "x" for what is put in and "--flag" for the option of an `Option`."""
    match part:
        case ast.Constant(str(text)):
            return text
        case ast.FormattedValue(ast.Attribute(attr="flag")):
            return "--flag"
    return "x"


def _unmarked_words(text: str) -> list[str]:
    if any(words in text for words in PRINTED):
        return []
    plain = [word for word in OPTION.findall(MARKED.sub("", text)) if word in ours()]
    return plain + [mark for mark in MARKED.findall(text) if not _is_right(mark)]


def _is_right(mark: str) -> bool:
    """Return whether an error knows the mark, and whether the option in it is ours or not known here."""
    if mark == "⟦x⟧":
        return True
    typed = UsageError(mark, expected="", got="").at_command_line()
    return "⟦" not in typed and OPTION.findall(typed)[0] in ours()


@pytest.mark.parametrize(
    ("options", "arguments", "said", "typed"),
    [
        (["--baseline", "x"], {"baseline": "x"}, "baseline: expected one of", "--baseline: "),
        (["--samples", "99"], {"samples": 99}, "samples: expected at most", "--samples: "),
        (
            ["--check", "-k", "3"],
            {"check": True, "k": 3},
            "leave out k, check, or",
            "leave out -k, --check, or",
        ),
        (
            ["--alignment", "always", "--method", "dual"],
            {"alignment": "always", "method": "dual"},
            "alignment='always': expected",
            "--alignment always: expected",
        ),
        (["--memory", "1e-9"], {"memory": 1e-9}, "raise memory", "raise --memory"),
        (["--kernels", "run.h5"], {"kernels": "run.h5"}, "place with kernels", "place with --kernels"),
        (
            ["--everywhere", "run.h5", "--outputs", "full"],
            {"everywhere": ["run.h5"], "outputs": "full"},
            "leave out everywhere, or use outputs='trace'",
            "leave out --everywhere, or use --outputs trace",
        ),
    ],
)
def test_scripts_name_arguments_and_commands_options(
    options, arguments, said, typed, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    runs.write_run(Path("run.h5"))
    with pytest.raises(NtkspecError) as refused:
        ntkspec.analyze_runs("run.h5", backend="cpu", **arguments)
    assert said in str(refused.value)
    assert typed not in str(refused.value)
    assert main(["run.h5", "-q", "--backend", "cpu", *options]) == 2
    assert typed in capsys.readouterr().err


@given(where=UNMARKED, expected=UNMARKED, got=st.text(), remedy=UNMARKED)
@example(where="/data/x --new", expected="one of sgd --lr=high, net -w", got="⟦--k⟧", remedy="")
@example(where="no --k=3 file", expected="a", got="b", remedy="start one: dask scheduler --port 8786 -o x")
def test_a_text_without_brackets_stays(where, expected, got, remedy):
    error = UsageError(where, expected=expected, got=got, remedy=remedy)
    assert (error.where, error.expected, error.got, error.remedy) == (where, expected, got, remedy)
    assert error.at_command_line() == str(error)


@pytest.mark.parametrize(
    ("marked", "argument", "typed"),
    [
        ("⟦--grid-lr⟧", "grid_lr", "--grid-lr"),
        ("⟦-k⟧", "k", "-k"),
        ("⟦--method=gram⟧", "method='gram'", "--method gram"),
        ("⟦--base=16⟧", "base=16", "--base 16"),
        ("⟦--lr=1e-05⟧", "lr=1e-05", "--lr 1e-05"),
        ("⟦--image=a b.png⟧", "image='a b.png'", "--image a b.png"),
        ("⟦--overwrite=True⟧", "overwrite=True", "--overwrite"),
        ("⟦-o|folder⟧", "folder", "-o"),
        ("⟦-o|folder=report⟧", "folder='report'", "-o report"),
        ("⟦--dry-run|`batch --dry-run`⟧", "`batch --dry-run`", "--dry-run"),
    ],
)
def test_an_option_in_brackets(marked, argument, typed):
    """In an error that came from another process, too."""
    error = UsageError(f"{marked}, --k", expected=f"no {marked}", got=marked, remedy=f"use {marked}.")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert (each.where, each.expected) == (f"{argument}, --k", f"no {argument}")
        assert (each.got, each.remedy) == (marked, f"use {argument}.")  # what came is told as it came
        assert str(each) == f"{argument}, --k: expected no {argument}, got {marked}; use {argument}."
        assert each.at_command_line() == f"{typed}, --k: expected no {typed}, got {marked}; use {typed}."


@pytest.mark.parametrize(
    ("fail", "said", "typed"),
    [
        (
            lambda: Cluster("slurm"),
            "place='slurm': expected workers beside it",
            "--cluster slurm: expected --workers beside it",
        ),
        (
            lambda: TrainConfig(encoding="multigrid", base=16, finest=2),
            "option finest: expected at least base=16,",
            "option --finest: expected at least --base 16,",
        ),
        (lambda: TrainConfig(side=0), "option side: expected", "option --side: expected"),
        (
            lambda: FOLDER.check(Path.cwd()),
            "name a folder inside it, such as folder='report'",
            "name a folder inside it, such as -o report",
        ),
        (
            lambda: Places(Path("report")).check([Path("report/a.h5")]),
            "name another place with folder",
            "name another place with -o",
        ),
    ],
)
def test_arguments_of_another_name_and_numbers(fail, said, typed):
    with pytest.raises(NtkspecError) as refused:
        fail()
    assert said in str(refused.value)
    assert typed in refused.value.at_command_line()


def test_an_output_mode_is_named_as_it_was_given():
    with pytest.raises(UsageError) as refused:
        check_outputs(9, 3)
    said = "expected 'trace', 'full' or an output number from 0 to 2, got 9"
    assert str(refused.value) == f"outputs: {said}"
    assert refused.value.at_command_line() == f"--outputs: {said}"


def test_labels_and_paths_stay(tmp_path):
    own = ["sgd --lr=high", "net -w"]
    with pytest.raises(UsageError) as refused:
        find_baseline(own, own, [{}, {}], "adam")
    assert str(refused.value) == "baseline: expected one of sgd --lr=high, net -w, got 'adam'"
    assert refused.value.at_command_line() == f"--{refused.value}"
    with pytest.raises(NtkspecError) as missing:
        ntkspec.open_run(tmp_path / "no --k=3 file")
    assert missing.value.at_command_line() == str(missing.value)
    assert missing.value.where == str(tmp_path / "no --k=3 file")


def test_an_error_with_another_remedy_or_place_keeps_its_type_and_its_marks():
    error = OutputError("⟦--model⟧ x", expected="⟦-k⟧", got="y", remedy="z")
    other = error.but(remedy="⟦--k=3⟧")
    assert type(other) is OutputError
    assert other.at_command_line() == "--model x: expected -k, got y; --k 3"
    assert str(other) == "model x: expected k, got y; k=3"
    assert str(other.but(inside="a.pt")) == "a.pt: model x: expected k, got y; k=3"
    assert other.but(also="it is in ⟦-o⟧").at_command_line().endswith("--k 3; it is in -o")
    assert str(error.but(remedy="")) == "model x: expected k, got y"


def test_an_error_in_a_list_is_shown_as_its_message():
    error = UsageError("⟦-k⟧", expected="1", got="0", remedy="use ⟦--method=gram⟧")
    assert repr([error]) == """[UsageError("k: expected 1, got 0; use method='gram'")]"""


@pytest.mark.skipif(sys.platform != "linux", reason="files are tried out on Linux alone")
def test_an_error_of_a_trial_keeps_its_marks(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as refused:
        client.try_out(tmp_path / "file", "marks", looks.refuse, budget=2**28)
    assert str(refused.value) == "k: expected a, got b; use method='gram'"
    assert refused.value.at_command_line() == "-k: expected a, got b; use --method gram"


@needs.torch  # which modules of commands import
def test_every_option_in_a_message_is_marked():
    assert [*all_unmarked()] == []
    assert all(option in ours() for option in ("--method", "--held-out", "--model-args", "-o", "-k"))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('f(remedy="use --method=gram")', ["--method"]),
        ('f("--kernels")', ["--kernels"]),
        ('f(f"at least --base={n}, or -k")', ["--base", "-k"]),
        ('f(f"option {option.flag} or --{name}={value}")', ["--flag", "--x"]),
        ('f(f"{a} ⟦--base={n}⟧ and ⟦{option.flag}⟧ and ⟦-o|folder=report⟧")', []),
        ('f("⟦--metod=gram⟧, ⟦--Method⟧, ⟦--method⟧")', ["⟦--metod=gram⟧", "⟦--Method⟧"]),
        ('f("dask scheduler --port 8786; see --help; x-ray -m")', []),
        ('"""Use --method."""', []),
        ('def make():\n    parser.add_argument("--method", help="as --backend")', []),
    ],
)
@needs.torch
def test_an_unmarked_option_is_noticed(code, found):
    assert [*unmarked_in(ast.parse(code))] == found
