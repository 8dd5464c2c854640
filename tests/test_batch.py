"""python -m ntkspec.batch: results are files, what is there is not done again, a bad file is one line."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import machine
import needs
import numpy as np
import psutil
import pytest

import ntkspec
from ntkspec import batch
from ntkspec.population import batch_request
from ntkspec.population.batched import RunJob, analyse, remaining, run_files
from ntkspec.population.report import Failed, write_population
from ntkspec.population.results import all_made, asked, identify, note_failure
from ntkspec.report import read_report
from ntkspec.runs.analysis import RunSettings, analyze_run

CPU = RunSettings(backend="cpu")
JOB = RunJob("", "results", CPU)
DOCS = Path(__file__).parents[1] / "docs" / "cluster.md"


def write(path, seed, samples=12):
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = ntkspec.jacobian.SparseFactor(
        random.integers(0, 9, (samples, 2)), random.random((samples, 1, 2)), 9
    )
    ntkspec.write_run(
        path,
        random.random((samples, 2)),
        random.random((samples, 1)),
        {"mlp": random.standard_normal((samples, 1, 20)), "grid.table": grid},
        roles={"grid": "grid"},
        label="end",
        metrics={"psnr_db": 20.0 + seed},
    )
    return path


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Four runs in two folders, two of each name, and the folder above as the current one."""
    monkeypatch.chdir(tmp_path)
    for seed in range(4):
        write(tmp_path / "runs" / f"p{seed // 2}" / f"net{seed % 2}.h5", seed)
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _report_in_this_process(monkeypatch, undrawn):
    """For the time of another process, and without figures; those that start the command have all of it."""
    monkeypatch.setattr(batch, "write_population_apart", write_population)


def one_process(*words):
    return batch.main(["runs/**/*.h5", "-o", "results", "--share", "0/1", "--backend", "cpu", *words])


def stamps():
    return {path: path.stat().st_mtime_ns for path in Path("results").glob("*/*")}


def test_results_are_those_of_analyze(runs, capsys):
    assert one_process() == 0
    assert "4 runs analysed, 0 there already, 0 failed" in capsys.readouterr().out
    made = list(all_made(Path("results")))
    assert {run for each in made for run in each.seen} == {str(path) for path in runs.glob("*/*.h5")}
    for each in made:
        folder = each.folder(Path("results"))
        assert re.fullmatch(r"net[01]-[0-9a-f]{8}", folder.name)
        assert sorted(os.listdir(folder)) == ["made.json", "report.json", "snapshots.csv", "spectra.csv"]
        (run,) = read_report(folder / "report.json").runs
        (path,) = each.seen
        alone = analyze_run(path, CPU)
        for name, spectrum in alone.snapshots[0].spectra.items():
            assert np.array_equal(run.snapshots[0].spectra[name].eigenvalues, spectrum.eigenvalues)
        assert run.path == path


def test_what_is_there_is_not_done_again(runs, capsys):
    one_process()
    before = stamps()
    assert one_process() == 0
    assert "0 runs analysed, 4 there already" in capsys.readouterr().out
    assert stamps() == before
    changed = runs / "p0" / "net0.h5"
    changed.unlink()
    write(changed, 9)  # another file of that name: results of its own
    os.utime(runs / "p0" / "net1.h5", ns=(1, 1))  # of another age, and the same bytes
    assert one_process() == 0
    assert "1 run analysed, 3 there already" in capsys.readouterr().out
    assert len({path.parent for path in stamps()}) == 5
    assert one_process("--again") == 0
    assert "4 runs analysed" in capsys.readouterr().out


def test_other_settings_are_other_results(runs, capsys):
    one_process()
    capsys.readouterr()
    for words in (("--method", "svd"), ("-k", "3"), ("--samples", "8"), ("--drop", "mlp")):
        assert one_process(*words) == 0
        assert "4 runs analysed, 0 there already" in capsys.readouterr().out
    assert one_process("--memory", "0.5") == 0  # which decides what fits, and is no such setting
    assert "0 runs analysed" in capsys.readouterr().out
    assert batch.main(["-o", "results", "--report-only", "--backend", "cpu"]) == 0
    report = json.loads(Path("results/population/population.json").read_text())
    assert sorted(run["path"] for run in report["runs"]) == sorted(map(str, runs.glob("*/*.h5")))


