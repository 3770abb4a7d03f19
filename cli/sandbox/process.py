"""Attributes of the process itself, prctl(2)."""

from __future__ import annotations

import os

from pybootcfg.cli.sandbox import kernel
from pybootcfg.cli.signals import signal
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.cli.sandbox.settings import Settings

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38


def apply(settings: Settings) -> None:
    """No new privileges by exec, no other process may look inside, no life after the parent's.

    Applied twice: a change of user resets the last two.
    """
    kernel.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    kernel.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    kernel.call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != settings.parent:  # it died before it could be told
        os._exit(1)
