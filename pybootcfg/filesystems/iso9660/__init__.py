"""ISO 9660 with Rock Ridge, Joliet, zisofs and El Torito, read as Linux mounts it."""

from pybootcfg.filesystems.iso9660.boot import BootImage
from pybootcfg.filesystems.iso9660.volume import Iso9660

__all__ = ["BootImage", "Iso9660"]
