"""Worker processes by Dask: on this machine, by a scheduler that is there already, or as jobs of SLURM.

- `profile`: what a worker is given, read from TOML;
- `shares`: what a worker takes of the machine that it wakes up on: memory, and one device;
- `workers`: the processes, behind an interface of `concurrent.futures`;
- `slurm`: jobs of SLURM, and the script that starts one;
- `jobs`: any jobs on such workers: one that fails does not stop the others.

Only `workers` and `slurm` import Dask, when they are asked to.
"""
