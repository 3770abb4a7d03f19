"""The standard module `signal` without its enumerations, which take longer to make than a process."""

from __future__ import annotations

from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["signal"]
