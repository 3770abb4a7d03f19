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
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NamedTuple, NoReturn

from faults.plan import Fault, Plan

CPU = 10.0  #: seconds
GROWTH = 128 << 20  #: bytes
WALL = 60.0  #: seconds after which a run that does not come back is ended
_CHUNK = 2000  # faults for one process
_FLUSH = 100  # faults after which a process tells what came of them


class OverBudget(BaseException):
    """The run took too long; no `except Exception` may catch it."""


class Failure(NamedTuple):
    """A fault that ended in what must not be."""

    fault: Fault
    what: str


class Tally:
    """What came of the faults."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.failures: list[Failure] = []
        self.slowest = 0.0  #: seconds of processor time
        self.slowest_fault = ""

    @property
    def runs(self) -> int:
        """How many there were."""
        return self.outcomes.total() + len(self.failures)

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        self.outcomes += other.outcomes
        self.failures += other.failures
        if other.slowest > self.slowest:
            self.slowest, self.slowest_fault = other.slowest, other.slowest_fault


def carry_out(plan: Plan, numbers: Sequence[int], jobs: int, tell: Callable[[int], None]) -> Tally:
    """Make the faults of these numbers in `jobs` processes; `tell` hears how many are done, now and then."""
    tally = Tally()
    waiting = [numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK)][::-1]
    working: list[_Worker] = []
    done = 0
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                working.append(_Worker(plan, waiting.pop()))
            ready, _, _ = select.select([worker.pipe for worker in working], [], [], 1.0)
            for worker in list(working):
                if worker.pipe in ready:
                    done += worker.listen(tally)
                    tell(done)
                if worker.ended or worker.stuck:
                    working.remove(worker)
                    left = worker.bury(tally)
                    if left:
                        waiting.append(left)
    finally:
        for worker in working:
            worker.kill()
    return tally


class _Worker:
    """One process and what is known of it."""

    def __init__(self, plan: Plan, numbers: Sequence[int]) -> None:
        self._plan = plan
        self._numbers = numbers
        self._told = 0  # faults of whose outcome it has told
        self._shared = mmap.mmap(-1, 8)  # index of the fault that it is at
        self._at, self._since = -1, time.monotonic()
        self._buffer = b""
        self.ended = False
        self.pipe, telling = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self.pipe)
            _work(plan, numbers, self._shared, telling)
        os.close(telling)

    def listen(self, tally: Tally) -> int:
        """Take what it says; return how many faults it says something of."""
        data = os.read(self.pipe, 1 << 16)
        self.ended = not data
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        before = self._told
        for line in lines:
            said = json.loads(line)
            part = Tally()
            part.outcomes.update(said["outcomes"])
            part.failures = [Failure(Fault(*fault), what) for fault, what in said["failures"]]
            part.slowest, part.slowest_fault = said["slowest"]
            tally.add(part)
            self._told = said["told"]
        return self._told - before

    @property
    def stuck(self) -> bool:
        """Whether it has been at the same fault for too long."""
        (at,) = struct.unpack("q", self._shared[:])
        if at != self._at:
            self._at, self._since = at, time.monotonic()
        return time.monotonic() - self._since > WALL

    def bury(self, tally: Tally) -> Sequence[int]:
        """See to its end; return the numbers that another one has to do over."""
        if not self.ended:
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(status)
        if self.ended and code == 0:
            return ()
        (index,) = struct.unpack("q", self._shared[:])
        fault = self._plan.fault(self._numbers[index])
        what = f"the process ended with status {code}" if self.ended else f"no end in {WALL:.0f} s"
        if fault:
            tally.failures.append(Failure(fault, what))
        return [*self._numbers[self._told : index], *self._numbers[index + 1 :]]

    def kill(self) -> None:
        """End it, whatever it is doing."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self.pipe)


def _work(plan: Plan, numbers: Sequence[int], shared: mmap.mmap, telling: int) -> NoReturn:
    status = 1
    try:
        with plan.active(), guarded(plan):
            part = Tally()
            for index, number in enumerate(numbers):
                shared[:] = struct.pack("q", index)
                fault = plan.fault(number)
                if fault:
                    attempt(plan, fault, part)
                if index + 1 == len(numbers) or (index + 1) % _FLUSH == 0:
                    _tell(telling, part, index + 1)
                    part = Tally()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _tell(telling: int, part: Tally, told: int) -> None:
    said = {
        "outcomes": part.outcomes,
        "failures": part.failures,
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


def attempt(plan: Plan, fault: Fault, tally: Tally) -> None:
    """Make one fault under guard."""
    started = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, CPU, 1.0)
        try:
            outcome = plan.outcome(fault)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
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


def describe(error: BaseException) -> str:
    """Return an exception and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = ", ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames[-3:])
    return f"{type(error).__name__}: {error} ({where})"[:400]
