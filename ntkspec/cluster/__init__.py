"""Run jobs in worker processes, by Dask: on this machine, at a running scheduler, or as jobs of SLURM.

- `profile`: what a worker is given, read from TOML;
- `shares`: the share of its machine that a worker takes: memory, and one device;
- `workers`: the processes, on this machine (`local`) or elsewhere;
- `slurm`: jobs of SLURM, and the script that starts one;
- `jobs`: jobs of any kind on such workers, behind an interface of `concurrent.futures`.

Only `workers` and `slurm` import Dask, when one of their functions needs it.
"""
