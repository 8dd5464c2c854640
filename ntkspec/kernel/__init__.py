"""Kernels: described, formed, applied, enclosed, written to files."""
