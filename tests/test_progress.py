"""What commands show of their work: lines in a file, now and then, and a status line on a terminal."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import threading
import time

import pytest
import runs

from ntkspec import analyze
from ntkspec.commands.progress import progress

OFTEN = 0.01  # seconds


class Stream(io.StringIO):
    """Standard error, of which tests can wait for words."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def wait_for(self, words):
        """Until they are written; a minute is for ever."""
        late = time.monotonic() + 60
        while words not in self.getvalue():
            assert time.monotonic() < late, f"{words!r} is not in {self.getvalue()[:500]!r}"
            time.sleep(OFTEN)


@contextlib.contextmanager
def standard_error(terminal=False):
    with contextlib.redirect_stderr(Stream(terminal)) as stream:
        yield stream


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


# -- a file


def test_a_file_gets_the_newest_step_again_and_again():
    with standard_error() as stderr, progress(every=OFTEN) as say:
        stderr.wait_for("min] starting\n")
        say("camera, end: eigenvalues of total")
        stderr.wait_for("total\n[0.0 min] camera, end: eigenvalues of total\n")
        say("[bold]two\nlines")
        stderr.wait_for("min] [bold]two lines\n")
    assert not writers()
    steps = ["starting", "camera, end: eigenvalues of total", "[bold]two lines"]
    said = [re.fullmatch(r"\[\d\.\d min\] (.*)", line)[1] for line in stderr.getvalue().splitlines()]
    assert sorted(said, key=steps.index) == said
    assert set(said) == set(steps)


def test_lines_say_how_many_minutes_have_passed(monkeypatch):
    usual = time.monotonic
    monkeypatch.setattr("ntkspec.commands.progress.time", Clock([0.0, 120.0, 630.0]))
    assert time.monotonic is usual
    with standard_error() as stderr, progress(every=OFTEN):
        stderr.wait_for("[2.0 min] starting\n[10.5 min] starting\n[15.0 min] starting\n")


class Clock:
    """In the place of the module `time`: these seconds, then 900."""

    def __init__(self, seconds):
        self.seconds = iter(seconds)

    def monotonic(self):
        return next(self.seconds, 900.0)


def test_a_short_command_says_nothing():
    with standard_error() as stderr, progress() as say:
        say("reading")
        assert writers()
    assert not writers()
    assert stderr.getvalue() == ""


def test_nothing_where_it_is_to_be_quiet():
    with standard_error() as stderr, progress(quiet=True, every=OFTEN) as say:
        say("reading")
        assert not writers()
    assert stderr.getvalue() == ""


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_error_ends_the_lines(error):
    with standard_error() as stderr:
        with pytest.raises(error), progress(every=OFTEN):
            stderr.wait_for("starting")
            raise error
        assert not writers()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("closed file")])
def test_a_stream_that_takes_nothing_changes_nothing(error, monkeypatch):
    thrice, tries = threading.Event(), []

    def write(words):
        tries.append(words)
        if len(tries) == 3:
            thrice.set()
        raise error

    with standard_error() as stderr:
        monkeypatch.setattr(stderr, "write", write)
        with progress(every=OFTEN):
            assert thrice.wait(60)
    assert not writers()


def test_without_standard_error(capsys):
    with contextlib.redirect_stderr(None), progress(every=OFTEN):
        time.sleep(5 * OFTEN)
        assert writers()
    assert capsys.readouterr() == ("", "")


def test_without_room_for_a_thread(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with standard_error() as stderr, progress(every=OFTEN) as say:
        say("reading")
    assert stderr.getvalue() == ""


# -- a terminal


def test_a_terminal_shows_a_status_line():
    with standard_error(terminal=True) as stderr, progress(every=OFTEN) as say:
        stderr.wait_for("starting")
        say("[end]: eigenvalues")
        stderr.wait_for("[end]: eigenvalues")
        say("a\nb\x1b[5m: eigenvalues")  # of a file from elsewhere
        stderr.wait_for("a b [5m: eigenvalues")
        assert not writers()
    assert "min]" not in stderr.getvalue()


def test_a_terminal_on_which_the_command_draws_bars_is_left_to_it():
    with standard_error(terminal=True) as stderr, progress(bars=True, every=OFTEN) as say:
        say("reading")
        assert not writers()
    assert stderr.getvalue() == ""


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize(("name", "value"), [("FORCE_COLOR", "1"), ("TERM", "dumb")])
def test_what_cannot_change_a_line_gets_lines(name, value, bars, monkeypatch):
    """A file, whatever it is told of colours, and a terminal that can do no more than a file."""
    monkeypatch.setenv(name, value)
    with standard_error(terminal=name == "TERM") as stderr, progress(bars=bars, every=OFTEN):
        stderr.wait_for("[0.0 min] starting\n")


# -- a command


def test_analyze_says_what_it_is_doing_until_it_ends(tmp_path, monkeypatch):
    runs.write_run(tmp_path / "run.h5", steps=(1,))
    words = [str(tmp_path / "run.h5"), "-o", str(tmp_path / "report"), "--backend", "cpu"]
    monkeypatch.setattr(analyze, "progress", functools.partial(progress, every=OFTEN))
    with standard_error() as stderr:
        monkeypatch.setattr(
            "ntkspec.report.write.write_report", lambda *_, **__: stderr.wait_for("min] drawing the report\n")
        )
        assert analyze.main(words) == 0
        assert not writers()
        assert analyze.main([*words, "--snapshot", "absent"]) == 2
        assert not writers()
    assert stderr.getvalue().splitlines()[-1].startswith("error: ")
