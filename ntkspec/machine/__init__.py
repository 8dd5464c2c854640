"""Find out and use what this machine gives: cores, memory, what a job of SLURM may take; signals and streams.

- `cores`, `memory`: how many cores and how much memory this process may use; `linux` and `slurm` read it;
- `signals`: SIGTERM, SIGHUP and Ctrl-C as exceptions that end a command;
- `streams`: standard output and error that never fail;
- `file_sign`: whether a file has changed, without reading it;
- `systems`: operating systems on which the package does not work.
"""
