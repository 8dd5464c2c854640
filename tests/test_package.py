"""The package as a whole: what importing it loads, the import rules, the console script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ntkspec
from ntkspec.__main__ import COMMANDS, main

HEAVY = ("torch", "cupy", "numba", "matplotlib", "plotly", "rich", "jinja2", "PIL")


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import ntkspec") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_importing_a_command_loads_no_torch_or_cupy(command):
    assert not loaded_by(f"import ntkspec.{command}") & {"torch", "cupy", "matplotlib"}


def test_analysing_needs_neither_torch_nor_cupy(tmp_path):
    """A whole analysis in a process where importing either fails."""
    import runs

    run = runs.write_run(tmp_path / "run.h5")
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['cupy'] = None\n"
        "from ntkspec.analyze import main\n"
        f"sys.exit(main([{str(run)!r}, '-o', {str(tmp_path / 'report')!r}, '-q']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "index.html").exists()


def test_rooms_import_lower_floors_only():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_console_script(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ntkspec {ntkspec.__version__}\n"
    assert main(["--help"]) == 0
    assert all(command in capsys.readouterr().out for command in [*COMMANDS][:1])
    assert main(["analyse"]) == 2
    assert "expected one of train, analyze, validate" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        sys.exit(main([command, "--help"]))
    assert done.value.code == 0
    assert f"python -m ntkspec.{command} " in capsys.readouterr().out.partition("example")[2]


def test_public_names_exist():
    for name in ntkspec.__all__:
        assert getattr(ntkspec, name) is not None
    assert callable(ntkspec.gram)
    assert callable(ntkspec.operator)
    assert callable(ntkspec.bounds.weyl_lower)
