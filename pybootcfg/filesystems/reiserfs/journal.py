"""The journal: a ring of transactions, each a description block, the blocks, and a commit block.

A transaction counts when its commit block agrees with its description block.  Replay happens in
memory: `copies` tells, for each block of a transaction, where in the journal its newer copy lies.  As in
fs/reiserfs/journal.c of Linux 6.1, the journal header says where replay starts, and it ends at the first
block that is no transaction, or one of another mount, or an older one.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("reiserfs")

_SEARCHED_AT_ONCE = 64  # blocks


class Transaction(NamedTuple):
    """One complete transaction, whose description block is block `start` of the ring.

    `length` counts the blocks between that one and the commit block.
    """

    start: int
    trans_id: int
    mount_id: int
    length: int


class Journal:
    """The journal of the file system in `source`, which must lie there as well.

    Raises ImageError when the journal cannot be where the super block says, or has another's header,
    LimitExceeded when it is longer than any that there is.
    """

    def __init__(self, source: Source, superblock: Any) -> None:
        parameters = superblock.s_journal
        self.source = source
        self.block_size: int = superblock.s_blocksize
        self.block_count: int = superblock.s_block_count
        self.first: int = parameters.jp_journal_1st_block
        self.size: int = limits.REISERFS_JOURNAL_BLOCKS.check(parameters.jp_journal_size, "journal_params")
        if not 0 < self.first < self.first + self.size < self.block_count:
            raise ImageError(
                f"{self.size} blocks from block {self.first} on are not within the file system",
                structure="journal_params",
            )
        self.header_offset = (self.first + self.size) * self.block_size
        self.header = layout.reiserfs_journal_header.read(source, self.header_offset)
        in_header = self.header.jh_journal
        relocated = superblock.s_magic.startswith(layout.REISER2FS_JR_SUPER_MAGIC_STRING)
        if relocated and in_header.jp_journal_magic != parameters.jp_journal_magic:
            raise ImageError(
                "the magic is not that of the super block",
                offset=self.header_offset,
                structure="reiserfs_journal_header",
            )
        # Either block that lists where the others belong holds half of them.
        self.half = (self.block_size - layout.JOURNAL_TRANS_HALF_OVERHEAD) // layout.realblock.size
        trans_max = in_header.jp_journal_trans_max or layout.JOURNAL_TRANS_MAX_DEFAULT
        self.longest = min(trans_max, self.size - 2, 2 * self.half)

    def offset(self, index: int) -> int:
        """Return the byte offset of block `index` of the ring."""
        return (self.first + index % self.size) * self.block_size

    def transaction(self, index: int) -> Transaction | None:
        """Return the transaction whose description block is `index`, None when there is no complete one."""
        at = self.offset(index)
        magic_at = at + self.block_size - layout.JOURNAL_DESC_MAGIC_FROM_END
        magic = self.source.read(magic_at, len(layout.JOURNAL_DESC_MAGIC), "reiserfs_journal_desc")
        if magic != layout.JOURNAL_DESC_MAGIC:
            return None
        desc = layout.reiserfs_journal_desc.read(self.source, at)
        if not 0 < desc.j_len <= self.longest:
            return None
        commit = layout.reiserfs_journal_commit.read(self.source, self.offset(index + desc.j_len + 1))
        if (commit.j_trans_id, commit.j_len) != (desc.j_trans_id, desc.j_len):
            return None
        return Transaction(index % self.size, desc.j_trans_id, desc.j_mount_id, desc.j_len)

    def pending(self) -> Iterator[Transaction]:
        """Yield, in order, the complete transactions whose blocks may not be in their places yet."""
        flushed, index = self.header.j_last_flush_trans_id, self.header.j_first_unflushed_offset
        mount_id, oldest = self.header.j_mount_id, flushed + 1
        if not flushed or index >= self.size:
            found = self._oldest()
            if found is None:
                return
            index, oldest, mount_id, _ = found
        left = self.size
        while left > 0:
            transaction = self.transaction(index)
            if transaction is None or transaction.mount_id != mount_id or transaction.trans_id < oldest:
                return
            yield transaction
            oldest = transaction.trans_id + 1
            index = transaction.start + transaction.length + 2
            left -= transaction.length + 2

    def _oldest(self) -> Transaction | None:
        """Return the oldest transaction of the last mount, searched in the whole ring."""
        oldest: Transaction | None = None
        index = 0
        for start in range(0, self.size, _SEARCHED_AT_ONCE):
            count = min(_SEARCHED_AT_ONCE, self.size - start)
            data = self.source.read(self.offset(start), count * self.block_size, "journal")
            if layout.JOURNAL_DESC_MAGIC not in data:
                continue
            index = max(index, start)
            while index < start + count:
                found = self.transaction(index)
                index += found.length + 2 if found else 1
                if found and (oldest is None or _older(found, oldest)):
                    oldest = found
        return oldest

    def realblocks(self, transaction: Transaction) -> tuple[int, ...]:
        """Return where the blocks of a transaction belong, in their order.

        Raises ImageError when one belongs outside of the file system, or into the journal itself.
        """
        at = self.offset(transaction.start)
        block = self.source.read(at, self.block_size, "reiserfs_journal_desc")
        listed = min(transaction.length, self.half)
        numbers: tuple[int, ...] = layout.realblock.array(
            block, listed, layout.reiserfs_journal_desc.size, at=at
        )
        if listed < transaction.length:
            commit_at = self.offset(transaction.start + transaction.length + 1)
            block = self.source.read(commit_at, self.block_size, "reiserfs_journal_commit")
            rest = transaction.length - listed
            start = layout.reiserfs_journal_commit.size
            numbers += layout.realblock.array(block, rest, start, at=commit_at)
        for number in numbers:
            if number >= self.block_count or self.first <= number <= self.first + self.size:
                raise ImageError(
                    f"a copy of block {number} cannot be in the journal", offset=at, structure="j_realblock"
                )
        return numbers

    def copies(self, transaction: Transaction) -> dict[int, int]:
        """Map each block that a transaction holds a copy of to the byte offset of that copy."""
        numbers = self.realblocks(transaction)
        return {number: self.offset(index) for index, number in enumerate(numbers, transaction.start + 1)}


def _older(one: Transaction, other: Transaction) -> bool:
    """Whether `one` comes first of what there is to replay: of a later mount, or earlier in the same."""
    return (-one.mount_id, one.trans_id) < (-other.mount_id, other.trans_id)
