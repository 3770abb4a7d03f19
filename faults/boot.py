"""One run of what pygrub does with a guest's disks, in this process: from the tables to the copies.

It is `cli.reader.read`, the very function of pygrub's confined reader, and what its parent does with the
answer: it is packed, checked, compared with the copies and worded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pybootcfg import limits
from pybootcfg.boot import NothingBootableError
from pybootcfg.cli import reader, record
from pybootcfg.cli.command_line import parse
from pybootcfg.cli.supervision import Task
from pybootcfg.errors import BootcfgError
from pybootcfg.results import Answer, format_answer
from pybootcfg.source import Source

#: what an image may end in, but for `bug`
SAME, OTHER = "the same answer", "another answer"
_WHY = {1: "not there", 3: "unsupported feature", 4: "damaged", 5: "over a limit"}

Said = tuple[int, int | None, str | None]  #: sizes of kernel and ramdisk, arguments


class WrongResult(AssertionError):
    """The reader's answer is not what its files hold, or does not survive what its parent does with it."""


class Run:
    """Boots the disks, again and again; the copies go to one pair of files without a name."""

    def __init__(self, disks: Sequence[Source]) -> None:
        self.disks = disks
        self.renew()

    def renew(self) -> None:
        """Take new files, as a forked process must: it has those of its parent, which others write to."""
        self.outputs = [os.memfd_create(name) for name in ("kernel", "ramdisk")]

    def close(self) -> None:
        """Close the files."""
        for fd in self.outputs:
            os.close(fd)

    def boot(self) -> record.Copied:
        """Return what the reader answers; raise what pygrub raises, and WrongResult."""
        for fd in self.outputs:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        disks: Any = self.disks  # sources that are no files: only descriptors are asked for by the parent
        task = Task(parse(["-q", "--explain", "disk"]), disks)
        task.kernel, task.ramdisk = self.outputs
        answer = reader.read(task)
        packed = record.pack(answer, limits.ANSWER_SIZE)
        try:
            checked = record.unpack(packed[record.PREFIX :])
        except record.Nonsense as error:
            raise WrongResult(f"the parent refuses what the reader says: {error}") from error
        if not isinstance(checked, record.Copied) or checked[:3] != answer[:3]:
            raise WrongResult("the parent does not get what the reader says")
        sizes = [os.fstat(fd).st_size for fd in self.outputs]
        if sizes != [checked.kernel, checked.ramdisk or 0]:
            raise WrongResult(f"sizes {checked.kernel} and {checked.ramdisk} said, {sizes} copied")
        format_answer(Answer("/kernel", "/ramdisk" if checked.ramdisk else None, checked.args), "sxp")
        return checked

    def outcome(self, expected: Said | str) -> str:
        """Boot and return in words what came of it; what must not happen is raised.

        `expected` is what the disks give without a fault: the answer, or an outcome in words.
        """
        try:
            said = self.boot()[:3]
        except NothingBootableError as error:
            return f"nothing boots: {_WHY.get(error.exit_status, error.exit_status)}"
        except (BootcfgError, OSError) as error:
            return f"error: {type(error).__name__}"
        return SAME if said == expected else OTHER

    def expected(self) -> Said | str:
        """Return what `outcome` compares with, from disks without a fault."""
        try:
            return self.boot()[:3]
        except BootcfgError:
            return self.outcome("")

    def observed(self) -> tuple[object, ...]:
        """Boot and return all that can be seen from outside: the answer or the error, in full words."""
        try:
            return tuple(self.boot())
        except (BootcfgError, OSError) as error:
            attempts = [(volume.name, why) for volume, why, _ in getattr(error, "attempts", ())]
            return type(error), str(error), attempts
