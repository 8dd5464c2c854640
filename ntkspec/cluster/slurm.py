"""Keep SLURM jobs running with dask-jobqueue: each runs one worker, and is submitted again when it ends."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkspec._io import first_line
from ntkspec.cluster.profile import SlurmJob
from ntkspec.cluster.shares import environment
from ntkspec.errors import ClusterError
from ntkspec.store.disk import writing

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed import Security

NAME = "ntkspec"  # of the jobs
NO_PAGE = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # of a scheduler; it needs an address
SCHEDULER = "tcp://<address>:<port>"  # stands in a script that is only shown


def job_script(job: SlurmJob) -> str:
    """Return the script of a job, which starts one worker.

    Args:
        job: what the job asks for.

    Example:
        >>> from ntkspec.cluster.profile import read_profile
        >>> "#SBATCH --cpus-per-task=4" in job_script(read_profile("cpu").slurm)
        True
    """
    from dask_jobqueue.slurm import SLURMJob

    options = _options(job) | {"log_directory": None}  # nothing is written here
    script = SLURMJob(scheduler=SCHEDULER, name=NAME, **options).job_script()
    return str(script)


@contextlib.contextmanager
def jobs(count: int, job: SlurmJob) -> Iterator[tuple[SLURMCluster, list[str]]]:
    """Keep `count` jobs running, each with one worker, until the `with` block ends; then cancel them.

    The scheduler and the workers communicate over TLS; the keys are in the folder of logs meanwhile.

    Args:
        count: how many jobs run at a time.
        job: what each asks for.

    Yields:
        The cluster, and a list to which sbatch's message is added for each job that it refuses.

    Raises:
        ClusterError: there is no SLURM here, or no scheduler can start.
        OutputError: the folder of logs cannot be made.
    """
    folder = Path(job.logs).absolute()
    _check(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    refused: list[str] = []
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".keys-") as keys,
        _cluster(job, folder, Path(keys), refused) as cluster,
    ):
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        yield cluster, refused


def _check(logs: Path) -> None:
    """Raise `ClusterError` if there is no SLURM here, or if a path contains spaces."""
    if shutil.which("sbatch") is None:
        raise ClusterError(
            "⟦--cluster|place=slurm⟧",
            expected="the command sbatch",
            got="none on the PATH",
            remedy="run this where jobs are submitted from, or see docs/cluster.md for other ways",
        )
    if len(f"{logs} {sys.executable}".split()) > 2:
        raise ClusterError(
            "⟦--cluster|place=slurm⟧",
            expected="no blanks in the paths of logs and interpreter, which dask-jobqueue does not quote",
            got=f"{logs} and {sys.executable}",
            remedy="set `logs` in a profile to another place",
        )


def _cluster(job: SlurmJob, logs: Path, keys: Path, refused: list[str]) -> SLURMCluster:
    """Start a scheduler that submits jobs; raise `ClusterError` if it does not start."""
    from dask_jobqueue import SLURMCluster

    try:
        return SLURMCluster(
            job_cls=_recording_job(refused),
            security=_security(keys),
            scheduler_options=NO_PAGE,
            silence_logs=logging.CRITICAL + 1,
            **_options(job) | {"log_directory": str(logs)},
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise ClusterError(
            "⟦--cluster|place=slurm⟧",
            expected="a scheduler that starts here",
            got=first_line(error),
            remedy="see `interface` in the profile",
        ) from None


def _security(folder: Path) -> Security:
    """Write new TLS keys to files that only this user can read; return them as Dask's `Security`."""
    from distributed import Security

    keys = Security.temporary()
    names = [f"tls_{role}_{part}" for role in ("client", "scheduler", "worker") for part in ("cert", "key")]
    paths = {}
    for name in ("tls_ca_file", *names):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(getattr(keys, name))
        paths[name] = str(path)
    return Security(require_encryption=True, **paths)


def _recording_job(refused: list[str]) -> type:
    """Return a subclass of dask-jobqueue's job that adds sbatch's message to a list if it refuses the job."""
    from dask_jobqueue.slurm import SLURMJob
    from distributed import Status

    class RecordingJob(SLURMJob):  # type: ignore[misc]  # Dask's classes have no types
        async def _submit_job(self, script: str) -> str:
            try:
                return str(await super()._submit_job(script))
            except (RuntimeError, OSError) as error:
                words = str(error).partition("stderr:")[2] or str(error)
                refused.append(" ".join(words.split()))
                self.status = Status.failed  # otherwise the cluster could not be closed
                raise

    return RecordingJob


def _options(job: SlurmJob) -> dict[str, Any]:
    """Return the options for dask-jobqueue: each job runs one worker, which does one analysis at a time."""
    variables = environment(job.cpus, 1)
    return {
        "cores": 1,
        "processes": 1,
        "job_cpu": job.cpus,
        "memory": f"{job.memory_gib} GiB",
        "walltime": job.walltime,
        "queue": job.partition or None,
        "account": job.account or None,
        "interface": job.interface or None,
        "job_extra_directives": list(job.directives),
        "job_script_prologue": [
            *job.prologue,
            *(f"export {name}={value}" for name, value in variables.items()),
        ],
        # Limit 0 turns off Dask's own limit of memory: workers plan with their memory themselves.
        "worker_extra_args": ["--no-dashboard", "--memory-limit", "0"],
        "local_directory": '"${TMPDIR:-/tmp}"',
        "job_name": NAME,
        "python": sys.executable,
    }
