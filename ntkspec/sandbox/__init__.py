"""Try a file out in another process: libhdf5 may hang or crash on a damaged one, and Python cannot stop it.

A process that has loaded NumPy runs threads, and is not forked here. A server is started instead: a fresh
interpreter that starts no threads, and forks a child for each trial. It needs a third of a second; commands
start it before they load anything themselves, and `server` keeps one for several trials.

The child is allowed `SECONDS` of CPU time for each step, so that a slow disk or a busy machine makes no good
file fail, and `WALL` seconds by the clock. Only Linux has what this needs; elsewhere files are opened
untried.
"""

from ntkspec.sandbox.client import SECONDS, Step, server, start, stop, try_out

__all__ = ["SECONDS", "Step", "server", "start", "stop", "try_out"]
