"""Landlock, landlock(7): no file is opened, no address reached, no process signalled.

The rule set handles all that the kernel can and allows nothing.  What the kernel can is found out by
asking it, bit by bit, so that a newer kernel's new rights are denied as well, without a table of its
versions here.
"""

from __future__ import annotations

import os
import sys

from pybootcfg.cli.sandbox import kernel
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.cli.sandbox.settings import Settings

# The same on every architecture.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446

#: of `struct landlock_ruleset_attr`, linux/landlock.h, 64 bits each; a kernel takes zero in one that it lacks
FIELDS = ("handled_access_fs", "handled_access_net", "scoped")


def apply(_settings: Settings) -> None:
    """Deny everything; raises OSError when the kernel has no Landlock or it is switched off."""
    ruleset = _create(**{name: _known(name) for name in FIELDS})
    try:
        kernel.syscall("landlock_restrict_self", LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _known(field: str) -> int:
    """Return every bit of a field that the kernel takes; they follow one another from bit 0 on."""
    bits = 0
    while bits < 1 << 63:
        try:
            os.close(_create(**{field: bits + 1}))
        except OSError:
            break  # none at all without Landlock: a ruleset of nothing is refused, too
        bits = bits << 1 | 1
    return bits


def _create(**handled: int) -> int:
    attributes = b"".join(handled.get(name, 0).to_bytes(8, sys.byteorder) for name in FIELDS)
    return kernel.syscall("landlock_create_ruleset", LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
