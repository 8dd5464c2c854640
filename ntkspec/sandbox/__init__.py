"""Run trials: read a file in another process first, because libhdf5 may hang or crash on a damaged file.

A process that has loaded NumPy runs threads and cannot safely be forked. So a server is started: a fresh
interpreter that starts no threads and forks a child process for each trial. Its start takes a third of a
second; commands start it before they load anything themselves, and `server` keeps one for several trials.

Each step of a trial may take `SECONDS` of CPU time and `WALL` seconds by the clock. The first limit counts
CPU time so that good files pass on a slow disk or a busy machine. Trials work on Linux only; on other systems
files are opened without one.
"""

from ntkspec.sandbox.client import SECONDS, Step, server, start, stop, try_out

__all__ = ["SECONDS", "Step", "server", "start", "stop", "try_out"]
