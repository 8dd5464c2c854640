"""Try a file out in another process: libhdf5 may hang or crash on a damaged file, and Python cannot stop it.

A process that has loaded NumPy runs threads and cannot safely be forked. So a server is started: a fresh
interpreter that starts no threads and forks a child for each trial. Its start takes a third of a second;
commands start it before they load anything themselves, and `server` keeps one for several trials.

Each step of a child may take `SECONDS` of CPU time, so that good files pass on a slow disk or a busy machine,
and `WALL` seconds by the clock. Only Linux has what this needs; elsewhere files are opened without a trial.
"""

from ntkspec.sandbox.client import SECONDS, Step, server, start, stop, try_out

__all__ = ["SECONDS", "Step", "server", "start", "stop", "try_out"]
