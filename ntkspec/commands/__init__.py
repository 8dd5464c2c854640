"""Define what the commands share, and read their options. `ntkspec/analyze.py` and the other commands use it.

- `cli`: exit codes, one-line errors, and clean-up when a command is interrupted;
- `progress`: what a command shows meanwhile;
- `run_options`, `train_request`, `export_request`: the options of analyze and batch, of train, and of export;
- `export_checkpoints`: the command `python -m ntkspec.export`.
"""
