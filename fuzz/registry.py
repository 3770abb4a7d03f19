"""All targets by name."""

from __future__ import annotations

import disks
import texts

TARGETS = {target.name: target for target in (*disks.TARGETS, *texts.TARGETS)}


def find(name: str) -> disks.DiskTarget | texts.TextTarget:
    """Return a target; KeyError when there is none of that name."""
    return TARGETS[name]
