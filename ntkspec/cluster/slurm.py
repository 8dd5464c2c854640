"""Jobs of SLURM by dask-jobqueue: each runs one worker, and those that end early are submitted again."""

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
NO_PAGE = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # of a scheduler, which wants some port
SCHEDULER = "tcp://<address>:<port>"  # in a script that is only shown


def job_script(job: SlurmJob) -> str:
    """Return the script that starts one worker.

    Args:
        job: what it asks for.

    Example:
        >>> from ntkspec.cluster.profile import read_profile
        >>> "#SBATCH --cpus-per-task=4" in job_script(read_profile("cpu").slurm)
        True
    """
    from dask_jobqueue.slurm import SLURMJob

    options = _options(job) | {"log_directory": None}  # the folder is made where it is named
    script = SLURMJob(scheduler=SCHEDULER, name=NAME, **options).job_script()
    return str(script)


@contextlib.contextmanager
def jobs(count: int, job: SlurmJob) -> Iterator[tuple[SLURMCluster, list[str]]]:
    """Keep this many jobs running, each a worker; they are cancelled afterwards.

    Scheduler and workers talk over TLS, by keys that they find in the folder of logs.

    Args:
        count: how many jobs run at a time.
        job: what each asks for.

    Yields:
        The cluster, and what sbatch will have said of jobs that it refused.

    Raises:
        ClusterError: there is no SLURM here.
        OutputError: the folder of logs cannot be made.
    """
    from dask_jobqueue import SLURMCluster

    if shutil.which("sbatch") is None:
        raise ClusterError(
            "--cluster slurm",
            expected="the command sbatch",
            got="none on the PATH",
            remedy="run this where jobs are submitted from, or see docs/cluster.md for other ways",
        )
    folder = Path(job.logs).absolute()
    if len(f"{folder} {sys.executable}".split()) > 2:
        raise ClusterError(
            "--cluster slurm",
            expected="no blanks in the paths of logs and interpreter, which dask-jobqueue does not quote",
            got=f"{folder} and {sys.executable}",
            remedy="set `logs` in a profile to another place",
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    refused: list[str] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".keys-") as keys:
        try:
            cluster = SLURMCluster(
                job_cls=_heard(refused),
                security=_security(Path(keys)),
                scheduler_options=NO_PAGE,
                silence_logs=logging.CRITICAL + 1,
                **_options(job) | {"log_directory": str(folder)},
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise ClusterError(
                "--cluster slurm",
                expected="a scheduler that starts here",
                got=first_line(error),
                remedy="see `interface` in the profile",
            ) from None
        with cluster:
            cluster.adapt(minimum_jobs=count, maximum_jobs=count)
            yield cluster, refused


def _security(keys: Path) -> Security:
    """Make keys for the occasion, in files of this user's that the jobs read."""
    from distributed import Security

    made = Security.temporary()
    names = [f"tls_{role}_{part}" for role in ("client", "scheduler", "worker") for part in ("cert", "key")]
    paths = {}
    for name in ("tls_ca_file", *names):
        path = keys / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(getattr(made, name))
        paths[name] = str(path)
    return Security(require_encryption=True, **paths)


def _heard(refused: list[str]) -> type:
    """Return dask-jobqueue's kind of job, which notes what sbatch says where it refuses one."""
    from dask_jobqueue.slurm import SLURMJob
    from distributed import Status

    class HeardJob(SLURMJob):  # type: ignore[misc]  # Dask's classes have no types
        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)
            except (RuntimeError, OSError) as error:
                said = str(error).partition("stderr:")[2] or str(error)
                refused.append(" ".join(said.split()))
                self.status = Status.failed  # or the cluster could not be closed
                raise

    return HeardJob


def _options(job: SlurmJob) -> dict[str, Any]:
    """Return what dask-jobqueue wants to know: one worker a job, one analysis at a time."""
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
        # Dask's own limit, which the last word sets, would end a worker that plans with its memory itself.
        "worker_extra_args": ["--no-dashboard", "--memory-limit", "0"],
        "local_directory": '"${TMPDIR:-/tmp}"',
        "job_name": NAME,
        "python": sys.executable,
    }
