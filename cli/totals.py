"""The totals of a run that the kernel keeps: processor time, time that passes, memory.

What is over shows as a signal or as MemoryError.  The signal ends the run wherever it stands: its error
is raised at once, and again at each count and each second, should something on the way have passed over it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

from pybootcfg import limits
from pybootcfg.cli.sandbox.rlimits import out_of_processor_time
from pybootcfg.errors import BootcfgError
from pybootcfg.source import FileSource
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from types import FrameType
    from typing import NoReturn

#: commands that show or copy what lies on a disk, not just what boots: the more, the longer they may take
CONTENTS = frozenset({"cat", "extract", "inspect", "ls"})
#: for how many bytes of the disks they have the totals once more; a small disk may be nothing but metadata,
#: of which `inspect --all` shows 1 MiB in 1.6 s at most, and a large one is not
DENSE, SPARSE = 2 * limits.MIB, 64 * limits.MIB
MOST_DENSE = 128  #: shares of a disk that count as dense


def keep(options: argparse.Namespace) -> None:
    """Have the kernel keep the totals for a command of `pybootcfg`; the readers of `scan` have their own."""
    if options.command == "scan":
        return
    images = [options.image, *options.device] if options.command in CONTENTS else []
    size = sum(map(_allocated, filter(None, images)))
    limits.begin(1 + min(size // DENSE, MOST_DENSE) + size // SPARSE)
    _lower(resource.RLIMIT_CPU, limits.TOTAL_CPU.cap)
    _lower(resource.RLIMIT_DATA, limits.TOTAL_MEMORY.cap)
    signal.signal(signal.SIGXCPU, out_of_processor_time)
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, limits.TOTAL_TIME.cap, 1)


def _out_of_time(_number: int, _frame: FrameType | None) -> NoReturn:
    raise limits.expire(limits.TOTAL_TIME)


def _allocated(image: str) -> int:
    """Return how many bytes an image takes on this machine: a guest may claim what it was never given."""
    with contextlib.suppress(BootcfgError, OSError):
        status = os.stat(image)
        if os.path.isfile(image):
            return status.st_blocks * 512
        source = FileSource.open(image)  # a block device
        try:
            return source.size
        finally:
            source.close()
    return 0


def _lower(number: int, soft: int) -> None:
    _, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(number, (soft, hard))
