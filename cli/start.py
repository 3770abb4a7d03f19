"""Where pygrub starts: in a module of its own, so that all others come from the prepared code."""

from __future__ import annotations

from pybootcfg import bytecode


def pygrub() -> int:
    """Run pygrub; return its exit status."""
    bytecode.install()
    from pybootcfg.cli.pygrub import main

    return main()
