"""SYSLINUX, EXTLINUX, ISOLINUX and PXELINUX, and what U-Boot reads in their place.

syslinux.cfg(5) and doc/menu.txt of SYSLINUX 6.04, https://wiki.syslinux.org/wiki/index.php?title=Config
docs/dialects/syslinux.md tells what is done how.
"""

from __future__ import annotations

from pybootcfg.dialects.base import Machine, Settings
from pybootcfg.dialects.syslinux.menus import Session
from pybootcfg.dialects.syslinux.names import Names
from pybootcfg.menu import FileRef, Menu

__all__ = ["interpret"]


def interpret(machine: Machine, config: FileRef, settings: Settings) -> Menu:  # noqa: ARG001
    """Return the menu that a configuration describes.

    What SYSLINUX passes over becomes a warning.  Raises ConfigError for a file that includes itself,
    LimitExceeded for one that takes more than any should, and what the machine raises when the
    configuration cannot be read.
    """
    return Session(config).menu(Names.of(machine, config))
