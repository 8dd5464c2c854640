"""Define the version of the package, for the package and its build."""

__version__ = "0.2.0"
PRODUCER = f"ntkspec {__version__}"  # who wrote a file; what --version prints
