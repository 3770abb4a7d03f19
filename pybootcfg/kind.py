"""The types of files, common to file systems and to what reads them."""

from __future__ import annotations

import enum


class Kind(enum.StrEnum):
    """The type of a file, named as `pybootcfg ls --json` names it."""

    FILE = "file"
    DIRECTORY = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "char"
    BLOCK = "block"
