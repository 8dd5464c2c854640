"""Analyse run files: one (`analysis`), or several side by side (`side_by_side`).

- `snapshot`: one snapshot, kernel by kernel;
- `settings`: how they are analysed, and which of their samples;
- `everywhere`: eigenfunctions at every pixel, with a second run file of the same network;
- `shared_kernels`: one large kernel, computed by several processes.
"""
