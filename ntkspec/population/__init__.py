"""Many runs: made and analysed by worker processes, each result kept in a file of its own, gone on with.

A population is a folder with a folder for each item, such as a picture, in which every run file has its
result beside it: `goldfish/mpe-fine.h5` and `goldfish/mpe-fine.json`.

- `workers`: any jobs in worker processes, with a line for each and a list of those that failed;
- `jobs`: the job that trains one configuration on some sources, and analyses what came of it;
- `sources`: pictures and meshes to learn from, found in folders;
- `kept`: results beside run files: whole or not there, of one version, newer than their runs;
- `outcomes`, `analysed`: what is kept of a run, and how it is found; `groups`: outcomes by name and by item;
- `packed`: a whole population in a few files;
- `made_by`: machine, versions and commit, which stand beside every result.

Importing any of them loads no PyTorch; a job that trains does.
"""
