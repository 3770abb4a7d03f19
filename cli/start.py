"""Where pygrub starts: in a module of its own, so that all others come from the prepared code."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from pybootcfg import bytecode

GARBAGE = 20_000  #: objects made before Python looks for cycles among them; by itself it looks 30 times


def pygrub() -> None:
    """Run pygrub and leave with its exit status: at once, for the system tidies up faster than Python."""
    gc.set_threshold(GARBAGE)
    bytecode.install()
    from pybootcfg.cli.pygrub import main

    status = main()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)
