"""Recovery of the journal (jbd2), in memory.

The log is walked three times, as Linux does it: a scan finds the last transaction that was committed,
a second walk collects what was revoked, a third one notes for each block where in the log its newest
contents lie.  Nothing is copied: `Replayed` maps block numbers to byte offsets, and an `Overlay`
reads through it.

Facts: kernel documentation, "Journal (jbd2)"; do_one_pass of fs/jbd2/recovery.c, whose judgement of
bad checksums is followed (what makes Linux refuse the journal leaves the volume unreplayed here).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pybootcfg import limits, schema
from pybootcfg.checksums import crc32_be, crc32c
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.log import Log
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

jbd2 = schema.load("jbd2")

SEQUENCES = 1 << 32  # transaction numbers wrap around


class Record(NamedTuple):
    """One block of the log that says something about others."""

    kind: int
    sequence: int
    position: int  # in the journal, in blocks
    data: bytes


class Tag(NamedTuple):
    """A block of the volume that a descriptor block says the log holds."""

    block: int
    flags: int
    checksum: int


class Replayed(Mapping[int, "int | bytes"]):
    """Block numbers of the volume, and where their newer contents lie: what an Overlay takes.

    A block that began with the journal's own magic was escaped; it is put together when it is read.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.offsets: dict[int, int] = {}
        self.escaped: set[int] = set()

    def put(self, block: int, offset: int, escaped: bool) -> None:
        """Note that the newest contents of `block` lie at byte `offset`."""
        self.offsets[block] = offset
        if escaped:
            self.escaped.add(block)
        else:
            self.escaped.discard(block)
        limits.EXT_JOURNAL_BLOCKS.check(len(self.offsets), "journal")

    def __getitem__(self, block: int) -> int | bytes:
        """Return the byte offset of the newer contents, or these themselves."""
        offset = self.offsets[block]
        if block in self.escaped:
            data = self.log.blocks.source.read(offset, self.log.blocks.size, "journal")
            return bytes(jbd2.MAGIC_BYTES) + data[len(jbd2.MAGIC_BYTES) :]
        return offset

    def __iter__(self) -> Iterator[int]:
        return iter(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets)


class BrokenLog(Exception):
    """The log is such that Linux would not replay it at all."""


