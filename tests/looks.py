"""What a trial may come upon: functions that another interpreter imports, and that misbehave there."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from ntkspec.errors import UsageError


def spin(step):
    while True:
        pass


def crash(step):
    os.kill(os.getpid(), signal.SIGSEGV)


def take_memory(step):
    np.ones(2**28)  # 2 GiB


def work_in_steps(step):
    """Three times as long as the first step is granted."""
    for _ in range(3):
        end = time.process_time() + 1
        while time.process_time() < end:
            pass
        step()


def tell(path, step):
    """Leave a note of where this runs: process, its parent, its threads and its folder."""
    threads = len(os.listdir("/proc/self/task"))
    path.write_text(f"{os.getpid()} {os.getppid()} {threads} {os.getcwd()}")


def sleep_once(path, step):
    if not path.exists():
        tell_and_sleep(path, step)


def tell_and_sleep(path, step):
    tell(path, step)
    time.sleep(60)
    path.write_text("slept")


def refuse(step):
    raise UsageError("⟦-k⟧", expected="a", got="b", remedy="use ⟦--method=gram⟧")
