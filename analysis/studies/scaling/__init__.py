"""How far it reaches: what every route costs at any n, and what a scheduler costs at any number of workers.

- `networks`: Jacobians to measure on, and Jacobians of any n that have sizes and no numbers;
- `constants`, `storage`: what this machine does in a second, measured;
- `habits`: what only measuring tells of a network's spectrum;
- `routes`: memory from the package's plans; bytes, operations and seconds of every route;
- `check`: predictions beside measurements that no constant was taken from;
- `devices`: what fits a laptop, a node and a GPU, and how long the GPU would take;
- `several_gpus`: the plan for one matrix over several GPUs;
- `limits`: which limit comes first as n grows;
- `dask_cost`: what a task costs Dask, measured; `simulation`: many workers and one scheduler;
- `tables`: all of it as the tables of docs/scale.md.

`analysis/studies/scale.py` is the command.
"""
