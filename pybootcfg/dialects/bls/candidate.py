"""An entry of the menu before it has its place in it."""

from __future__ import annotations

import fnmatch
import re

from pybootcfg.menu import Entry
from pybootcfg.values import NamedTuple

_COUNTER = re.compile(r"(?P<name>.*)\+(?P<left>[0-9]{1,10})(?:-(?P<done>[0-9]{1,10}))?(?P<ending>\.[^.+]*)")


class Counter(NamedTuple):
    """How often an entry may still be tried, and was tried; from its file name (`+LEFT-DONE`)."""

    left: int
    done: int


def uncounted(name: str) -> tuple[str, Counter | None]:
    """Split a file name into the id and the counter of boot attempts.

    >>> uncounted("linux+3-1.conf")
    ('linux.conf', Counter(left=3, done=1))
    """
    match = _COUNTER.fullmatch(name)
    if not match:
        return name, None
    counter = Counter(int(match["left"]), int(match["done"] or 0))
    return match["name"] + match["ending"], counter


class Candidate(NamedTuple):
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
