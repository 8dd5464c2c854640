"""Stand-ins for what a cluster has and a test machine has not: devices, SLURM; and a scheduler of Dask's."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import needs
import psutil
import pytest

PATIENT = 300  # seconds that a busy machine may take to start a process of Dask's; a quiet one takes a few
SMI = """\
#!/bin/sh
echo "GPU 0: NVIDIA H100 (UUID: GPU-11111111-aaaa)"
echo "GPU 1: NVIDIA H100 (UUID: GPU-22222222-bbbb)"
"""
# As sbatch does, it takes a copy of the script, and the job goes on without whoever submitted it.
SBATCH = """\
#!/bin/sh
for script; do :; done
cp "$script" {folder}/job-$$.sh
export SLURM_JOB_ID=$$ SLURM_CPUS_PER_TASK=1
first=$(sed -n 's/^#SBATCH --array=\\([0-9]*\\)-\\([0-9]*\\)$/\\1/p' {folder}/job-$$.sh)
last=$(sed -n 's/^#SBATCH --array=\\([0-9]*\\)-\\([0-9]*\\)$/\\2/p' {folder}/job-$$.sh)
if [ -n "$last" ]; then export SLURM_ARRAY_TASK_COUNT=$((last - first + 1)); fi
for task in $(seq ${{first:-0}} ${{last:-0}}); do
    SLURM_ARRAY_TASK_ID=$task setsid bash {folder}/job-$$.sh >> {folder}/job-$$.log 2>&1 &
    echo $! >> {folder}/job-$$.pids
done
echo "Submitted batch job $$"
"""
SCANCEL = """\
#!/bin/sh
for id; do for pid in $(cat {folder}/job-$id.pids); do kill -TERM -- -$pid; done; done
"""


def commands(folder, **scripts):
    """Executable scripts in a folder, which then stands first on the PATH that is returned."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def slurm(folder):
    """A PATH with sbatch and scancel, which keep scripts, logs and process numbers in the folder."""
    return commands(folder, sbatch=SBATCH.format(folder=folder), scancel=SCANCEL.format(folder=folder))


@contextlib.contextmanager
def scheduler():
    """A scheduler as docs/cluster.md says to start one, and a way to start workers that come to it.

    Skips the test where there is no Dask.
    """
    pytest.importorskip("distributed", reason=needs.NO_DASK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dask, quiet = (
        str(Path(sys.executable).with_name("dask")),
        dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL),
    )
    started = []

    def start(*words):
        started.append(subprocess.Popen([dask, *words, "--no-dashboard"], **quiet))

    def more(count):
        words = ("--nworkers", str(count), "--nthreads", "1", "--memory-limit", "0")
        start("worker", f"tcp://127.0.0.1:{port}", *words, "--death-timeout", str(PATIENT))

    start("scheduler", "--host", "127.0.0.1", "--port", str(port))
    try:
        yield SimpleNamespace(address=f"tcp://127.0.0.1:{port}", more=more, process=started[0])
    finally:
        for process in reversed(started):
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait(30)
