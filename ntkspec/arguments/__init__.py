"""Check and convert what callers pass: numbers (`counts`), arrays (`real_arrays`), functions, roles."""