def test_the_version_is_part_of_what_results_are_made_of(monkeypatch):
    before = asked(CPU)
    monkeypatch.setattr("ntkspec.population.results.__version__", "9")
    assert asked(CPU) != before


def test_bad_files_do_not_stop_the_rest(runs, capsys):
    bad = runs / "p1" / "bad.h5"
    bad.write_bytes((runs / "p1" / "net0.h5").read_bytes()[:4000])
    os.mkfifo(runs / "p1" / "pipe.h5")
    assert batch.main(["runs", "-o", "results", "--share", "0/1", "--backend", "cpu"]) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line.partition(", got ")[0] for line in lines] == [
        f"failed: {bad}: expected a readable HDF5 file",
        f"failed: {runs / 'p1' / 'pipe.h5'}: expected a run file",
    ]
    assert "4 runs analysed, 0 there already, 2 failed" in captured.out
    (runs / "p1" / "pipe.h5").unlink()
    assert batch.main(["-o", "results", "--report-only", "--backend", "cpu"]) == 0
    report = json.loads(Path("results/population/population.json").read_text())
    assert [failure["path"] for failure in report["failures"]] == [str(bad), str(runs / "p1" / "pipe.h5")]
    shutil.copy(runs / "p1" / "net0.h5", bad)  # mended, it is analysed, and forgotten among the failures
    assert one_process() == 0
    assert [json.loads(path.read_text())["path"] for path in Path("results/failed").iterdir()] == [
        str(runs / "p1" / "pipe.h5")
    ]


def test_files_that_several_ways_lead_to_are_one(runs):
    (runs / "loop").symlink_to(".")
    (runs / "p0" / "again.h5").symlink_to("net0.h5")
    odd = runs / "[x].h5"
    shutil.copy(runs / "p0" / "net1.h5", odd)
    files = {str(path) for path in (*(runs / "p0").glob("net*.h5"), *(runs / "p1").glob("*.h5"), odd)}
    assert set(run_files(["runs", "runs/**/*.h5", str(odd), "."])) == files


def test_a_result_that_was_damaged_is_made_again(runs, capsys):
    one_process()
    folders = [path.parent for path in Path("results").glob("*/made.json")]
    (folders[0] / "report.json").unlink()
    (folders[1] / "spectra.csv").unlink()
    (folders[2] / "made.json").write_text('{"format": "ntkspec-results", "stem": 5, "seen": []}')
    capsys.readouterr()
    assert one_process() == 0
    assert "3 runs analysed, 1 there already" in capsys.readouterr().out
    assert len(list(all_made(Path("results")))) == 4


def test_a_report_that_was_cut_off_emptied_or_overwritten_is_made_again(runs, capsys):
    """One that is in its place through a link, as git-annex has it, is not."""
    one_process()
    cut, empty, other, link = sorted(Path("results").glob("*/report.json"))
    whole = [path.read_bytes() for path in (cut, empty, other)]
    cut.write_bytes(whole[0][:500])
    empty.write_bytes(b"")
    other.write_text('{"format": "another"}\n')
    link.rename("elsewhere.json")
    link.symlink_to(Path("elsewhere.json").absolute())
    capsys.readouterr()
    assert one_process() == 0
    assert "3 runs analysed, 1 there already" in capsys.readouterr().out
    assert {read_report(path).runs[0].label for path in (cut, empty, other)} == {"net0", "net1"}


def test_kernels_among_the_run_files_are_passed_over(runs, capsys):
    """They are no runs that failed, and no page lists them, though an older version noted them as such."""
    with ntkspec.open_run(runs / "p0" / "net0.h5") as run:
        kernels = ntkspec.write_kernels(runs / "p0" / "kernels.h5", {"total": run["end"].jacobian})
    note_failure(Path("results"), Failed(str(kernels.resolve()), "no run file"), RunSettings())
    assert one_process() == 0
    captured = capsys.readouterr()
    assert captured.err == f"passed over: {kernels}: a file of kernels\n"
    assert "4 runs analysed, 0 there already, 0 failed" in captured.out
    assert not list(Path("results/failed").iterdir())
    assert one_process("-q") == 0
    assert capsys.readouterr() == ("", "")


