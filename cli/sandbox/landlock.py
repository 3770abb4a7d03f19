"""Landlock, landlock(7): no file is opened, no address reached, no process signalled.

The rule set handles all that the kernel can and allows nothing.  What the kernel can is found out by
asking it, bit by bit, so that a newer kernel's new rights are denied as well, without a table of its
versions here.
"""

from __future__ import annotations

import ctypes
import os

from pybootcfg.cli.sandbox import kernel
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.cli.sandbox.settings import Settings

# The same on every architecture.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446

FIELDS = ("handled_access_fs", "handled_access_net", "scoped")


class RulesetAttr(ctypes.Structure):
    """`struct landlock_ruleset_attr` of linux/landlock.h; zero in a field that a kernel lacks is allowed."""

    _fields_ = [(name, ctypes.c_uint64) for name in FIELDS]


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
            if field == "handled_access_fs" and not bits:
                raise  # it is not there at all
            break
        bits = bits << 1 | 1
    return bits


def _create(**handled: int) -> int:
    attributes = RulesetAttr(**handled)
    size = ctypes.sizeof(attributes)
    return kernel.syscall("landlock_create_ruleset", LANDLOCK_CREATE_RULESET, attributes, size, 0)
