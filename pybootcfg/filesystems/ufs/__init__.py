"""The Unix file system (UFS1, UFS2) of FreeBSD, NetBSD, OpenBSD, DragonFly, SunOS and Solaris."""

from pybootcfg.filesystems.ufs.reader import Ufs

__all__ = ["Ufs"]
