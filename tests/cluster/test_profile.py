"""Profiles: what is shipped, what a file may say, and how the rest is refused."""

import re

import needs
import pytest

from ntkspec.cluster.profile import SHIPPED, read_profile
from ntkspec.cluster.slurm import job_script
from ntkspec.errors import UsageError

WHOLE = 'gpus = 1\n[slurm]\ncpus = 2\nmemory_gib = 3.5\nwalltime = "1-02:03:04"\n'


def test_what_is_shipped():
    assert [read_profile(name).gpus for name in SHIPPED] == [0, 1]


@needs.dask
def test_a_file_and_the_script_it_means(tmp_path):
    path = tmp_path / "mine.toml"
    more = (
        'partition = "fast"\naccount = "phys"\ndirectives = ["--gres=gpu:1"]\nprologue = ["module load x"]\n'
    )
    path.write_text(WHOLE + more)
    job = read_profile(str(path)).slurm
    assert (job.cpus, job.memory_gib, job.logs) == (2, 3.5, "slurm-logs")
    lines = job_script(job).splitlines()
    for line in ("-p fast", "-A phys", "--gres=gpu:1", "-t 1-02:03:04", "--cpus-per-task=2", "--mem=4G"):
        assert f"#SBATCH {line}" in lines
    assert lines.index("module load x") < lines.index("export OMP_NUM_THREADS=2")
    assert "export NTKSPEC_PROCESSES_HERE=1" in lines
    assert not (tmp_path / "slurm-logs").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus = 2" + WHOLE[8:], "gpus: expected 0 or 1, got 2"),
        ("gpus = true" + WHOLE[8:], "gpus: expected a whole number"),
        ("", "expected a key 'gpus'"),
        ("gpus = 0\nslurm = 3", "slurm: expected a table, got 3"),
        ("gpus = 0", "expected a key 'slurm'"),
        (WHOLE + "nodes = 3", "expected keys among cpus, .* got 'nodes'"),
        (WHOLE.replace("cpus = 2", "cpus = 0"), "cpus: expected a whole number >= 1, got 0"),
        (WHOLE.replace("3.5", '"3G"'), "memory_gib: expected a positive number"),
        (WHOLE.replace("3.5", "nan"), "memory_gib: expected a positive number"),
        (WHOLE.replace("1-02:03:04", "2h"), "walltime: expected hours, minutes, seconds"),
        (WHOLE + 'directives = "--x"', "directives: expected a list of strings"),
        (WHOLE + 'prologue = ["a\\nb"]', "prologue: expected a string of one line"),
        ("gpus = ", "expected TOML"),
        ("gpus = " + 5000 * "9", "expected TOML"),
        ("gpus = " + 5000 * "[", "expected TOML"),
    ],
)
def test_refusals(text, said, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"bad.toml.*{said}") as refused:
        read_profile(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["tpu", "/", "a\0b"])
def test_no_such_file(name):
    with pytest.raises(UsageError, match=re.escape("profile: expected cpu, gpu or a TOML file")):
        read_profile(name)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_profile(str(tmp_path / "x.toml"))
