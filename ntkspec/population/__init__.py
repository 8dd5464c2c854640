"""Train and analyse many runs in worker processes; each result has a file of its own, so work can continue.

A population is a folder with a folder for each item, such as a picture. In it every run file has its result
beside it: `goldfish/mpe-fine.h5` and `goldfish/mpe-fine.json`.

- `workers`: do jobs in worker processes, with a line for each and a list of those that failed;
- `jobs`: the job that trains one configuration on some sources and analyses the run files;
- `kept`: read and write results beside run files; they are whole, of one version and newer than their runs;
- `outcomes`, `aligned`: what is kept of a run, and how it is computed;
- `made_by`: machine, versions and commit, which every result states;
- `batch_request`, `batched`, `results`, `report`: batches of run files, and what is reported on all of them;
- `intervals`: bootstrap intervals over runs or items.

Importing any of them loads no PyTorch; a job that trains does.
"""
