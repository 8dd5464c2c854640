"""Full disks, folders that cannot be written, Ctrl-C, links: nothing half-written, and one line about it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cases
import numpy as np
import pytest
import runs

from ntkspec.errors import OutputError, RunFileError, UsageError
from ntkspec.store import RunWriter, open_run

TESTS = Path(__file__).parents[1]
INPUTS = np.linspace(0, 1, 24).reshape(12, 2)
ANALYZE = [sys.executable, "-m", "ntkspec.analyze"]


def command(words, folder, **options):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A folder with a run and its report, to be copied: a report takes seconds."""
    folder = tmp_path_factory.mktemp("analysed")
    runs.write_run(folder / "run.h5", cases.mixed(400))
    assert command([*ANALYZE, "run.h5", "-q", "-o", "out", "-k", "3"], folder) == (0, "")
    return folder


def refused(outcome):
    code, err = outcome
    return code == 2 and err.startswith("error: ") and err.count("\n") == 1


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        # Most accounts and containers lack it; tests/test_kernel_files.py makes the error up, everywhere.
        pytest.skip("mounting a small disk takes root and the permission to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


WRITE = f"""
import os, sys, time; sys.path.insert(0, {str(TESTS)!r})
import cases, numpy as np
from ntkspec.commands.cli import run_command
from ntkspec.store import RunWriter
def work():
    inputs = np.linspace(0, 1, 4000).reshape(2000, 2)
    cases.mixed(2)  # imports numpy.random, which may swallow Ctrl-C meanwhile
    print("ready", flush=True)
    with RunWriter(sys.argv[1], inputs=inputs, overwrite=True) as run:
        for step in range(int(sys.argv[2])):
            with run.snapshot(f"s{{step}}", step=step, label="x") as snapshot:
                jac = cases.mixed(2000)
                for start in range(0, 2000, 500):
                    snapshot.write(start, inputs[start:start + 500], jac.load(start, start + 500))
    return 0
sys.exit(run_command(work))
"""


def test_a_full_disk_while_exporting(small_disk):
    assert refused(command([sys.executable, "-c", WRITE, "run.h5", "5"], small_disk))
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("old", [False, True], ids=["first report", "second report"])
def test_a_full_disk_while_the_report_is_written(old, tmp_path, analysed):
    runs.write_run(tmp_path / "run.h5")
    if old:
        shutil.copytree(analysed / "out", tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert refused(command([*ANALYZE, "run.h5", "-o", "out"], tmp_path, preexec_fn=limited))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert sorted(os.listdir(tmp_path)) == (["out", "run.h5"] if old else ["run.h5"])


@pytest.mark.parametrize("place", ["/proc/report", "/proc/self/fd/9/report", "locked/report"])
def test_a_folder_that_cannot_be_written(place, tmp_path):
    runs.write_run(tmp_path / "run.h5")
    (tmp_path / "locked").mkdir(mode=0o555)
    if place.startswith("locked") and os.geteuid() == 0:
        pytest.skip("root may write anywhere")  # /proc refuses it too, in the other cases
    assert refused(command([*ANALYZE, "run.h5", "-o", place], tmp_path))
    with pytest.raises(OutputError):
        RunWriter(tmp_path / place, inputs=INPUTS)
    assert os.listdir(tmp_path / "locked") == []


def test_a_file_that_may_only_be_read(tmp_path):
    path = runs.write_run(tmp_path / "run.h5")
    path.chmod(0o444)
    before = path.read_bytes()
    with open_run(path) as run:
        run.check_values()
    assert path.read_bytes() == before


# -- Ctrl-C


def interruptible():
    """A shell's background jobs, and all that they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted(words, folder, seconds, *, ready=False):
    """Exit code and stderr of a command that gets Ctrl-C so many seconds after it began, or said "ready"."""
    with subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        if ready:
            assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
def test_ctrl_c_while_writing(seconds, tmp_path):
    code, err = interrupted([sys.executable, "-c", WRITE, "run.h5", "100"], tmp_path, seconds, ready=True)
    assert (code, err) == (130, "interrupted\n")
    assert os.listdir(tmp_path) in ([], ["run.h5.part"])
    if os.listdir(tmp_path):
        with open_run(tmp_path / "run.h5.part") as run:
            run.check_values()
            for snap in run.snapshots:
                assert np.array_equal(snap.jacobian.to_dense(), cases.mixed(2000).to_dense())


READY = """
import sys
from ntkspec.analyze import main
from ntkspec.commands.cli import begin
words, sys.argv, sys.orig_argv = sys.argv[1:], ["-m"], ["python", "-m", "ntkspec.analyze"]
begin()
print("ready", flush=True)
sys.exit(main(words))
"""


@pytest.mark.parametrize("seconds", [0, 0.3, 1.5])
def test_ctrl_c_keeps_the_old_report(seconds, tmp_path, analysed):
    shutil.copytree(analysed, tmp_path, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [sys.executable, "-c", READY, "run.h5", "-q", "-o", "out", "--method", "svd"]
    code, err = interrupted(words, tmp_path, seconds, ready=True)
    assert (code, err) in ((130, "interrupted\n"), (130, ""))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_ctrl_c_while_numpy_is_imported(tmp_path):
    """`begin` stands before NumPy; afterwards `run_command` takes Ctrl-C back."""
    script = (
        "import sys, time; argv = sys.argv; sys.argv = ['-m']\n"
        "sys.orig_argv = ['python', '-m', 'ntkspec.analyze']\n"
        "from ntkspec.commands.cli import begin, run_command\n"
        "begin()\n"
        "print('ready', flush=True)\n"
        "if argv[1] == 'early': time.sleep(30)\n"
        "sys.exit(run_command(lambda: time.sleep(30)))\n"
    )
    words = [sys.executable, "-c", script]
    assert interrupted([*words, "early"], tmp_path, 0, ready=True) == (130, "")
    assert interrupted([*words, "late"], tmp_path, 0.5, ready=True) == (130, "interrupted\n")


# -- several at once, and links


READ = """
import sys
from ntkspec.commands.cli import run_command
from ntkspec.store import open_run
def work():
    with open_run(sys.argv[1]) as run:
        run.check_values()
        print(len(run.snapshots))
    return 0
sys.exit(run_command(work))
"""


@pytest.mark.parametrize("locking", ["TRUE", "FALSE"])
def test_readers_of_a_file_that_is_being_written(locking, tmp_path):
    """They are told to wait, or (where nothing is locked) read what is complete; the writer goes on."""
    environment = os.environ | {"HDF5_USE_FILE_LOCKING": locking}
    answers = []
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        for step in range(2):
            with run.snapshot(f"s{step}", step=step, label="x") as snapshot:
                snapshot.write(0, INPUTS[:6], cases.mixed(12).load(0, 6))
                words = [sys.executable, "-c", READ, "run.h5.part"]
                readers = [
                    subprocess.Popen(
                        words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
                    )
                    for _ in range(2 * step)  # once a snapshot is complete
                ]
                answers += [(reader.communicate(timeout=60), reader.returncode) for reader in readers]
                snapshot.write(6, INPUTS[6:], cases.mixed(12).load(6, 12))
    for (_, err), code in answers:
        assert code == 0 or refused((code, err.decode())), err
        assert locking == "FALSE" or b"wait if it is being written" in err
    with open_run(tmp_path / "run.h5") as done:
        done.check_values()
        assert len(done.snapshots) == 2


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("run.h5", "run.h5.part"):
        (tmp_path / name).symlink_to(precious)
    runs.write_run(tmp_path / "run.h5", overwrite=True)
    assert precious.read_text() == "mine"
    assert not (tmp_path / "run.h5").is_symlink()
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
    (tmp_path / "other.h5.part").symlink_to(tmp_path / "run.h5")
    with pytest.raises(UsageError, match="a link"):
        RunWriter(tmp_path / "other.h5", inputs=INPUTS, resume=True)


def test_dangling_links(tmp_path):
    for name in ("run.h5", "run.h5.part", "run.h5.part.room"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="File exists"):
        runs.write_run(tmp_path / "run.h5")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(RunFileError, match="no such file"):
        open_run(tmp_path / "run.h5")
