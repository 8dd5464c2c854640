"""Commands whose streams are closed, full, left or narrow, and commands that are told to end."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import weakref

import pytest
import runs

from ntkspec import __main__ as script
from ntkspec import analyze, train, validate
from ntkspec.commands.cli import run_command

PYTHON = [sys.executable, "-m"]


@pytest.fixture
def quick(tmp_path, monkeypatch, undrawn):
    """A run to analyse in the current folder; reports without figures and page, which are not tested here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ntkspec.report.page.render_page", lambda report, figures: "")
    runs.write_run(tmp_path / "run.h5", label="σ = 1", steps=(1,))
    return tmp_path


def left():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full():
    """A disk without room."""
    return os.open("/dev/full", os.O_WRONLY)


def closed():
    """No stream at all."""
    return


def kept():
    """A file, whose content `child` returns."""
    return os.memfd_create("kept")


def child(work, out=kept, err=kept, encoding="utf-8"):
    """Exit code, output and errors of work in a process with such streams, forked to spare it the imports."""
    ends = [out(), err()]
    process = os.fork()
    if process == 0:
        code = 99
        with contextlib.suppress(BaseException):
            for number, (end, name) in enumerate(zip(ends, ("stdout", "stderr"), strict=True), start=1):
                if end is None:
                    os.close(number)
                    stream = None
                else:
                    os.dup2(end, number)
                    stream = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding=encoding)
                setattr(sys, name, stream)
                setattr(sys, f"__{name}__", stream)
            try:
                code = work()
            except SystemExit as stop:
                code = stop.code
        os._exit(code)
    _, status = os.waitpid(process, 0)
    texts = []
    for end, kind in zip(ends, (out, err), strict=True):
        texts.append(os.pread(end, 10**6, 0).decode(encoding) if kind is kept else "")
        if end is not None:
            os.close(end)
    return os.waitstatus_to_exitcode(status), *texts


