"""Namespaces of its own, unshare(2): no network, no IPC, and a root directory with nothing in it.

An ordinary user first needs a user namespace, which some systems refuse.
"""

from __future__ import annotations

import os

from pybootcfg.cli.sandbox import kernel
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.cli.sandbox.settings import Settings

CLONE_NEWNS = 0x00020000  # mounts
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REC = 0x4000
MS_PRIVATE = 0x40000

#: any directory that every system has: the empty root is mounted over it
PLACE = "/proc"


def apply(_settings: Settings) -> None:
    """Leave the host's namespaces; nothing that is mounted here is seen, or stays, outside."""
    flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
    if os.geteuid() != 0:
        flags |= CLONE_NEWUSER
    kernel.call("unshare", flags)
    kernel.call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    options = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    kernel.call("mount", b"none", PLACE.encode(), b"tmpfs", options, b"size=4k,nr_inodes=2,mode=555")
    os.chdir(PLACE)
    os.chroot(".")
