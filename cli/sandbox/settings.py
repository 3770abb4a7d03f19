"""What differs from one confined process to the next."""

from __future__ import annotations

from pybootcfg.values import NamedTuple

NOBODY = 65534


class Settings(NamedTuple):
    """The caps (address space, private memory and file size in bytes, processor time in seconds), and more.

    `runas` is the user that the caller asked for; without it root becomes `nobody`.  `files` is the
    number of the highest descriptor that the process keeps, `parent` the process it must not outlive.
    """

    memory: int
    data: int
    cpu: int
    file_size: int
    parent: int
    files: int = 2
    runas: int | None = None
    terminal: bool = False
