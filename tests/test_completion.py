"""Completion by a shell: of commands, options, choices and files; and one line where its extra is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ntkspec.__main__ import COMMANDS, main

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_ntkspec ntkspec "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    pytest.importorskip("shtab", reason="needs the extra `completion`")
    path = tmp_path_factory.mktemp("completion") / "ntkspec"
    printed = subprocess.run(
        [sys.executable, "-m", "ntkspec.completion", "bash"], capture_output=True, text=True, check=True
    )
    path.write_text(printed.stdout)
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["ntkspec", ""], set(COMMANDS)),
        (["ntkspec", "analyze", "--over"], {"--overwrite"}),
        (["ntkspec", "analyze", "--backend", ""], {"auto", "cpu", "gpu"}),
        (["ntkspec", "train", "--held"], {"--held-out"}),
        (["ntkspec", "batch", "--report"], {"--report-only"}),
        (["ntkspec", "validate", "pict"], {"picture.h5"}),
        (["ntkspec", "export", "--inputs", "pict"], {"picture.h5"}),
    ],
)
def test_bash_completes(line, expected, script, tmp_path):
    (tmp_path / "picture.h5").touch()
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), *line],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert expected <= set(done.stdout.split())
    assert len(done.stdout.split()) <= max(len(expected), 10)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert 'run: pip install "ntkspec[completion]"' in capsys.readouterr().err
