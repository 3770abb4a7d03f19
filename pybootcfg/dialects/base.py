"""What a boot loader sees of a guest, and what every dialect gives back.

A dialect knows nothing of disks and file systems: it asks a `Machine`.  guest.py implements it over
real volumes.  Volumes go by their names (`p1`, `d2p3`), files by `FileRef`.
"""

from __future__ import annotations

from types import MappingProxyType

from pybootcfg import limits
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef, Menu
from pybootcfg.values import TYPE_CHECKING, NamedTuple, Protocol, StrEnum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SearchKey(StrEnum):
    """What GRUB's `search` can look for."""

    FILE = "file"
    LABEL = "label"
    UUID = "fs-uuid"


class VolumeFacts(NamedTuple):
    """What a boot loader can learn about one volume.

    `grub` is GRUB's name of it (`hd0,msdos1`, `hd0`), `filesystem` GRUB's name of its file system
    (`ext2`, `fat`; empty when there is none), `partmap` GRUB's name of the partition map, `type` the
    partition's type as the table has it (a GUID in upper case for GPT).
    """

    name: str
    grub: str
    filesystem: str = ""
    label: str = ""
    uuid: str = ""
    partmap: str = ""
    partuuid: str = ""
    type: str = ""


class Machine(Protocol):
    """A guest's volumes and files, read-only."""

    def volumes(self) -> Sequence[VolumeFacts]:
        """Return all volumes in the order in which the boot loader tries them."""

    def device(self, name: str) -> str | None:
        """Return the volume that a boot loader's device name (`hd0,msdos1`, without parentheses) means."""

    def search(self, key: SearchKey, value: str) -> Sequence[str]:
        """Return the volumes that have the label, UUID (without regard to case) or file, in order."""

    def loopback(self, image: FileRef) -> str:
        """Return the volume that the file system inside a file makes; raises BootcfgError."""

    def kind(self, file: FileRef) -> Kind | None:
        """Return what a path names, symbolic links followed; None when it cannot be read."""

    def size(self, file: FileRef) -> int:
        """Return a file's size in bytes; raises BootcfgError."""

    def mtime(self, file: FileRef) -> int | None:
        """Return when a file was last changed, in seconds since 1970 UTC; None when that is not known."""

    def names(self, folder: FileRef) -> Sequence[str]:
        """Return the names in a directory, in no particular order; raises BootcfgError."""

    def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
        """Return a file's contents, up to the limit; raises BootcfgError."""


class Settings(NamedTuple):
    """What the caller presets: `variables` are GRUB's (`grub_platform`, `root`, ...).

    With `default_only` a dialect may leave all entries but the default one without what they boot.
    """

    variables: Mapping[str, str] = MappingProxyType({})
    default_only: bool = False


class Interpret(Protocol):
    """The one function of a dialect."""

    def __call__(self, machine: Machine, config: FileRef, settings: Settings) -> Menu:
        """Return the menu that `config` describes.

        Raises ConfigError when nothing can be made of it; what the boot loader itself would pass
        over becomes a warning of the menu or of the entry.
        """
