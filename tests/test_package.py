"""The package as a whole: what importing it loads, the import rules, the console script."""

from __future__ import annotations

import json
import signal
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
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
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


def test_records_print_in_a_line(tmp_path):
    import runs

    with ntkspec.open_run(runs.write_run(tmp_path / "run.h5", label="x")) as run:
        jac = run.snapshot("end").jacobian
        found = ntkspec.spectrum(jac)
        for record in (run, jac, found, ntkspec.bounds.theorem1(found)):
            assert "\n" not in repr(record)
            assert len(repr(record)) < 300


def test_importing_the_package_adds_little_to_numpy_and_scipy():
    """No time is asserted: what is loaded besides them is this package and h5py."""
    code = (
        "import sys, numpy, scipy.linalg, scipy.sparse.linalg\nbefore = set(sys.modules)\nimport ntkspec\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    third_party = (
        set(done.stdout.split())
        - set(sys.stdlib_module_names)
        - {"ntkspec", "h5py", "numpy", "scipy", "threadpoolctl"}
    )
    assert not {name for name in third_party if not name.startswith("_")}, third_party


def test_other_programs_keep_their_ctrl_c(tmp_path):
    """`python -m tool` of somebody else's, whose package imports this one."""
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/__init__.py").write_text("import ntkspec\n")
    (tmp_path / "tool/__main__.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "finally:\n    print('cleaned up', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tool"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert "cleaned up" in done.stdout
