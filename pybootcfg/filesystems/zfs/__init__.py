"""ZFS: pools of OpenZFS, illumos, FreeBSD and zfs-fuse, read from uberblock to file.

Specification: formats/zfs.py and its siblings.  The layers, each in a module of its own:

    label, nvlist            what a device says about its pool
    vdev, raidz              where bytes lie, and how they are made good
    block, blkptr            one block: copies, gangs, checksum, compression
    checksum, compression    the functions themselves; fletcher, skein and edonr are ours
    pool                     devices put together, and the Meta Object Set
    dmu, zap                 objects and name-value stores
    dsl, znode, zil, view    datasets, files, the intent log, and one tree over several datasets
"""

from pybootcfg.filesystems.zfs.reader import Zfs

__all__ = ["Zfs"]
