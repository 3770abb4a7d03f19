"""The types of files, common to file systems and to what reads them."""

from __future__ import annotations

import stat

from pybootcfg.values import StrEnum


class Kind(StrEnum):
    """The type of a file, named as `pybootcfg ls --json` names it."""

    FILE = "file"
    DIRECTORY = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "char"
    BLOCK = "block"


_TYPE = 0o170000  # not stat.S_IFMT(), which refuses modes that are too large for this machine
_BY_MODE = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}


def of_mode(mode: int) -> Kind | None:
    """Return the type in a mode word, whose upper bits every Unix file system writes alike; None for none."""
    return _BY_MODE.get(mode & _TYPE)
