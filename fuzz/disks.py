"""Targets that are disks: one per file system, one per partition table, and pygrub as a whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import seeds
from edits import Edit, blocks_edited, checksums_held
from front_door import BOOTED, INSPECTED, WALKED, Broken, look_at
from mutation import CHECKSUMS_HELD, HEAD, LONGEST, Mutated, decode
from remembered import remember

from pybootcfg.cli import reader, record, supervision
from pybootcfg.cli.command_line import parse
from pybootcfg.cli.supervision import Task
from pybootcfg.errors import BootcfgError
from pybootcfg.results import FORMATS, Answer, format_answer
from pybootcfg.source import Source

#: ways to call pygrub, of which an input chooses one
CALLS = (
    ["-q", "-n"],
    ["-q"],
    ["-l"],
    ["-l", "--json"],
    ["-q", "-n", "--explain", "--no-journal"],
    ["-q", "--kernel=/boot/vmlinuz", "--ramdisk=/initrd.img", "--args=a=1"],
    ["-q", "-n", "--entry=1"],
    ["-q", "-n", "--sector-size=4096"],
)


#: what is done with a disk, of which two bits of an input choose one
WAYS = (WALKED, WALKED, BOOTED, INSPECTED)


class Case(NamedTuple):
    """What is to be done with which guest."""

    seed: str
    mutated: Mutated
    flags: int

    def document(self) -> dict[str, Any]:
        """Return the case as it is kept in tests/corpus/hostile."""
        return {
            "seed": self.seed,
            "size": self.mutated.size,
            "flags": self.flags,
            "edits": [[hex(address), data.hex()] for address, data in self.mutated.edits],
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Case:
        """Read what `document` returns."""
        edits = tuple(Edit(int(address, 16), bytes.fromhex(data)) for address, data in document["edits"])
        return cls(document["seed"], Mutated(edits, document["size"]), document["flags"])


class DiskTarget:
    """Guests made of some seeds."""

    longest = LONGEST
    structured = True

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name = name
        self._names = names

    def prepare(self) -> None:
        """Look through the seeds before the clock runs."""
        remember()
        for name in self._names:
            seed = seeds.load(name)
            _ = seed.fields, seed.spans

    def starts(self) -> list[bytes]:
        """Return inputs to begin with: every seed as it is, looked at in every way."""
        return [bytes([number, flags]) for number in range(len(self._names)) for flags in range(16)]

    def dictionary(self) -> list[bytes]:
        """Return nothing: whole fields are mutated."""
        return []

    def case(self, data: bytes) -> Case:
        """Return what an input stands for."""
        data = data.ljust(HEAD, b"\0")
        seed = self._names[data[0] % len(self._names)]
        return Case(seed, decode(data, seeds.load(seed)), data[1])

    def document(self, data: bytes) -> dict[str, Any]:
        """Return an input as it is kept in tests/corpus/hostile."""
        return self.case(data).document()

    def run(self, data: bytes) -> None:
        """Do what an input stands for; raises for a fault only."""
        self._do(self.case(data))

    def replay(self, document: dict[str, Any]) -> None:
        """Do what is kept in tests/corpus/hostile."""
        self._do(Case.of(document))

    def _do(self, case: Case) -> None:
        with _circumstances(case):
            sources = seeds.load(case.seed).sources(case.mutated)
            look_at(sources, WAYS[case.flags >> 1 & 3], case.flags >> 3)


@contextlib.contextmanager
def _circumstances(case: Case) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(blocks_edited(case.mutated.edits))
        if case.flags & CHECKSUMS_HELD:
            stack.enter_context(checksums_held())
        yield


class PygrubTarget(DiskTarget):
    """What pygrub does on both sides of its sandbox, in one process."""

    def starts(self) -> list[bytes]:
        """Return every seed as it is, with every way to call pygrub."""
        calls = range(0, 4 * len(CALLS), 4)
        return [bytes([number, flags]) for number in range(len(self._names)) for flags in calls]

    def _do(self, case: Case) -> None:
        with _circumstances(case):
            pygrub(CALLS[(case.flags >> 2) % len(CALLS)], seeds.load(case.seed).sources(case.mutated))


def pygrub(arguments: list[str], sources: list[Source]) -> None:
    """Read as the confined process does, and take its answer as its parent does."""
    task = Task(parse([*arguments, "--output-directory=/", "disk"]), sources)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        if task.command.copies:
            task.kernel, task.ramdisk = os.memfd_create("kernel"), os.memfd_create("ramdisk")
            stack.callback(os.close, task.kernel)
            stack.callback(os.close, task.ramdisk)
        try:
            said: record.Record = reader.read(task)
        except BootcfgError as error:
            said = supervision._failure(task, error)
        heard = _passed_on(said, task)
        if isinstance(heard, record.Copied | record.Named):
            for form in FORMATS:
                with contextlib.suppress(BootcfgError):
                    format_answer(Answer("/kernel", "/ramdisk" if heard.ramdisk else None, heard.args), form)


def _passed_on(said: record.Record, task: Task) -> record.Record:
    """Return a record as it comes out of the pipe; one that the parent would not believe is a fault."""
    limit = supervision._answer_limit(task.command)
    try:
        data = record.pack(said, limit)
    except BootcfgError as error:
        data = record.pack(supervision._failure(task, error))
    if record.length(data[: record.PREFIX], limit) != len(data) - record.PREFIX:
        raise Broken("a record of another length than it says")
    return record.unpack(data[record.PREFIX :])


_EXT = ("ext2-1k", "ext2-rev0", "ext4-default", "ext4-dirty", "ext4-inline")
_GPT = ("gpt", "gpt-backup", "gpt-hybrid", "iso-gpt")
_ZFS = ("checksums-v5000.d0", "datasets-v15.d0", "intent-log-v23.d0")
_RAIDZ = "+".join(f"zfs/raidz2-v23.d{number}.img.xz" for number in range(4))

TARGETS = [
    DiskTarget("ext", [f"ext/{name}.img.xz" for name in _EXT]),
    DiskTarget("fat", [f"fat/fat{bits}.img.xz" for bits in (12, 16, 32)]),
    DiskTarget("exfat", ["fat/exfat.img.xz"]),
    DiskTarget(
        "iso9660",
        [
            f"iso/{name}.iso.xz"
            for name in (
                "genisoimage-joliet",
                "genisoimage-rr",
                "makefs-rr",
                "xorriso-multisession",
                "xorriso-rr-joliet",
                "xorriso-rr-level4",
                "xorriso-zisofs2",
            )
        ],
    ),
    DiskTarget("ufs", [f"ufs/{name}.img.xz" for name in ("ufs1-be", "ufs1-le", "ufs2-be", "ufs2-le")]),
    DiskTarget(
        "reiserfs",
        [f"reiserfs/{n}.img.xz" for n in ("reiser35-rupasov", "reiser36-deep-dirty-part", "reiser36-r5")],
    ),
    DiskTarget("zfs", [*(f"zfs/{name}.img.xz" for name in _ZFS), _RAIDZ]),
    DiskTarget("mbr", [f"partitions/{name}.img.xz" for name in ("fat-mbr", "mbr-4096", "mbr-logical")]),
    DiskTarget("gpt", [f"partitions/{name}.img.xz" for name in _GPT]),
    DiskTarget("disklabel", ["partitions/bsd.img.xz"]),
    DiskTarget("vtoc", ["partitions/sparc.img.xz"]),
    PygrubTarget(
        "pygrub",
        ["examples/sample.img.xz", "ext/ext2-rev0.img.xz", "fat/fat16.img.xz", "reiserfs/reiser36-r5.img.xz"],
    ),
]
