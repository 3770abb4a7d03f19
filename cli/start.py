"""Where pygrub starts: in a module of its own, so that all others come from the prepared code."""

from __future__ import annotations

import gc

from pybootcfg import bytecode

GARBAGE = 20_000  #: objects made before Python looks for cycles among them; by itself it looks 30 times


def pygrub() -> int:
    """Run pygrub; return its exit status."""
    gc.set_threshold(GARBAGE)
    bytecode.install()
    from pybootcfg.cli.pygrub import main

    return main()
