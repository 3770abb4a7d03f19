"""What every input must end in: a result or a BootcfgError, within the time and memory of the budget."""

from __future__ import annotations

import contextlib
import gc
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

SECONDS = 10.0  #: of processor time for one input
MEMORY = 128 << 20  #: bytes that the process may grow by
ADDRESS_SPACE = 4 << 30  #: bytes; beyond it Python raises MemoryError, which is a fault like any other

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")


class TooSlow(BaseException):
    """An input took more processor time than any may; not an Exception, so that nothing stops it."""


class Outcome(NamedTuple):
    """What came of one input: `fault` is empty when nothing is wrong."""

    fault: str
    seconds: float
    memory: int
    trace: str = ""


def measured(do: Callable[[], None]) -> Outcome:
    """Do something under the contract; a fault is named by what was raised and where."""
    fault, trace = "", ""
    before = _peak()
    start = time.process_time()
    try:
        with _limited():
            do()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  whatever it is, it is a fault
        fault = name(error)
        trace = "".join(traceback.format_exception(error, limit=-30))[-8000:]
        error.__traceback__ = None
    seconds = time.process_time() - start
    memory = max(0, _peak(reset=False) - before)
    if not fault and memory > MEMORY:
        fault = "memory"
    if fault:
        gc.collect()
    return Outcome(fault, seconds, memory, trace)


def name(error: BaseException) -> str:
    """Return a name for a fault: the exception, and the innermost place in the package."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "pybootcfg" in frame.filename]
    if isinstance(error, TooSlow):  # where the clock struck is chance; a few frames out it is less so
        frames = frames[: max(1, len(frames) // 2)]
    where = frames[-1] if frames else None
    place = f"-{Path(where.filename).stem}-{where.name.strip('<>')}" if where else ""
    return f"{type(error).__name__}{place}"


def limit_memory() -> None:
    """Let what is far over the budget fail rather than fill the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    before = signal.signal(signal.SIGPROF, _too_slow)
    # Again and again, in case the first one is swallowed where Python must not raise.
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak(*, reset: bool = True) -> int:
    """Return the peak of the resident size in bytes, after setting it to what it is now."""
    if reset:
        _CLEAR.write_bytes(b"5")
    found = _PEAK.search(_STATUS.read_bytes())
    return int(found[1]) << 10 if found else 0
