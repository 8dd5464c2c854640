"""Many workers and one scheduler that serves one message at a time: a discrete-event simulation.

A task travels from the client to the scheduler, to a worker, back to the scheduler and back to the client.
The client and the scheduler each do one thing at a time, in the order in which it arrives, and each takes
half of its cost of a task on its way out and half on its way back. A message is under way for `hop_s`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

HELD = 2  # tasks that the scheduler hands a worker of one thread: ceil(1.1), Dask's `worker-saturation`
Server = Literal["client", "scheduler"]


@dataclass(frozen=True)
class Costs:
    """Seconds of one task beside its own work."""

    client_s: float
    scheduler_s: float
    worker_s: float
    hop_s: float  # of each of four messages


def simulate(
    workers: int,
    tasks: int,
    seconds: float,
    costs: Costs,
    *,
    window: int | None = None,
    cores: int | None = None,
) -> float:
    """Return the seconds until the client knows that the last task is done.

    Args:
        workers: processes, each of which does one task at a time.
        tasks: how many in all.
        seconds: what each takes.
        costs: of a task beside that.
        window: tasks a worker that are submitted and not yet known to be done; None: all at once.
        cores: that client, scheduler and workers share for their costs; None: each has its own. The tasks
            themselves need none, as tasks that sleep.

    Example:
        >>> simulate(10, 1000, 1.0, Costs(0.0, 0.0, 0.0, 0.0))
        100.0
    """
    ahead = tasks if window is None else window * workers
    return _Simulation(workers, tasks, seconds, costs, ahead, [0.0] * (cores or 0)).run()


def efficiency(workers: int, tasks: int, seconds: float, costs: Costs, window: int | None = None) -> float:
    """Return the ideal time, all workers always at work, over the simulated."""
    return seconds * tasks / workers / simulate(workers, tasks, seconds, costs, window=window)


@dataclass
class _Simulation:
    """The state between two events. An event is a time, its number, and what happens then to which worker."""

    workers: int
    tasks: int
    seconds: float
    costs: Costs
    ahead: int
    cores: list[float]  # when each is free
    now: float = 0.0
    returned: int = 0
    submitted: int = 0
    waiting: int = 0  # tasks that the scheduler has not handed out
    free: dict[Server, float] = field(default_factory=lambda: {"client": 0.0, "scheduler": 0.0})
    events: list[tuple[float, int, Callable[[int], None], int]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.assigned = [0] * self.workers  # tasks that each worker has, one of them at work
        self.places = [(task, worker) for task in range(HELD) for worker in range(self.workers)]  # a heap
        self.inbox = [deque[float]() for _ in range(self.workers)]  # when tasks arrived that have to wait
        self.busy = [False] * self.workers

    def run(self) -> float:
        """Let events happen in order until all tasks are back."""
        for _ in range(min(self.ahead, self.tasks)):
            self.submit()
        while self.returned < self.tasks:
            self.now, _, happen, worker = heapq.heappop(self.events)
            happen(worker)
        return self.free["client"]

    def submit(self) -> None:
        """Client: send a task."""
        self.submitted += 1
        self.later(self.serve("client", self.costs.client_s / 2) + self.costs.hop_s, self.queue)

    def queue(self, _: int) -> None:
        """Scheduler: a task comes from the client."""
        self.waiting += 1
        self.later(self.serve("scheduler", self.costs.scheduler_s / 2), self.hand_out)

    def hand_out(self, _: int) -> None:
        """Scheduler: give waiting tasks to the workers that have the fewest."""
        while self.waiting and self.places:
            _, worker = heapq.heappop(self.places)
            self.waiting -= 1
            self.assigned[worker] += 1
            self.later(self.now + self.costs.hop_s, self.receive, worker)

    def receive(self, worker: int) -> None:
        """Worker: a task arrives."""
        self.inbox[worker].append(self.now)
        if not self.busy[worker]:
            self.start(worker)

    def start(self, worker: int) -> None:
        """Worker: do the next task."""
        self.inbox[worker].popleft()
        self.busy[worker] = True
        self.later(self.on_core(self.now, self.costs.worker_s) + self.seconds, self.end, worker)

    def end(self, worker: int) -> None:
        """Worker: a task is done."""
        self.busy[worker] = False
        self.later(self.now + self.costs.hop_s, self.note, worker)
        if self.inbox[worker]:
            self.start(worker)

    def note(self, worker: int) -> None:
        """Scheduler: a worker says that a task is done."""
        told = self.serve("scheduler", self.costs.scheduler_s / 2)
        self.later(told, self.free_place, worker)
        self.later(told + self.costs.hop_s, self.take_back)

    def free_place(self, worker: int) -> None:
        """Scheduler: that worker has room for another."""
        self.assigned[worker] -= 1
        heapq.heappush(self.places, (self.assigned[worker], worker))
        self.hand_out(worker)

    def take_back(self, _: int) -> None:
        """Client: a task is back."""
        self.serve("client", self.costs.client_s / 2)
        self.returned += 1
        if self.submitted < self.tasks:
            self.submit()

    def serve(self, server: Server, cost: float) -> float:
        """Let a server take up something as soon as it is free; returns when that is done."""
        self.free[server] = self.on_core(max(self.now, self.free[server]), cost)
        return self.free[server]

    def on_core(self, start: float, cost: float) -> float:
        """Do something on a core that is free by then, if they are shared; returns when it is done.

        Of several it takes the one that was free last: another may still be used before `start`.
        """
        if not self.cores:
            return start + cost
        core = max((free for free in self.cores if free <= start), default=min(self.cores))
        end = max(start, core) + cost
        self.cores[self.cores.index(core)] = end
        return end

    def later(self, time: float, happen: Callable[[int], None], worker: int = 0) -> None:
        """Let something happen at that time."""
        heapq.heappush(self.events, (time, next(self.numbers), happen, worker))