def test_the_report_is_of_all_in_the_folder(runs):
    words = ["-o", "results", "--backend", "cpu"]
    one_process()
    assert len(reported("runs/p0", *words)) == 4  # though two of them were asked for
    assert len(reported("runs/p0", *words, "--report-only")) == 2


def test_shares_are_all_files_once(runs):
    for share in ("0/3", "1/3", "2/3"):
        words = ["runs/**/*.h5", "-o", "results", "--share", share, "--backend", "cpu"]
        assert batch.main(words) == 0
    assert len(list(all_made(Path("results")))) == 4


def test_pages_on_request(runs):
    """Also of results that are there without."""
    shutil.rmtree(runs / "p1")
    assert one_process() == 0
    assert one_process("--pages") == 0
    (first, second) = (path.parent for path in Path("results").glob("*/made.json"))
    for folder in (first, second):
        assert {"index.html", "figures", "report.json"} <= set(os.listdir(folder))


def test_runs_that_were_moved_are_known(runs, capsys):
    one_process()
    before = stamps()
    runs.rename(runs.parent / "moved")
    words = ["moved", "-o", "results", "--backend", "cpu"]
    assert batch.main([*words, "--share", "0/1"]) == 0
    assert "0 runs analysed, 4 there already" in capsys.readouterr().out
    assert {path: stamp for path, stamp in stamps().items() if path.name != "made.json"} == {
        path: stamp for path, stamp in before.items() if path.name != "made.json"
    }
    assert remaining([str(path) for path in (runs.parent / "moved").glob("*/*.h5")], JOB) == []
    assert reported(*words, "--report-only") == {folder.parent.name for folder in before}


def test_the_report_is_of_files_as_they_are(runs):
    """Also of one whose older bytes came back, with their time."""
    path = runs / "p0" / "net0.h5"
    shutil.copy2(path, "old.h5")
    one_process()
    first = identify(path, CPU).folder(Path("results")).name
    write(path.with_name("new.h5"), 9).replace(path)
    one_process()
    second = identify(path, CPU).folder(Path("results")).name
    words = ["runs", "-o", "results", "--backend", "cpu", "--report-only"]
    assert second in reported(*words)
    assert first not in reported(*words)
    shutil.copy2("old.h5", path)
    one_process()
    assert first in reported(*words)
    assert second not in reported(*words)


def test_another_file_of_the_same_size_and_age_is_another_file(runs):
    """`touch -r` and `cp -p` can make one."""
    path, other = runs / "p0" / "net0.h5", write(runs.parent / "other.h5", 9)
    one_process()
    first = identify(path, CPU).folder(Path("results")).name
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    one_process()
    now = reported("runs", "-o", "results", "--backend", "cpu", "--report-only")
    assert identify(path, CPU).folder(Path("results")).name in now
    assert first not in now


def reported(*words):
    assert batch.main(list(words)) == 0
    report = json.loads(Path("results/population/population.json").read_text())
    return {run["folder"] for run in report["runs"]}


def test_a_report_that_lost_its_page_is_made_again(runs):
    one_process()
    words = ["-o", "results", "--backend", "cpu", "--report-only"]
    batch.main(words)
    page = Path("results/population/index.html")
    before = page.stat().st_mtime_ns
    words = ["runs", *words[:-1]]
    batch.main(words)
    assert page.stat().st_mtime_ns == before
    page.unlink()
    batch.main(words)
    assert page.is_file()


def test_failures_are_of_settings_and_of_files_as_they_are(runs):
    one_process()
    assert one_process("--method", "svd", "--memory", "1e-6") == 1  # too little for anything
    assert len(list(Path("results/failed").iterdir())) == 4
    words = ["runs", "-o", "results", "--backend", "cpu"]
    batch.main([*words, "--report-only"])
    assert json.loads(Path("results/population/population.json").read_text())["failures"] == []
    assert one_process("--method", "svd") == 0
    assert list(Path("results/failed").iterdir()) == []


