"""How much processor time a test has used: what other processes do meanwhile does not count."""

from __future__ import annotations

import sys
import time

#: following lines, as measuring coverage does, makes Python code about so many times slower
FOLLOWED = 5


def seconds_used() -> float:
    """Return the seconds of processor time that this process has used, as if no lines were followed.

    A test that is marked `no_cover` is not followed.
    """
    return time.process_time() / (FOLLOWED if sys.gettrace() else 1)
