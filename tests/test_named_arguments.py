"""A message names an argument as whoever gave it did: by its name in a script, as an option in a command."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import runs

import ntkspec
from ntkspec.analyze import main
from ntkspec.errors import NtkspecError, UsageError

MPE = "data/golden/mpe.h5"


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


def test_what_is_no_option_stays():
    texts = ["--x.h5", "a --b.h5", "my--file", "1 - x", "-1", "- k", "x-ray", "'--baseline'", "-rf"]
    for text in texts:
        assert UsageError(text, expected="", got="").where == text
    assert UsageError("a", expected="b", got="--baseline").got == "--baseline"  # what came is told as it came


def test_an_error_from_another_process_names_both():
    error = UsageError("--grid-lr", expected="none", got="one", remedy="use --overwrite=True (or -k), --k: x")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert (each.where, each.remedy) == ("grid_lr", "use overwrite=True (or k), k: x")
        assert str(each) == "grid_lr: expected none, got one; use overwrite=True (or k), k: x"
        assert each.at_command_line() == (
            "--grid-lr: expected none, got one; use --overwrite (or -k), --k: x"
        )