def test_what_was_known_of_a_file_that_is_bad_now_is_not_reported(runs):
    one_process()
    bad = runs / "p0" / "net0.h5"
    folder = identify(bad, CPU).folder(Path("results")).name
    bad.write_bytes(b"no run file")
    assert one_process() == 1
    words = ["runs", "-o", "results", "--backend", "cpu"]
    assert folder not in reported(*words, "--report-only")
    failures = json.loads(Path("results/population/population.json").read_text())["failures"]
    assert [failure["path"] for failure in failures] == [str(bad)]


def test_what_does_not_hold_is_not_forgotten(runs, monkeypatch, capsys):
    monkeypatch.setattr("ntkspec.population.batched.failures", lambda report: ("2 + 2 = 5",))
    assert one_process() == 1
    assert capsys.readouterr().err == "warning: 2 + 2 = 5\n" * 4
    assert one_process() == 1  # nothing is left to do, here and below
    assert batch.main(["runs", "-o", "results", "--backend", "cpu"]) == 1
    report = json.loads(Path("results/population/population.json").read_text())
    assert report["broken"] == ["2 + 2 = 5"] * 4
    assert "What does not hold" in Path("results/population/index.html").read_text()


def test_copies_share_their_results(runs, capsys):
    shutil.copy(runs / "p0" / "net0.h5", runs / "p1" / "net0.h5")
    one_process()
    assert "3 runs analysed, 1 there already" in capsys.readouterr().out
    assert one_process() == 0
    assert "0 runs analysed, 4 there already" in capsys.readouterr().out


def test_copies_under_other_names_are_other_runs(runs):
    shutil.copy(runs / "p0" / "net0.h5", runs / "p0" / "copy.h5")
    one_process()
    assert len(reported("-o", "results", "--backend", "cpu", "--report-only")) == 5


def test_what_is_somebody_elses_stays(runs, capsys):
    made = identify(runs / "p0" / "net0.h5", CPU)
    folder = made.folder(Path("results"))
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("mine")
    assert one_process() == 1
    assert "thesis.txt" in capsys.readouterr().err
    assert os.listdir(folder) == ["thesis.txt"]


def test_two_runs_whose_hashes_begin_alike(runs, capsys):
    one_process()
    made = identify(runs / "p0" / "net0.h5", CPU)
    place = made.folder(Path("results")) / "made.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "key": made.key[:8] + "0" * 24}))
    assert one_process("--again") == 1
    assert "rename one of the two run files" in capsys.readouterr().err