REPORT = ["run.h5", "-o", "rep", "--method", "gram"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_terminal_lacks_are_replaced(encoding, quick):
    """Two runs whose labels differ in these alone keep names of their own."""
    runs.write_run(quick / "other.h5", label="λ = 1", steps=(1,))
    code, out, err = child(lambda: analyze.main(["other.h5", *REPORT]), encoding=encoding)
    assert (code, err) == (0, "")
    names = [line[:8] for line in out.splitlines() if re.match(r"\? = 1 #\d  +\S+ dB", line)]
    assert sorted(names) == ["? = 1 #1", "? = 1 #2"]
    code, out, err = child(lambda: validate.main(["run.h5"]), encoding=encoding)
    assert (code, err) == (0, "")
    assert "valid. '? = 1'" in out


@pytest.mark.parametrize(
    ("out", "err", "code", "lines"),
    [
        (closed, kept, 0, 0), (closed, closed, 0, 0),
        (left, left, 0, 0), (full, kept, 2, 1), (full, full, 2, 0),
    ],
)  # fmt: skip
def test_the_report_is_kept_whatever_becomes_of_the_streams(out, err, code, lines, quick):
    before = (quick / "run.h5").read_bytes()
    found, _, said = child(lambda: analyze.main([*REPORT, "-v"]), out, err)
    assert found == code
    assert sum(line.startswith("error: ") for line in said.splitlines()) == lines
    assert (quick / "rep/index.html").exists()
    assert (quick / "run.h5").read_bytes() == before  # did not take the number that a stream left free


@pytest.mark.parametrize("out", [closed, left])
def test_a_bound_that_fails_is_exit_code_1_for_any_stream(out, quick, monkeypatch):
    monkeypatch.setattr("ntkspec.report.summary.failures", lambda report: ("made up",))
    assert child(lambda: analyze.main(REPORT), out)[0] == 1


@pytest.mark.parametrize(
    ("main", "words", "streams", "code"),
    [
        (script.main, ["--version"], (full, kept), 2),
        (script.main, ["--help"], (left, kept), 0),
        (script.main, ["nonsense"], (kept, closed), 2),
        (analyze.main, ["--help"], (full, kept), 2),
        (analyze.main, ["--help"], (closed, kept), 0),
        (analyze.main, ["--nonsense"], (kept, closed), 2),
        (train.main, ["--help"], (left, kept), 0),
        (validate.main, ["absent.h5"], (kept, closed), 2),
        (validate.main, ["absent.h5"], (kept, full), 2),
        (analyze.main, [os.fsdecode(b"caf\xe9.h5")], (kept, kept), 2),
    ],
)
def test_help_versions_and_refusals(main, words, streams, code, tmp_path):
    found, out, err = child(lambda: main(words), *streams)
    assert (found, out) == (code, "")
    assert err.count("\n") <= 1


def test_the_real_thing(tmp_path):
    """As a shell starts them: output closed, output that is left, and a full disk behind it."""
    runs.write_run(tmp_path / "run.h5", label="σ = 1", steps=(1,))
    python = " ".join(PYTHON)
    for line in (
        f"{python} ntkspec.validate run.h5 >&- 2>err",
        f"PYTHONIOENCODING=ascii {python} ntkspec validate run.h5 2>>err | true; exit ${{PIPESTATUS[0]}}",
    ):
        assert subprocess.run(["bash", "-c", line], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "err").read_text() == ""
    with open("/dev/full", "w") as disk:
        done = subprocess.run(
            [*PYTHON, "ntkspec.validate", "run.h5"],
            cwd=tmp_path,
            stdout=disk,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


@pytest.mark.parametrize("code", [None, 0, 3, "in words"])
def test_who_leaves_by_himself_keeps_his_code(code):
    def work():
        raise SystemExit(code)

    with pytest.raises(SystemExit) as stop:
        run_command(work)
    assert stop.value.code == code


@pytest.mark.parametrize("traced", ["", "0", "1"])
@pytest.mark.parametrize(
    ("main", "place", "words"),
    [
        (analyze.main, "ntkspec.analyze.analyze_runs", ["run.h5"]),
        (validate.main, "ntkspec.validate.open_run", ["run.h5"]),
        (train.main, "ntkspec.train._run", ["--image", "x.png", "-o", "x.h5"]),
        (script.main, "ntkspec.validate.open_run", ["validate", "run.h5"]),
    ],
)
def test_the_unexpected_is_one_line_and_code_70(main, place, words, traced, tmp_path, monkeypatch, capsys):
    def fails(*_, **__):
        raise KeyError("gr\nid")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, fails)
    monkeypatch.setenv("NTKSPEC_TRACEBACK", traced)
    assert main(words) == 70
    err = capsys.readouterr().err
    last = err.splitlines()[-1]
    assert re.match(r"error: test_streams.py:\d+: expected to finish, got KeyError: 'gr\\nid'; ", last)
    assert "NTKSPEC_TRACEBACK=1" in last
    assert ("Traceback" in err) == (traced == "1")
    assert traced == "1" or err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        SystemError("error return without exception set"),  # of an import
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_too_little_memory_is_code_2(error, wrapped, capsys):
    def fails():
        try:
            raise error
        except Exception:
            if wrapped:
                raise KeyError("x") from None
            raise

    assert run_command(fails) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: out of memory; ")
    assert err.count("\n") == 1


def test_an_installation_that_lacks_something(tmp_path):
    (tmp_path / "h5py.py").write_text("import no_such_library\n")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    words = [*PYTHON, "ntkspec.analyze", "run.h5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 70
    assert re.fullmatch(r"error: h5py.py:1: .*no_such_library.*pip install ntkspec.*\n", done.stderr)


# -- signals


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "terminated\n"),
        (signal.SIGHUP, 129, "hung up\n"),
        (signal.SIGINT, 130, "interrupted\n"),
    ],
)
def test_signals_leave_nothing(number, code, said, quick, monkeypatch):
    def render_page(*_):
        assert len(os.listdir(quick)) == 2  # a hidden folder beside the run
        os.kill(os.getpid(), number)
        time.sleep(30)

    def command():
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)  # which nohup, and a shell in the background, let a process ignore
        return analyze.main([*REPORT, "-q"])

    monkeypatch.setattr("ntkspec.report.page.render_page", render_page)
    ended, _, errors = child(command)
    assert errors == said
    assert ended == code
    assert os.listdir(quick) == ["run.h5"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so():
    """As under nohup."""

    def work():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return run_command(lambda: os.kill(os.getpid(), signal.SIGHUP) or 0)

    assert child(work) == (0, "", "")


def test_a_signal_that_comes_inside_a_library_comes_once_more(capsys):
    """What HDF5 or the collector calls back cannot raise: the exception is printed and forgotten."""

    class Thing:
        pass

    def callback(_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.001)

    def work():
        thing = Thing()
        watch = weakref.ref(thing, callback)
        del thing
        time.sleep(30)
        return int(watch() is None)

    assert run_command(work) == 143
    assert capsys.readouterr().err == "terminated\n"


def test_an_interrupt_that_a_library_made_another_error_of_is_one(capsys):
    """As h5py does when Ctrl-C comes while HDF5 calls back."""

    def work():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    assert run_command(work) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_alarms_stay_the_callers():
    """His timer runs on, and his handler is called during the command."""
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 600)

        def work():
            os.kill(os.getpid(), signal.SIGALRM)
            return len(calls)

        assert run_command(work) == 1
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 600
        assert calls == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_validate_stops_at_a_signal(capsys, monkeypatch):
    def open_run(path, **_):
        print(path)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(validate, "open_run", open_run)
    assert validate.main(["a.h5", "b.h5"]) == 143
    assert capsys.readouterr() == ("a.h5\n", "terminated\n")
