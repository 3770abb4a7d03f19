"""Processes that make faults one after another, each run under guard; and their overseer, whom none can hang.

A run may take CPU seconds of processor time and GROWTH bytes of memory more than a process has that has
booted the image already.  The first is held by a timer of the process, which interrupts Python; by the
overseer, who ends what does not come back; and the second by a limit on the address space.
"""

from __future__ import annotations

import collections
import contextlib
import json
import mmap
import os
import resource
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

from faults.plan import UNIT, Fault, Plan, describe

CPU = 10.0  #: seconds
GROWTH = 128 << 20  #: bytes
WALL = 60.0  #: seconds after which a run that does not come back is ended
_SHARED = struct.Struct("qq")  # what a process is at: the index of the item, the number of the fault
_PROBING = -1  # in the place of a fault's number

#: faults for one process: each a fault's number, or a unit of faults of which those count that are looked at
Items = Sequence[int | range]


class OverBudget(BaseException):
    """The run took too long; no `except Exception` may catch it."""


class Failure(NamedTuple):
    """A fault that ended in what must not be."""

    fault: Fault | None  #: None when it was garbage in many bytes
    what: str


class Tally:
    """What came of the faults."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.failures: list[Failure] = []
        self.considered = 0  #: faults, those included that change nothing or that nothing looks at
        self.slowest = 0.0  #: seconds of processor time
        self.slowest_fault = ""

    @property
    def runs(self) -> int:
        """How many there were."""
        return self.outcomes.total() + len(self.failures)

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        self.outcomes += other.outcomes
        self.considered += other.considered
        self.failures += other.failures
        if other.slowest > self.slowest:
            self.slowest, self.slowest_fault = other.slowest, other.slowest_fault


def carry_out(plan: Plan, items: Items, jobs: int) -> Tally:
    """Make the faults in `jobs` processes."""
    tally = Tally()
    size = 1000 if items and isinstance(items[0], int) else 16
    waiting = [items[start : start + size] for start in range(0, len(items), size)][::-1]
    working: list[_Worker] = []
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                working.append(_Worker(plan, waiting.pop()))
            ready = _ready([worker.pipe for worker in working])
            for worker in list(working):
                if worker.pipe in ready:
                    worker.listen(tally)
                if worker.ended or worker.stuck:
                    working.remove(worker)
                    left = worker.bury(tally)
                    if left:
                        waiting.append(left)
    finally:
        for worker in working:
            worker.kill()
    return tally


def _ready(pipes: list[int]) -> list[int]:
    """Return which pipes have something to say, after a second at most; their numbers may be high."""
    poll = select.poll()
    for pipe in pipes:
        poll.register(pipe, select.POLLIN)
    return [pipe for pipe, _ in poll.poll(1000)]


class _Worker:
    """One process and what is known of it."""

    def __init__(self, plan: Plan, items: Items) -> None:
        self._plan = plan
        self._items = items
        self._told = 0  # items that it has told of
        self._shared = mmap.mmap(-1, _SHARED.size)
        self._at, self._since = (-1, -1), time.monotonic()
        self._buffer = b""
        self.ended = False
        self.pipe, telling = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.pipe)
            _work(plan, items, self._shared, telling)
        os.close(telling)

    def listen(self, tally: Tally) -> None:
        """Take what it says."""
        data = os.read(self.pipe, 1 << 16)
        self.ended = not data
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            part = Tally()
            part.outcomes.update(said["outcomes"])
            part.failures = [Failure(fault and Fault(*fault), what) for fault, what in said["failures"]]
            part.considered = said["considered"]
            part.slowest, part.slowest_fault = said["slowest"]
            tally.add(part)
            self._told = said["told"]

    @property
    def stuck(self) -> bool:
        """Whether it has been at the same fault for too long."""
        at = _SHARED.unpack(self._shared[:])
        if at != self._at:
            self._at, self._since = at, time.monotonic()
        return time.monotonic() - self._since > WALL * (UNIT if at[1] == _PROBING else 1)

    def bury(self, tally: Tally) -> Items:
        """See to its end; return what another one has to do over."""
        if not self.ended:
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(status)
        if self.ended and code == 0:
            return ()
        index, number = _SHARED.unpack(self._shared[:])
        what = f"the process ended with status {code}" if self.ended else f"no end in {WALL:.0f} s"
        tally.failures.append(Failure(None if number == _PROBING else self._plan.fault(number), what))
        item = self._items[index]
        tally.considered += 1
        rest: list[int | range] = list(self._items[self._told : index])
        if isinstance(item, range):  # now one by one, without the one that ended it
            rest += [each for each in item if each != number]
        return [*rest, *self._items[index + 1 :]]

    def kill(self) -> None:
        """End it, whatever it is doing."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self.pipe)


def _work(plan: Plan, items: Items, shared: mmap.mmap, telling: int) -> NoReturn:
    status = 1
    try:
        plan.run.renew()
        with plan.active(), guarded(plan):
            for index, item in enumerate(items):
                part = Tally()
                shared[:] = _SHARED.pack(index, _PROBING)
                numbers = [item] if isinstance(item, int) else _looked_at(plan, item)
                part.failures += [Failure(None, what) for what in plan.unforeseen]
                plan.unforeseen.clear()
                for number in numbers:
                    shared[:] = _SHARED.pack(index, number)
                    fault = plan.fault(number)
                    if fault:
                        attempt(plan, fault, part)
                part.considered = 1 if isinstance(item, int) else len(item)
                _tell(telling, part, index + 1)
        status = 0
    except BaseException:
        traceback.print_exc()  # a fault of this program, since those of runs are caught
        raise
    finally:
        sys.stderr.flush()
        os._exit(status)


def _looked_at(plan: Plan, unit: range) -> list[int]:
    """Return the faults of a unit in what is looked at; all of them when garbage takes too long."""
    try:
        with timed(10):
            return [number for part in plan.looked_at(unit) for number in part]
    except (OverBudget, MemoryError):
        return list(unit)


def _tell(telling: int, part: Tally, told: int) -> None:
    said = {
        "outcomes": part.outcomes,
        "failures": part.failures,
        "considered": part.considered,
        "slowest": (part.slowest, part.slowest_fault),
        "told": told,
    }
    data = json.dumps(said).encode() + b"\n"
    while data:
        data = data[os.write(telling, data) :]


def _over_budget(_number: int, _frame: FrameType | None) -> NoReturn:
    raise OverBudget


@contextlib.contextmanager
def guarded(plan: Plan) -> Iterator[None]:
    """Hold this process to GROWTH bytes more than it has after booting once."""
    plan.run.outcome(plan.expected)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GROWTH, limits[1]))
    before = signal.signal(signal.SIGPROF, _over_budget)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextlib.contextmanager
def timed(times: int = 1) -> Iterator[None]:
    """Interrupt what takes longer than so many times what one run may take."""
    signal.setitimer(signal.ITIMER_PROF, times * CPU, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def attempt(plan: Plan, fault: Fault, tally: Tally) -> None:
    """Make one fault under guard."""
    started = time.process_time()
    try:
        with timed():
            outcome = plan.outcome(fault)
    except OverBudget:
        tally.failures.append(Failure(fault, f"over {CPU:.0f} s of processor time"))
    except MemoryError:
        tally.failures.append(Failure(fault, f"over {GROWTH >> 20} MiB of memory"))
    except Exception as error:  # noqa: BLE001  this is what is looked for
        tally.failures.append(Failure(fault, describe(error)))
    else:
        tally.outcomes[outcome] += 1
    used = time.process_time() - started
    if used > tally.slowest:
        tally.slowest, tally.slowest_fault = used, str(fault)
