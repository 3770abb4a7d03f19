"""How much processor time a test has used: what other processes do meanwhile does not count."""

from __future__ import annotations

import os
import time

#: measuring coverage makes Python code about so many times slower
SLOWER = 5 if "COVERAGE_FILE" in os.environ else 1


def seconds_used() -> float:
    """Return the seconds of processor time that this process has used, as if nothing were measured."""
    return time.process_time() / SLOWER
