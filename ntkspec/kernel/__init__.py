"""Kernels of a Jacobian: formed, applied to vectors, enclosed with their errors, and written to files."""
