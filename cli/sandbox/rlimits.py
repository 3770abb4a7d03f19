"""Resource limits, setrlimit(2): the most that a reader may use of the host."""

from __future__ import annotations

import resource

from pybootcfg import limits
from pybootcfg.cli.signals import signal
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from pybootcfg.cli.sandbox.settings import Settings


def apply(settings: Settings) -> None:
    """Lower every limit that matters; none can be raised again without privileges."""
    values = {
        resource.RLIMIT_AS: settings.memory,
        resource.RLIMIT_DATA: settings.data,
        resource.RLIMIT_FSIZE: settings.file_size,
        # One slot is left, for the descriptor that Landlock needs for a moment.
        resource.RLIMIT_NOFILE: settings.files + 2,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for number, value in values.items():
        _lower(number, value, value)
    # At the soft limit comes SIGXCPU, which can be ignored, a second later SIGKILL.
    if not settings.terminal:
        signal.signal(signal.SIGXCPU, out_of_processor_time)
    _lower(resource.RLIMIT_CPU, settings.cpu, settings.cpu + 1)


def out_of_processor_time(_number: int, _frame: FrameType | None) -> NoReturn:
    """Take SIGXCPU: end the run wherever it stands."""
    raise limits.expire(limits.TOTAL_CPU)


def _lower(number: int, soft: int, hard: int) -> None:
    """Set a limit, or keep what is lower already (without privileges the hard one cannot be raised)."""
    unlimited = resource.RLIM_INFINITY
    now = [hard if value == unlimited else value for value in resource.getrlimit(number)]
    resource.setrlimit(number, (min(soft, *now), min(hard, now[1])))