def test_a_file_that_changes_meanwhile(runs, monkeypatch):
    path = runs / "p0" / "net0.h5"

    def slow(*words, **named):
        os.utime(path, ns=(5, 5))
        return analyze_run(*words, **named)

    monkeypatch.setattr("ntkspec.population.batched.analyze_run", slow)
    with pytest.raises(ntkspec.errors.RunFileError, match="stays as it is while it is analysed"):
        analyse(RunJob(str(path), str(runs.parent / "results"), CPU))
    assert not (runs.parent / "results").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "batch: expected run files, got none"),
        (["none/*.h5"], "'none/*.h5': expected a run file, a folder of some, or a pattern"),
        ([""], "'': expected a run file, a folder of some, or a pattern"),
        (["runs", "nowhere.h5"], "'nowhere.h5': expected a run file"),
        (["runs", "--dry-run", "--profile", "nope.toml"], "--profile: expected cpu, gpu or a TOML file"),
        (["runs", "--share", "3/3"], "--share: expected I/N with 0 <= I < N, got '3/3'"),
        (["runs", "--share", "-1/3"], "expected one argument"),
        (["runs", "--share", "a/b"], "--share: expected I/N"),
        (["runs", "--share", "0/2", "--workers", "2"], "expected no --workers beside it"),
        (["runs", "--share", "0/2", "--cluster", "slurm"], "expected no --cluster beside it"),
        (["runs", "--share", "0/2", "--kernels", "k"], "--share: expected no --kernels beside it"),
        (["runs", "--kernels", "k", "--dry-run"], "--kernels: expected no --dry-run beside it"),
        (["runs", "--report-only", "--pages"], "--report-only: expected no --pages beside it"),
        (["runs", "--kernels", "runs/p0/net0.h5"], "net0.h5: expected a folder for kernels, got a file"),
        (["runs", "--kernels", ""], "--kernels: expected the path of a file or folder, got ''"),
        (["runs", "-o", ""], "--output: expected the path of a file or folder, got ''"),
        (["runs", "--samples", "3", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["runs", "--precision", "float32", "--method", "svd"], "precision float32: expected method gram or"),
        (["runs", "--outputs", "-1"], "--outputs: expected trace, full or an output's number, got '-1'"),
        (["runs", "--kernels", "k"], "got net0 twice"),
        (["runs", "--cluster", "slurm"], "expected --workers beside it"),
        (["runs", "--cluster", "moon"], "expected local, slurm or a scheduler's address"),
        (["runs", "--seed", "1"], "--seed: expected --samples beside it"),
        (["runs", "-o", "runs/p0/net0.h5"], "expected a folder"),
        (["--report-only", "-o", "empty"], "empty: expected folders of results, got none"),
        (["runs", "--workers", "0"], "expected a positive whole number"),
    ],
)
def test_refusals(runs, words, said, capsys):
    assert exit_code(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        (["--report-only", "--workers", "2", "--again"], ["--again", "--workers"]),
        (["runs/p0", "--kernels", "k", "--method", "svd", "--backend", "cpu"], ["--output", "--method"]),
        (["--report-only", "--workers", "2", "-q"], []),
    ],
)
def test_options_without_effect_are_named(runs, words, idle, capsys):
    one_process("-q")
    capsys.readouterr()
    assert batch.main([*words, "-o", "elsewhere" if "--kernels" in words else "results"]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in warned] == idle


def exit_code(words):
    try:
        return batch.main(words)
    except SystemExit as stop:  # argparse
        return stop.code


