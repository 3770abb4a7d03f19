"""An entry of the menu before it has its place in it."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from pybootcfg.menu import Entry


@dataclass(frozen=True)
class Counter:
    """How often an entry may still be tried, and was tried; from its file name (`+LEFT-DONE`)."""

    left: int
    done: int


@dataclass(frozen=True)
class Candidate:
    """An entry and what its place in the menu depends on.

    `name` is the file's name, `entry.id` the same without the counter.  `passed_over` says why
    systemd-boot itself would leave the entry out.
    """

    entry: Entry
    name: str
    version: str = ""
    machine_id: str = ""
    sort_key: str = ""
    counter: Counter | None = None
    profile: int = 0
    passed_over: str = ""

    def matches(self, pattern: str) -> bool:
        """Tell whether a pattern of loader.conf means this entry; case does not count."""
        names = {self.name.casefold(), self.entry.id.casefold()}
        return any(fnmatch.fnmatchcase(name, pattern.casefold()) for name in names)
