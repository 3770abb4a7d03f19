"""Another user, setresuid(2), and no capabilities, capset(2)."""

from __future__ import annotations

import os
import sys

from pybootcfg.cli.sandbox import kernel
from pybootcfg.cli.sandbox.settings import NOBODY, Settings
from pybootcfg.errors import UsageError

LINUX_CAPABILITY_VERSION_3 = 0x20080522


#: `struct __user_cap_header_struct` of linux/capability.h: the version, and this process
HEADER = LINUX_CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
#: two `struct __user_cap_data_struct`, the lower and the upper 32 capabilities: all sets empty
NOTHING = bytes(2 * 3 * 4)


def apply(settings: Settings) -> None:
    """Become the user that was asked for, or `nobody` when root; then give up every capability."""
    try:
        if settings.runas:
            _become(settings.runas)
        elif os.geteuid() == 0:
            _become(NOBODY)
    except OSError as error:
        if settings.runas:
            raise UsageError(
                f"--runas={settings.runas}: cannot become that user: {error.strerror}",
                hint="only root can, and in a user namespace only users that it maps",
            ) from None
        raise
    finally:
        kernel.call("capset", HEADER, NOTHING)


def _become(uid: int) -> None:
    """Change user and group, the group's number being the user's, as the real pygrub does."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
