"""Stand-ins for what a cluster has and a test machine has not: devices, and SLURM."""

import os
import stat

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
