"""The package as a whole: what importing it loads, the import rules, the console script."""

from __future__ import annotations

import ast
import importlib.abc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ntkspec
from ntkspec.__main__ import COMMANDS, MODULES, main

HEAVY = ("torch", "cupy", "numba", "matplotlib", "rich", "jinja2", "PIL")


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("from ntkspec import *\nimport ntkspec.report") == set()


UNTOUCHED = """
import os, signal, sys
class Words(list):
    def __getitem__(self, key): raise AssertionError("the command line was read")
    def __iter__(self): raise AssertionError("the command line was read")
    def __len__(self): raise AssertionError("the command line was read")
sys.argv, sys.orig_argv = Words(["-m"]), Words(["python", "-m", "ntkspec.analyze"])
def hooks():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return handlers, sys.excepthook, sys.unraisablehook, os.listdir("/proc/self/fd")
before = hooks()
for statement in {statements!r}:
    exec(statement)
    assert hooks() == before, statement
"""
STATEMENTS = (
    "import ntkspec\nfor name in ntkspec.__all__: getattr(ntkspec, name)",
    "from ntkspec.analyze import analyze_runs",
    "import ntkspec.validate, ntkspec.train, ntkspec.__main__, ntkspec.commands.cli, ntkspec.sandbox",
    "import ntkspec.export, ntkspec.export.__main__, ntkspec.commands.export_checkpoints",
)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is open")
def test_importing_has_no_effect_on_the_process():
    subprocess.run([sys.executable, "-c", UNTOUCHED.format(statements=STATEMENTS)], check=True)


def test_importing_the_commands_loads_no_torch_or_cupy():
    modules = ", ".join(f"ntkspec.{command}, {MODULES[command]}" for command in COMMANDS)
    assert not loaded_by(f"import {modules}") & {"torch", "cupy", "matplotlib"}


def test_analysing_needs_neither_torch_nor_cupy(tmp_path):
    """A whole analysis in a process where importing either fails."""
    import runs

    run = runs.write_run(tmp_path / "run.h5", steps=(1,))
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['cupy'] = None\n"
        "from ntkspec.analyze import main\n"
        f"sys.exit(main([{str(run)!r}, '-o', {str(tmp_path / 'report')!r}, '-q']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "index.html").exists()


def test_rooms_import_lower_floors_only():
    pytest.importorskip("importlinter", reason="no import-linter, of the extra dev")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_modules_import_each_other_in_a_circle(monkeypatch):
    pytest.importorskip("grimp", reason="no import-linter, of the extra dev")
    root = Path(__file__).parent.parent
    monkeypatch.syspath_prepend(root / "analysis" / "studies")
    from code_measures import circles

    assert circles(root) == []


