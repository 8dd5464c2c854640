"""A study from pictures and meshes to figures, small: made once, gone on with, refused in a line."""

import os
import re
import runpy
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
from PIL import Image

from analysis.paper import command
from analysis.paper.packed import load
from analysis.paper.sources import sources_in
from ntkspec.cluster.workers import Cluster
from ntkspec.errors import TrainingError, UsageError
from ntkspec.nets import population, training
from ntkspec.population.jobs import Job, run_all, work

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "analysis" / "paper"
PICTURE, MESH = ROOT / "data" / "pictures" / "astronaut.png", ROOT / "data" / "meshes" / "knot.ply"
RESULTS = ROOT / "analysis" / "results" / "paper"
SMALL = {"side": 24, "iterations": 20, "batch": 100, "samples": 40, "width": 16}


@pytest.fixture(scope="module")
def cluster():
    """A scheduler with a worker for all studies here: to start one takes seconds."""
    with machine.scheduler() as scheduler, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ntkspec.cluster.workers.SECONDS", machine.PATIENT)
        scheduler.more(1)
        yield Cluster(scheduler.address)


def script(name, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"analysis.paper.{name}", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def in_process(monkeypatch, name, *words):
    """The same without a process of its own, for its time; the exit code."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    return exit.value.code


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(PICTURE, folder)
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))).save(folder / "ramp.png")  # grey
    return folder


def job(study, sources, preset="mpe-coarse", **settings):
    return Job(study, tuple(sources), {"preset": preset, **SMALL, **settings}, {preset: {}})


@pytest.mark.parametrize(
    ("words", "visible", "expected"),  # profile, workers, threads
    [
        ("", "", (None, 2, 1)),
        ("--device cpu", "GPU-1,GPU-2", (None, 2, 1)),
        ("", "GPU-1,GPU-2", ("gpu", None, None)),  # a worker a GPU
        ("--device cuda --workers 1", "GPU-1", ("gpu", 1, None)),
        ("--profile cpu", "GPU-1", ("cpu", 2, 1)),
        ("--cluster slurm --workers 4", "GPU-1", (None, 4, 1)),  # those of the jobs' machines are not known
        ("--cluster slurm --workers 4 --device cuda", "", ("gpu", 4, None)),
        ("--cluster tcp://there:1 --device cuda", "", (None, None, 1)),  # workers keep what they were given
    ],
)
def test_workers_are_where_the_device_is(words, visible, expected, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    asked = command.pictures_parser("", None).parse_args(["pictures", "-o", "study", *words.split()])
    found = command.cluster_of(asked)
    assert (found.profile, found.workers, found.threads) == expected


def test_every_job_of_a_study_is_told_the_device(monkeypatch):
    made = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    monkeypatch.setattr(command, "run_all", lambda jobs, cluster: made.extend(jobs))
    asked = command.pictures_parser("", None).parse_args(["pictures", "-o", "study", "--device", "cuda"])
    command.make([job(Path("study"), [PICTURE]), job(Path("study"), [PICTURE], "ffe-low")], asked)
    assert [each.device for each in made] == ["cuda", "cuda"]


def test_a_device_that_a_worker_has_not_is_refused(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    asked = replace(job(tmp_path / "study", [pictures / "ramp.png"]), device="cuda")
    with pytest.raises(UsageError, match="expected cpu, since no CUDA device is here, got cuda"):
        work(asked)


def test_full_size_is_a_study_of_its_own():
    """`make paper DEVICE=cuda SIDE=512`; nothing is run."""
    words = ["make", "-n", "-o", ".venv.stamp", "paper", "DEVICE=cuda", "SIDE=512", "PICTURES=p", "MESHES=m"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if "analysis.paper." in line]
    studies = [line for line in lines if " -o paper-512/" in line]
    learnt = [line for line in studies if "runs3d" not in line and "weights" not in line]
    assert len(learnt) == 7
    assert all("--side 512 --device cuda" in line for line in learnt)
    assert lines[-1].endswith("page paper-512 --results paper-512/results --page paper-512/paper.md")


def test_what_is_there_is_not_made_again(tmp_path, pictures, cluster):
    made = job(tmp_path / "study", sources_in(pictures, {".png"}))
    work(made)
    assert made.missing() == ()
    files = sorted((tmp_path / "study").glob("*/*"))
    assert [path.name for path in files] == ["mpe-coarse.h5", "mpe-coarse.json"] * 2
    before = {path: path.stat().st_mtime_ns for path in files}
    run_all([made], cluster)
    assert before == {path: path.stat().st_mtime_ns for path in files}
    outcomes = load(tmp_path / "study")
    files[1].unlink()  # an outcome: analysed again, not trained
    work(made)
    assert files[0].stat().st_mtime_ns == before[files[0]]
    files[2].unlink()  # a run file and its outcome: trained alone, to the same
    files[3].unlink()
    work(made)
    again = load(tmp_path / "study")
    assert [each.item for each in again] == [each.item for each in outcomes]
    for one, other in zip(outcomes, again, strict=True):
        assert other.end.metrics["psnr_db"] == pytest.approx(one.end.metrics["psnr_db"], abs=0.05)
        # a value that the file kept is the same to the bit, one of a network trained alone to rounding


def test_a_bad_picture_does_not_stop_the_others(tmp_path, pictures, cluster, monkeypatch):
    """Paths are as they were typed in another folder than that of the worker."""
    (pictures / "broken.png").write_bytes(b"not a picture")
    monkeypatch.chdir(tmp_path)
    made = job(Path("study"), sources_in(Path("pictures"), {".png"}), "baseline")
    with pytest.raises(UsageError, match=r"broken\.png: expected a readable picture"):
        run_all([made], cluster)
    assert [path.stem for path in made.missing()] == ["broken"]
    assert len(load(tmp_path / "study")) == 2


@pytest.mark.parametrize("analysed", [True, False])
def test_a_folder_of_other_settings_is_refused(tmp_path, pictures, analysed, cluster):
    work(job(tmp_path / "study", [pictures / "ramp.png"], "ffe-low"))
    for changed in ({"iterations": 21}, {"sigma": 3.0}, {"samples": 41}, {"width": 17}):
        if not analysed:
            next((tmp_path / "study").glob("*/*.json")).unlink()
        other = job(tmp_path / "study", [pictures / "ramp.png"], "ffe-low", **changed)
        with pytest.raises(UsageError, match="expected a run of these settings"):
            run_all([other], cluster) if analysed else work(other)


def test_what_another_process_made_meanwhile_is_checked(tmp_path, pictures):
    """A worker finds nothing left to do; an `IndexError` came."""
    made = job(tmp_path / "study", [pictures / "ramp.png"], "ffe-low")
    work(made)
    assert work(made).startswith("ffe-low, ramp: trained in ")
    with pytest.raises(UsageError, match="expected a run of these settings, or none, got one that differs"):
        work(job(tmp_path / "study", [pictures / "ramp.png"], "ffe-low", width=17))


def test_a_study_grows(tmp_path, pictures, capfd, cluster):
    """A picture that comes to the others changes their batches and seeds; they stay as they are."""
    study = tmp_path / "study"
    ramp = job(study, [pictures / "ramp.png"], seed=0)
    work(ramp)
    before = load(study)
    jobs = [job(study, [path], seed=seed) for seed, path in enumerate(sources_in(pictures, {".png"}))]
    run_all(jobs, cluster)
    after = load(study)
    assert [(each.item, each.config["seed"]) for each in after] == [("astronaut", 0), ("ramp", 0)]
    assert after[1:] == before
    run_all([ramp], cluster)
    assert "also holds astronaut: 1 not asked for" in capfd.readouterr().out


def test_one_picture_under_two_names_is_refused(tmp_path, pictures, cluster):
    shutil.copy(pictures / "ramp.png", pictures / "slope.png")
    made = job(tmp_path / "study", sources_in(pictures, {".png"}), "baseline")
    with pytest.raises(
        UsageError, match=r"slope\.png: expected a picture or mesh that differs from the others"
    ):
        run_all([made], cluster)
    assert not (tmp_path / "study").exists()


def test_another_picture_of_the_same_name_is_refused(tmp_path, pictures, cluster):
    first = job(tmp_path / "study", [pictures / "ramp.png"], "ffe-low")
    work(first)
    Image.fromarray(np.full((40, 40), 9, dtype=np.uint8)).save(pictures / "ramp.png")
    with pytest.raises(UsageError, match="differs in its picture or mesh"):
        run_all([first], cluster)


def test_too_many_samples_are_refused_before_training(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(population, "train_population", lambda *_, **__: pytest.fail("it was trained"))
    kernels = {"all": {}, "more": {"samples": 600}}
    made = Job(tmp_path, (pictures / "ramp.png",), {"preset": "ffe-low", **SMALL}, kernels)
    with pytest.raises(UsageError, match="1 to 576"):
        work(made)


@pytest.mark.parametrize(
    "damage", [b'{"version": 3, "outc', b'{"version": 3, "outcome": {}}', b"\xff\xfe", b"[]"]
)
def test_a_damaged_outcome_is_made_again(tmp_path, damage):
    work(job(tmp_path, [PICTURE], "baseline"))
    before = load(tmp_path)
    place = next(tmp_path.glob("*/*.json"))
    place.write_bytes(damage)
    (place.parent / "notes.json").write_text("[1, 2]")  # of another program
    assert load(tmp_path) == before
    foreign = tmp_path / "elsewhere" / "baseline.json"
    foreign.parent.mkdir()
    shutil.copy(place, foreign)  # it says that it is of the astronaut
    assert load(tmp_path) == before


def test_runs_of_different_settings_are_not_averaged(tmp_path, pictures):
    work(job(tmp_path, [PICTURE], "baseline"))
    work(job(tmp_path, [pictures / "ramp.png"], "baseline", iterations=10))
    with pytest.raises(UsageError, match="ramp, baseline: expected the settings of astronaut"):
        load(tmp_path)


def test_figures_of_half_a_study_are_refused(tmp_path, pictures, monkeypatch, capfd):
    work(job(tmp_path / "s", [PICTURE], "baseline"))
    monkeypatch.chdir(tmp_path)
    for words in (("figures", "s", "s"), ("scaling_table", "s"), ("claims", "s", "s", "s")):  # fmt: skip
        assert in_process(monkeypatch, *words) == 2
        assert re.fullmatch(r"error: astronaut: expected a run [^\n]*\n", capfd.readouterr().err), words
    assert not list(tmp_path.glob("*.png"))


def test_the_same_study_is_the_same_to_the_bit(tmp_path, monkeypatch, capfd):
    for place, seed in (("one", 0), ("two", 0), ("three", 1)):
        work(job(tmp_path / place, [PICTURE], "baseline", seed=seed))
    capfd.readouterr()
    assert in_process(monkeypatch, "same", tmp_path / "one", tmp_path / "two") == 0
    assert capfd.readouterr().out == "1 of 1 run files are the same to the bit\n"
    assert in_process(monkeypatch, "same", tmp_path / "one", tmp_path / "three") == 0
    assert capfd.readouterr().out.splitlines() == [
        "0 of 1 run files are the same to the bit",
        "  astronaut/baseline.h5 differs",
    ]
    assert in_process(monkeypatch, "same", tmp_path / "one", tmp_path / "nowhere") == 2


def test_one_that_diverges_does_not_stop_the_others(tmp_path, pictures, monkeypatch):
    real = training.train

    def diverging(config, tasks, **options):
        values = tasks[0].values
        if len(tasks) > 1 or np.array_equal(values[:, 0], values[:, 1]):  # together, and of the grey ramp
            raise TrainingError("loss", expected="finite", got="inf", remedy="lower lr")
        return (real(config, tasks[0], kept=options["kept"]),)

    monkeypatch.setattr(population, "train_population", diverging)
    made = job(tmp_path / "study", sources_in(pictures, {".png"}), "baseline")
    with pytest.raises(TrainingError):
        work(made)
    assert [each.item for each in load(tmp_path / "study")] == ["astronaut"]


def test_a_run_says_what_trained_it(tmp_path):
    work(job(tmp_path, [PICTURE], "baseline"))
    (found,) = load(tmp_path)
    assert found.config["trained_by"] == found.made
    assert {"machine", "versions", "commit"} <= set(found.made)


def test_what_a_user_should_know_of_a_picture_is_said(tmp_path, pictures, capfd):
    work(job(tmp_path / "study", [pictures / "ramp.png"], "baseline", side=48, iterations=2))
    assert "40 pixels on its shorter side: enlarged to 48" in capfd.readouterr().out


PRESETS = ("baseline", "ffe-low")
# Given a signal, it stops itself when it would print the line of the first run. On a busy machine it may have
# ended before another process sees that this run is done.
STUDY = f"""
import os, signal, sys
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
from analysis.paper import command
from pathlib import Path
from ntkspec.cluster.workers import Cluster
from ntkspec.population import workers
from ntkspec.population.jobs import Job, run_all
if sys.argv[4:]:
    workers.print = lambda *words, **options: os.killpg(0, int(sys.argv[4]))
small, folder, picture = {SMALL!r}, Path(sys.argv[2]), Path(sys.argv[3])
jobs = [Job(folder, (picture,), {{"preset": p, **small}}, {{p: {{}}}}) for p in {PRESETS!r}]
command.run(lambda: run_all(jobs, Cluster(workers=1, threads=1)))
"""


@needs.dask
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_was_stopped_goes_on(tmp_path, ending, cluster):
    """Stopped once one of two runs has its outcome, and the file of the next is half written."""
    study = tmp_path / "study"
    words = [sys.executable, "-c", STUDY, ROOT, study, PICTURE, str(int(ending))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = study / "astronaut" / "baseline.json"
    stopped = subprocess.run(
        words,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        timeout=2 * machine.PATIENT,
        check=False,
    )
    assert stopped.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[ending]
    assert stopped.stderr == {signal.SIGINT: "interrupted\n", signal.SIGKILL: ""}[ending]
    kept = {path: path.stat().st_mtime_ns for path in (first, first.with_suffix(".h5"))}
    for path in first.parent.glob("ffe-low*"):  # which a worker may have finished before it ended
        path.unlink()
    (first.parent / "ffe-low.h5.part").write_bytes(first.with_suffix(".h5").read_bytes()[:5000])
    run_all([job(study, [PICTURE], preset) for preset in PRESETS], cluster)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == ["baseline.h5", "baseline.json", "ffe-low.h5", "ffe-low.json"]
    assert [each.name for each in load(study)] == ["baseline", "ffe-low"]


@needs.dask
def test_workers_end_with_the_process_that_started_them(tmp_path):
    words = [sys.executable, "-c", STUDY, ROOT, tmp_path / "study", PICTURE]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, start_new_session=True) as killed:
        family, deadline = [], time.monotonic() + machine.PATIENT
        while len(family) < 2 and time.monotonic() < deadline:  # a worker, and multiprocessing's tracker
            time.sleep(0.05)
            family = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
    assert len(family) == 2
    assert psutil.wait_procs(family, timeout=60)[1] == []


def test_run_files_may_go_once_they_have_outcomes(tmp_path):
    work(job(tmp_path, [PICTURE], "baseline"))
    before = load(tmp_path)
    next(tmp_path.glob("*/*.h5")).unlink()
    assert load(tmp_path) == before


def test_grey_pictures_learn_three_channels(tmp_path, pictures):
    work(job(tmp_path / "study", [pictures / "ramp.png"], "baseline"))
    (found,) = load(tmp_path / "study")
    assert found.config["model"]["outputs"] == 3
    assert found.config["task"]["image"] == "ramp.png"


def test_one_training_may_have_several_kernels(tmp_path):
    kernels = {"all": {}, "fewer": {"samples": 10}, "patch": {"sampling": "patch"}}
    made = Job(tmp_path, (PICTURE,), {"preset": "ffe-low", **SMALL}, kernels, kept=frozenset({"init", "end"}))
    work(made)
    found = {each.name: each for each in load(tmp_path)}
    assert {name: each.samples for name, each in found.items()} == {"all": 40, "fewer": 10, "patch": 36}
    assert set(found["all"].stages) == {"init", "end"}
    assert len({each.end.metrics["psnr_db"] for each in found.values()}) == 1


@needs.embree
def test_meshes(tmp_path):
    settings = {"preset": "mpe-coarse", "mesh": str(MESH), "points": 500, "iterations": 10, "batch": 100,
                "samples": 40, "width": 16}  # fmt: skip
    work(Job(tmp_path, (MESH,), settings, {"mpe-coarse": {}}))
    (found,) = load(tmp_path)
    assert found.config["task"]["mesh"] == "knot.ply"
    assert 0 <= found.end.metrics["iou"] <= 1
    assert set(found.end.spectra) == {"total", "no_grid", "grid"}


def test_every_figure_from_run_files_alone(tmp_path, pictures, monkeypatch, capfd):
    study = tmp_path / "study"
    for preset in ("baseline", "ffe-low", "ffe-medium", "ffe-high", "mpe-coarse", "mpe-fine"):
        work(job(study, sources_in(pictures, {".png"}), preset))
    for path in study.glob("*/*.json"):
        path.unlink()
    assert in_process(monkeypatch, "figures", study, study, "-o", tmp_path) == 0
    assert in_process(monkeypatch, "fig3_pictures", study, "-o", tmp_path / "fig3.png") == 0
    for number in (2, 3, 4, 5):
        with Image.open(tmp_path / f"fig{number}.png") as figure:
            assert min(figure.size) > 300
    capfd.readouterr()
    assert in_process(monkeypatch, "scaling_table", study) == 0
    table = capfd.readouterr().out.splitlines()
    assert len(table) == 2 + 6
    assert table[2].startswith("| baseline | - |")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs2d", "nowhere", "-o", "s"), "nowhere: expected a folder of"),
        (("runs2d", "meshes", "-o", "s"), "files in it, got none"),
        (("runs2d", "pictures", "-o", "s", "--together", "0"), "expected a positive whole number, got '0'"),
        (("sweeps", "pictures", "-o", "s", "--count", "-1"), "expected a positive whole number, got '-1'"),
        (("activations", "pictures", "-o", "s"), "--results"),
        (("held_out", "pictures", "-o", "s", "--results", PICTURE), "expected a folder, or none yet"),
        (("alignment", "pictures", "-o", "s", "--results", PICTURE), "expected a folder, or none yet"),
        (("costs", "pictures", "--results", PICTURE), "expected a folder, or none yet"),
        (
            ("costs", "pictures", "--results", "r", "--batch", "0"),
            "expected a positive whole number, got '0'",
        ),
        (("runs3d", "pictures", "-o", "s"), ".ply"),
        pytest.param(
            ("runs3d", "meshes", "-o", "s", "--workers", "1"),
            "open.ply: expected a watertight mesh",
            marks=[needs.dask, needs.embree],
        ),
        (("runs3d", "meshes", "-o", "s", "--azimuth", "knot"), "expected NAME=DEGREES, got 'knot'"),
        (
            ("runs2d", "pictures", "-o", "s", "--device", "cuda"),
            "--device: expected cpu, since no GPU is here",
        ),
        (("runs2d", "pictures", "-o", "s", "--device", "cuda:1"), "--device: invalid choice: 'cuda:1'"),
        (("runs3d", MESH.parent, "-o", "s", "--azimuth", "knt=3"), "expected names of meshes, got knt"),
        (("fig3_pictures", "s", "--count", "0"), "expected a positive whole number"),
        (("figures", "s", "s"), "expected a folder of folders of run files"),
        (("fig3_pictures", "nowhere"), "expected a folder of folders of run files"),
        (("weights", "nowhere"), "expected a folder of folders of run files"),
        (("dependence", RESULTS / "sweeps", "nowhere.json"), "nowhere.json: expected what weights.py writes"),
        (("map_of_settings", RESULTS / "sweeps", RESULTS / "claims.json"), "got something else"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(tmp_path, pictures, monkeypatch, capfd, words, said):
    (tmp_path / "meshes").mkdir()
    triangle = (
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    )
    triangle += (
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    (tmp_path / "meshes" / "open.ply").write_text(triangle)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert in_process(monkeypatch, *words) == 2
    lines = capfd.readouterr().err.splitlines()
    assert said in lines[-1]
    assert [line for line in lines if line.startswith("error: ")] == lines


def test_counts_are_spread_evenly(tmp_path):
    for k in range(9):
        (tmp_path / f"{k}.png").touch()
    chosen = [path.stem for path in sources_in(tmp_path, {".png"}, 3)]
    assert chosen == ["0", "4", "8"]
    assert len(sources_in(tmp_path, {".png"}, 20)) == 9
    with pytest.raises(UsageError, match="files in it"):
        sources_in(tmp_path, {".ply"})


def test_of_synsets_the_first_picture_is_taken(tmp_path):
    for name in ("cat/b.png", "cat/a.png", "dog/c.png", "dog/notes.txt", "empty/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.stem for path in sources_in(tmp_path, {".png"})] == ["a", "c"]
    (tmp_path / "dog" / "c.png").rename(tmp_path / "dog" / "a.png")
    with pytest.raises(UsageError, match="a twice"):
        sources_in(tmp_path, {".png"})


@needs.embree
@pytest.mark.slow
def test_the_whole_page_in_small(tmp_path, pictures, cluster):
    """All that `make paper` runs, on two pictures of 24 x 24 and a mesh."""
    study, results, page = tmp_path / "study", tmp_path / "results", tmp_path / "paper.md"
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    shutil.copy(MESH, meshes)
    small = (
        "--iterations",
        20,
        "--batch",
        100,
        "--samples",
        40,
        "--cluster",
        cluster.place,
        "--device",
        "cpu",
    )
    solid, small = ("--points", 500, *small), ("--side", 24, *small)
    few = (pictures, "--count", 2)
    for name, *words in (
        ("runs2d", pictures, "-o", study / "2d", *small),
        ("runs2d", pictures, "-o", study / "shipped", *small),
        ("runs3d", meshes, "-o", study / "3d", *solid, "--azimuth", "knot=40"),
        ("sweeps", *few, "-o", study / "sweeps", *small),
        ("weights", study / "sweeps", "-o", results / "weights.json"),
        ("activations", *few, "-o", study / "activations", "--results", results, *small),
        ("interpolation", *few, "-o", study / "interpolation", "--results", results, *small),
        ("held_out", *few, "-o", study / "held_out", "--results", results, *small),
        ("alignment", *few, "-o", study / "alignment", "--results", results, *small),
        ("costs", pictures, "--results", results),
        ("page", study, "--results", results, "--page", page),
    ):
        done = script(name, *words)
        assert done.returncode == 0, f"{name}: {done.stderr}"
    text = page.read_text(encoding="utf-8")
    for place in (
        "claims",
        "scale",
        "pictures",
        "meshes",
        "activations",
        "interpolation",
        "held_out",
        "alignment_verdicts",
        "alignment_taus",
        "alignment",
        "costs",
        "batched",
    ):
        table = text.partition(f"<!-- {place} -->")[2].partition(f"<!-- end {place} -->")[0]
        assert table.count("\n|") >= 3, place
    for name in (
        "fig2",
        "fig3",
        "fig4",
        "fig5",
        "map",
        "surfaces",
        "activations",
        "interpolation",
        "held_out",
        "alignment",
    ):
        assert (results / f"{name}.png").stat().st_size > 10_000
    packed = script(
        "claims", results / "2d", results / "3d", results / "sweeps", "-o", tmp_path / "claims.json"
    )
    assert packed.returncode == 0, packed.stderr
    verdicts = [line for line in packed.stdout.splitlines() if line.startswith("(")]
    assert len(verdicts) == 9