class Recovery:
    """The recovery of one journal; `run` does it."""

    def __init__(self, log: Log, blocks: Blocks) -> None:
        self.log = log
        self.blocks = blocks
        self.end = log.superblock.s_sequence  # the first transaction that is not replayed
        self._revoked: dict[int, int] = {}

    def run(self) -> Replayed:
        """Return the blocks to put in place; BrokenLog when there is no replaying this log."""
        replayed = Replayed(self.log)
        if self.log.superblock.s_start:
            self._scan()
            for record in self._records(self.end):
                if record.kind == jbd2.REVOKE_BLOCK:
                    self._revoke(record)
            for record in self._records(self.end):
                if record.kind == jbd2.DESCRIPTOR_BLOCK:
                    self._replay(record, replayed)
        return replayed

    def _records(self, end: int | None) -> Iterator[Record]:
        """Yield the log's own blocks in order, up to where it ends or to transaction `end`."""
        superblock = self.log.superblock
        sequence: int = superblock.s_sequence
        position: int = superblock.s_start
        left = self.log.length  # no log is longer than the ring it lies in
        while end is None or not _reached(sequence, end):
            self._next = sequence
            data = self.log.read(position)
            header = jbd2.header.decode(data)
            if header.h_magic != jbd2.MAGIC or header.h_sequence != sequence:
                return
            kind: int = header.h_blocktype
            if kind not in (jbd2.DESCRIPTOR_BLOCK, jbd2.COMMIT_BLOCK, jbd2.REVOKE_BLOCK):
                return
            yield Record(kind, sequence, position, data)
            step = 1
            if kind == jbd2.DESCRIPTOR_BLOCK:
                step += sum(1 for _ in self._tags(data))
            elif kind == jbd2.COMMIT_BLOCK:
                sequence = (sequence + 1) % SEQUENCES
            position = self.log.after(position, step)
            left -= step
            if left < 0:
                raise BrokenLog("it never ends")
        self._next = sequence

    def _scan(self) -> None:
        """Set `end`, by what is committed and by the checksums."""
        doubt = False  # a block had a bad checksum; it may be left over from an earlier use of the log
        last_commit = 0  # seconds
        register = 0xFFFFFFFF  # of checksum version 1: over the transaction's descriptors and data
        failed: int | None = None
        for record in self._records(None):
            if record.kind == jbd2.DESCRIPTOR_BLOCK:
                doubt = doubt or not self._tail_is_sound(record.data)
                if self.log.has_compat(jbd2.COMPAT_CHECKSUM) and failed is None and not doubt:
                    register = self._checksum_v1(record, register)
                continue
            if record.kind == jbd2.REVOKE_BLOCK:
                doubt = doubt or not self._tail_is_sound(record.data)
                continue
            commit = jbd2.commit_header.decode(record.data)
            if doubt:
                if commit.h_commit_sec >= last_commit:
                    raise BrokenLog(f"transaction {record.sequence} has a bad checksum")
                failed = record.sequence
                break
            if self.log.has_compat(jbd2.COMPAT_CHECKSUM) and failed is not None:
                self._warn_failed(failed)
                break
            if not self._commit_is_sound(commit, record.data, register) and failed is None:
                failed = record.sequence
                if commit.h_commit_sec < last_commit:
                    break  # left over as well
                if not self.log.has_incompat(jbd2.INCOMPAT_ASYNC_COMMIT):
                    self._warn_failed(failed)
                    break
            register = 0xFFFFFFFF
            last_commit = commit.h_commit_sec
        self.end = self._next if failed is None else failed

    def _warn_failed(self, sequence: int) -> None:
        self.blocks.warn(
            f"journal: the commit of transaction {sequence} has a bad checksum; the log is replayed up to it"
        )

    def _tail_is_sound(self, data: bytes) -> bool:
        """Whether a descriptor or revoke block has the right checksum, if it must have one."""
        if not self.log.checksummed:
            return True
        end = len(data) - jbd2.block_tail.size
        stored = jbd2.block_tail.decode(data, end).t_checksum
        return bool(crc32c(data[:end] + bytes(jbd2.block_tail.size), self.log.checksum_seed) == stored)

    def _commit_is_sound(self, commit: Any, data: bytes, register: int) -> bool:
        stored = commit.h_chksum[0]
        if self.log.has_compat(jbd2.COMPAT_CHECKSUM):
            given = (commit.h_chksum_type, commit.h_chksum_size)
            unused = given == (0, 0) and not stored
            return unused or (
                given == (jbd2.CRC32_CHKSUM, jbd2.CRC32_CHKSUM_SIZE) and bool(register == stored)
            )
        if not self.log.checksummed:
            return True
        start = jbd2.COMMIT_CHECKSUM_OFFSET
        cleared = data[:start] + bytes(4) + data[start + 4 :]
        return bool(crc32c(cleared, self.log.checksum_seed) == stored)

    def _checksum_v1(self, record: Record, register: int) -> int:
        """Return the register after a descriptor block and the blocks that it describes."""
        register = crc32_be(record.data, register)
        position = record.position
        for _ in self._tags(record.data):
            position = self.log.after(position, 1)
            register = crc32_be(self.log.read(position), register)
        return register

    def _tags(self, data: bytes) -> Iterator[Tag]:
        """Yield the tags of a descriptor block."""
        version3 = self.log.has_incompat(jbd2.INCOMPAT_CSUM_V3)
        wide = self.log.has_incompat(jbd2.INCOMPAT_64BIT)
        decoder = jbd2.tag3 if version3 else jbd2.tag_64bit if wide else jbd2.tag
        step = decoder.size
        if self.log.has_incompat(jbd2.INCOMPAT_CSUM_V2) and not version3:
            step += jbd2.CSUM_V2_TAG_PADDING
        end = len(data) - (jbd2.block_tail.size if self.log.checksummed else 0)
        position = jbd2.header.size
        while position + step <= end:
            tag = decoder.decode(data, position)
            high = tag.t_blocknr_high if wide else 0
            yield Tag(tag.t_blocknr | high << 32, tag.t_flags, tag.t_checksum)
            position += step
            if not tag.t_flags & jbd2.FLAG_SAME_UUID:
                position += jbd2.TAG_UUID_SIZE
            if tag.t_flags & jbd2.FLAG_LAST_TAG:
                return

    def _revoke(self, record: Record) -> None:
        """Note the blocks that a revoke block names, each with the latest transaction that revokes it."""
        wide = self.log.has_incompat(jbd2.INCOMPAT_64BIT)
        decoder = jbd2.revoke_record_64bit if wide else jbd2.revoke_record
        start = jbd2.revoke_header.size
        used = jbd2.revoke_header.decode(record.data).r_count
        if used > len(record.data) - (jbd2.block_tail.size if self.log.checksummed else 0):
            raise BrokenLog(f"a revoke block of transaction {record.sequence} claims {used} bytes")
        for block in decoder.array(record.data, max(0, used - start) // decoder.size, start):
            known = self._revoked.get(block)
            if known is None or not _reached(known, record.sequence):
                self._revoked[block] = record.sequence
        limits.EXT_REVOKES.check(len(self._revoked), "journal")

    def _replay(self, record: Record, replayed: Replayed) -> None:
        """Put the blocks of one descriptor block in place, but those revoked then or later."""
        position = record.position
        for tag in self._tags(record.data):
            position = self.log.after(position, 1)
            revoked = self._revoked.get(tag.block)
            if revoked is not None and _reached(revoked, record.sequence):
                continue
            if tag.block >= self.blocks.superblock.blocks_count:
                self.blocks.warn(
                    f"journal: transaction {record.sequence} has block {tag.block}, which is not there"
                )
            elif self.log.checksummed and not self._data_is_sound(tag, record.sequence, position):
                self.blocks.warn(
                    f"journal: block {tag.block} in transaction {record.sequence} has a bad checksum "
                    "and is left out"
                )
            else:
                escaped = bool(tag.flags & jbd2.FLAG_ESCAPE)
                replayed.put(tag.block, self.log.offset(position), escaped)

    def _data_is_sound(self, tag: Tag, sequence: int, position: int) -> bool:
        seed = crc32c(sequence.to_bytes(4, "big"), self.log.checksum_seed)
        computed = crc32c(self.log.read(position), seed)
        if self.log.has_incompat(jbd2.INCOMPAT_CSUM_V3):
            return computed == tag.checksum
        return computed & 0xFFFF == tag.checksum


def _reached(sequence: int, other: int) -> bool:
    """Whether transaction `sequence` is `other` or a later one (tid_geq)."""
    return (sequence - other) % SEQUENCES < SEQUENCES >> 1