def test_console_script(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ntkspec {ntkspec.__version__}\n"
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    assert main(["analyse"]) == 2
    assert "expected one of train, export, analyze, batch, validate" in capsys.readouterr().err
    assert main([]) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_its_version(command, capsys):
    with pytest.raises(SystemExit) as done:
        sys.exit(main([command, "--version"]))
    assert done.value.code == 0
    assert capsys.readouterr().out == f"ntkspec {ntkspec.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        sys.exit(main([command, "--help"]))
    assert done.value.code == 0
    assert f"python -m ntkspec.{command} " in capsys.readouterr().out.partition("example")[2]


def test_public_names_exist():
    for name in ntkspec.__all__:
        assert getattr(ntkspec, name) is not None
        assert name in dir(ntkspec)
    with pytest.raises(AttributeError, match="'ntkspec' has no attribute 'grams'"):
        _ = ntkspec.grams
    assert callable(ntkspec.gram)
    assert callable(ntkspec.operator)
    assert callable(ntkspec.bounds.weyl_lower)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ntkspec.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {line.names[0].asname: line.module for line in block.body}
    assert seen == ntkspec.HOMES | dict.fromkeys(ntkspec.ROOMS, "ntkspec")


def test_modules_hide_no_function():
    code = (
        "import importlib, pkgutil, types, ntkspec\n"
        "for room in ('ntkspec.kernel', 'ntkspec.spectral', 'ntkspec.jacobian'):\n"
        "    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, room + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "assert not {module.name for module in pkgutil.iter_modules(ntkspec.__path__)} & {*ntkspec.__all__}\n"
        "for name in ('gram', 'operator', 'spectrum'):\n"
        "    assert isinstance(getattr(ntkspec, name), types.FunctionType), name\n"
        "from ntkspec import gram, operator, spectrum\n"
        "assert all(isinstance(each, types.FunctionType) for each in (gram, operator, spectrum))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rooms_are_reached_by_their_names():
    """NumPy is loaded when one is used, and not by what commands begin with."""
    code = (
        "import sys, ntkspec, ntkspec.commands.cli\n"
        "loaded = {'numpy', 'scipy', 'h5py', 'multiprocessing'} & set(sys.modules)\n"
        "assert not loaded, loaded\nntkspec.Jacobian\nassert 'numpy' in sys.modules\n"
        "assert ntkspec.spectral.Rank and ntkspec.store.Run and ntkspec.machine.memory.GIB\n"
        "for name in ('nowhere', '__wrapped__'):\n"
        "    assert not hasattr(ntkspec, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- without PyTorch


class Absent(importlib.abc.MetaPathFinder):
    """An installation without these modules."""

    def __init__(self, *names):
        self.names = names

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return


USES = {
    "export": "from ntkspec.export import RunExporter",
    **{name: f"import ntkspec.{name}" for name in ("nets.lookup", "nets.training", "nets.checkpoint")},
}
WITHOUT_TORCH = """
import os, pickle, sys, ntkspec, test_package
sys.meta_path.insert(0, test_package.Absent("torch"))
for use in test_package.USES.values():
    if os.fork():  # each use in a process of its own, all after the same imports
        os.wait()
        continue
    try:
        exec(use)
    except ImportError as error:
        assert isinstance(error, ntkspec.NtkspecError)
        assert error.name == "torch" and str(pickle.loads(pickle.dumps(error))) == str(error)
        print(error, flush=True)
    break
"""


def test_what_needs_torch_says_so():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        f"ntkspec.{module}: expected PyTorch and its companions, got no module named 'torch'; "
        'run: pip install "ntkspec[torch]"'
        for module in USES
    ], done.stderr


def test_the_export_without_torch_explains_itself_and_says_so(tmp_path, monkeypatch):
    """`python -m ntkspec.export` imports the package ntkspec.export before its own first line."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module', name='torch')\n")
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    path = f"{tmp_path}{os.pathsep}{Path(ntkspec.__file__).parent.parent}"
    monkeypatch.setenv("PYTHONPATH", path, prepend=os.pathsep)

    def run(*words):
        command = [sys.executable, "-m", "ntkspec.export", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("--help").returncode == 0
    done = run("--checkpoint", "x.pt", "--inputs", "x.npy", "-o", "run.h5")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: ntkspec.export: expected PyTorch and its companions, got no module named"
    )


def test_other_modules_that_are_missing_are_not_called_torch():
    from ntkspec.extras import needs_torch

    with pytest.raises(ModuleNotFoundError) as caught, needs_torch("x"):
        importlib.import_module("no_such_library")
    assert not isinstance(caught.value, ntkspec.NtkspecError)


# -- while a command is still importing


@pytest.mark.parametrize(
    "command", ["ntkspec.analyze", "ntkspec.validate", "ntkspec.train", "ntkspec.export", "ntkspec"]
)
def test_ctrl_c_while_a_command_imports(command, tmp_path):
    """No traceback, and no word."""
    slow = "import time\nprint('ready', flush=True)\ntime.sleep(30)\n"
    for name in ("h5py", "tomllib"):  # what the commands load early
        (tmp_path / f"{name}.py").write_text(slow)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    words = [sys.executable, "-m", command, *(["analyze"] if command == "ntkspec" else []), "x.h5"]
    with subprocess.Popen(
        words,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130


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
        "import sys, numpy, scipy.linalg, scipy.sparse.linalg\nbefore = set(sys.modules)\n"
        "from ntkspec import *\n"
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
