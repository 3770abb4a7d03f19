"""ext2, ext3 and ext4, read-only, with their journal replayed in memory."""

from pybootcfg.filesystems.ext.filesystem import Ext, ExtNode

__all__ = ["Ext", "ExtNode"]
