"""File names as SYSLINUX and its relatives take them.

doc/isolinux.txt and doc/pxelinux.txt of SYSLINUX 6.04 ("FILENAME SYNTAX"): a name that begins with a
slash counts from the root, any other from the current directory, which is that of the configuration,
and with PXELINUX the one above `pxelinux.cfg`.
"""

from __future__ import annotations

import posixpath

from pybootcfg.dialects.base import Machine
from pybootcfg.errors import printable
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.values import TYPE_CHECKING, NamedTuple, StrEnum

if TYPE_CHECKING:
    from collections.abc import Callable

    Warn = Callable[[str], None]


class Derivative(StrEnum):
    """Which of the boot loaders reads the configuration; EXTLINUX is a SYSLINUX."""

    SYSLINUX = "sys"
    ISOLINUX = "iso"
    PXELINUX = "pxe"


class Names(NamedTuple):
    """What names mean in a current directory on a volume."""

    machine: Machine
    volume: str
    folder: str
    derivative: Derivative

    @classmethod
    def of(cls, machine: Machine, config: FileRef) -> Names:
        """Return what names mean in a configuration that the boot loader starts with."""
        folder, name = posixpath.split(config.path)
        above, last = posixpath.split(folder)
        if last == "pxelinux.cfg":
            return cls(machine, config.volume, above, Derivative.PXELINUX)
        isolinux = name.lower() == "isolinux.cfg"
        return cls(machine, config.volume, folder, Derivative.ISOLINUX if isolinux else Derivative.SYSLINUX)

    def file(self, name: str, warn: Warn) -> FileRef:
        """Return the file that a name means; one that is not in the guest keeps its name as it is."""
        volume = self.volume
        if name.startswith("("):
            device, closed, path = name.removeprefix("(").partition(")")
            found = self.machine.device(device) if closed else None
            if found is None:
                where = volume or "the volume of the configuration"
                warn(f"device ({printable(device)}) is unknown; {printable(path)} is taken from {where}")
            volume, name = (volume if found is None else found), "/" + path.removeprefix(":")
        elif "::" in name:
            server, _, path = name.partition("::")
            if server:
                warn(f"{printable(name)} is on another machine")
                return FileRef(name, volume)
            name = f"/{path}"
        elif "://" in name:
            warn(f"{printable(name)} is on another machine")
            return FileRef(name, volume)
        if "\\" in name and self._takes_backslashes(volume):
            name = name.replace("\\", "/")
        path = posixpath.normpath(posixpath.join(self.folder, name))
        return FileRef("/" + path.lstrip("/"), volume)

    def enter(self, name: str, warn: Warn) -> Names:
        """Return what names mean after a change of directory; one that is not there changes nothing."""
        folder = self.file(name, warn)
        if self.machine.kind(folder) is not Kind.DIRECTORY:
            warn(f"there is no directory {printable(folder.path)} to change to")
            return self
        return Names(self.machine, folder.volume, folder.path, self.derivative)

    def _takes_backslashes(self, volume: str) -> bool:
        """Tell whether names may be written as on DOS: on FAT, and where nothing is known."""
        kinds = [facts.filesystem for facts in self.machine.volumes() if facts.name == volume]
        return not any(kinds) or kinds[0].startswith("fat")