@pytest.mark.parametrize(
    ("words", "gpus", "profile"),
    [
        ("", 1, "gpu"), ("", 0, "cpu"), ("--backend cpu", 1, "cpu"), ("--backend gpu", 0, "gpu"),
        ("--cluster slurm --workers 2", 1, "cpu"),  # the GPU of this machine is none of the jobs'
        ("--cluster slurm --workers 2 --backend gpu", 0, "gpu"),
        ("--cluster tcp://there:1 --backend gpu", 1, None), ("--profile cpu --backend gpu", 1, "cpu"),
    ],
)  # fmt: skip
def test_workers_get_a_gpu_where_one_is_asked_for_or_here(words, gpus, profile, runs, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0" * gpus)
    monkeypatch.setattr(batch_request, "find_spec", lambda name: name)
    assert batch_request.read_batch(["runs", *words.split()]).cluster.profile == profile


def test_without_dask(runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert batch.main(["runs", "-o", "results"]) == 2
    assert 'run: pip install "ntkspec[cluster]"' in capsys.readouterr().err
    assert one_process() == 0


@needs.dask
def test_a_dry_run_does_nothing(runs, capsys):
    one_process()
    write(runs / "p2" / "new.h5", 7)
    capsys.readouterr()
    before = stamps()
    words = ["runs", "-o", "results", "--backend", "cpu", "--dry-run", "--cluster", "slurm", "--workers", "3"]
    assert batch.main(words) == 0
    out = capsys.readouterr().out
    assert "5 files, of which to be analysed: 1" in out
    assert str(runs / "p2" / "new.h5") in out
    assert "3 jobs of SLURM" in out
    assert "#SBATCH --cpus-per-task=4" in out
    assert stamps() == before
    assert not Path("slurm-logs").exists()


def start(*words):
    command = [sys.executable, "-m", "ntkspec.batch", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (there := what()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return there


def command_of(process):
    """Return the command line of a process; "" if it has ended, as one that looks at a file may have."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


@needs.dask
def test_workers_one_of_which_is_killed_and_then_the_command(runs):
    """Nothing is lost, nothing that was finished is done again, and no process is left."""
    for seed in range(10, 18):
        write(runs / "many" / f"net{seed}.h5", seed, samples=200)
    words = ("runs/**/*.h5", "-o", "results", "--backend", "cpu", "--workers")
    with start(*words, "2") as first:
        assert wait_for(lambda: len(list(all_made(Path("results")))) > 1)
        family = psutil.Process(first.pid).children(recursive=True)
        workers = [process for process in family if "spawn_main" in command_of(process)]
        assert len(workers) == 2
        workers[0].kill()
        count = len(list(all_made(Path("results"))))
        assert wait_for(lambda: len(list(all_made(Path("results")))) > count + 1)
        family = psutil.Process(first.pid).children(recursive=True)
        first.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    before = stamps()
    with start(*words, "1") as second:
        out, err = second.communicate(timeout=120)
    assert (second.returncode, err) == (0, "")
    there = len({path.parent for path in before if path.name == "made.json"})
    assert f"{12 - there} runs analysed, {there} there already, 0 failed" in out
    assert {path: stamp for path, stamp in stamps().items() if path in before} == before
    assert len(list(all_made(Path("results")))) == 12


@needs.dask
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_is_ended(runs, ending):
    for seed in range(10, 26):
        write(runs / "many" / f"net{seed}.h5", seed, samples=200)
    with start("runs/**/*.h5", "-o", "results", "--workers", "1", "--backend", "cpu") as ended:
        assert wait_for(lambda: list(all_made(Path("results"))))
        family = psutil.Process(ended.pid).children(recursive=True)
        (os.killpg if ending == signal.SIGINT else os.kill)(ended.pid, ending)  # Ctrl-C reaches all
        out, err = ended.communicate(timeout=60)
    assert ended.returncode == 128 + ending
    assert (out, err) == ("", {signal.SIGINT: "interrupted\n", signal.SIGTERM: "terminated\n"}[ending])
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert [path for path in Path("results").iterdir() if path.name.startswith(".")] == []


@needs.dask
def test_kernels_by_workers(runs):
    with start("runs/p0", "--kernels", "kernels", "--workers", "1", "--backend", "cpu") as done:
        out, err = done.communicate(timeout=120)
    assert (done.returncode, err) == (0, "")
    assert out.splitlines() == ["kernels/net0-end.h5", "kernels/net1-end.h5"]
    with ntkspec.open_run("runs/p0/net0.h5") as run:
        jacobian = run.snapshots[0].jacobian
        parts = {"total": jacobian, "no_grid": jacobian.without("grid"), "grid": jacobian.only("grid")}
        before = Path("kernels/net0-end.h5").stat().st_mtime_ns
        ntkspec.write_kernels("kernels/net0-end.h5", parts, backend="cpu")  # refuses a file of others
    assert Path("kernels/net0-end.h5").stat().st_mtime_ns == before


def test_the_array_script_of_the_page(runs, monkeypatch):
    """As it stands in docs/cluster.md, submitted to a stand-in for SLURM, and reported on."""
    script = re.search(r"```sh\n(#!/bin/bash\n.*?)```", DOCS.read_text(), re.DOTALL)[1]
    assert len(script.splitlines()) <= 10
    monkeypatch.setenv(
        "PATH", f"{Path(sys.executable).parent}{os.pathsep}{machine.slurm(runs.parent / 'bin')}"
    )
    Path("array.sh").write_text(script.replace("0-19", "0-2"))
    subprocess.run(["sbatch", "array.sh"], check=True, capture_output=True)
    assert wait_for(lambda: len(list(all_made(Path("results")))) == 4)
    assert batch.main(["-o", "results", "--report-only"]) == 0
    assert Path("results/population/index.html").is_file()


def test_settings_travel(runs):
    """A job may be analysed with any settings, each with results of its own."""
    made = {identify(runs / "p0" / "net0.h5", replace(CPU, seed=seed, samples=3)).key for seed in range(3)}
    assert len(made) == 3
