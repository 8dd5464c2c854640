"""Form kernels of a Jacobian, multiply vectors by them, bound their rounding errors, write them to files."""
