"""What this process may use of its machine, as Linux and SLURM say; `ntkspec.memory` makes a budget of it."""
