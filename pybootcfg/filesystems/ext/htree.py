"""The hash tree of a directory: one name is found in as many blocks as the tree is deep.

The index blocks hold (hash, block) pairs in order.  A leaf is an ordinary block of entries whose
hashes lie between that of its pair and that of the next; when entries of the same hash did not fit,
the next pair's hash has its lowest bit set, and the search goes on there.

Facts: kernel documentation, "Hash Tree Directories"; dx_probe and ext4_htree_next_block of
fs/ext4/namei.c.
"""

from __future__ import annotations

from bisect import bisect_right

from pybootcfg import schema
from pybootcfg.filesystems.ext.hashes import UNSIGNED, directory_hash
from pybootcfg.filesystems.ext.inode import Inode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

layout = schema.load("ext")

ROOT_OFFSET: int = layout.dx_root.size
NODE_OFFSET: int = layout.dx_node.size
ENTRY_SIZE: int = layout.dx_entry.size


class NotIndexed(Exception):
    """The directory has no index, or one by a hash that only the kernel can compute."""


class _Frame(NamedTuple):
    """An index block and the place of the pair that was followed."""

    data: bytes
    base: int  # bytes to the first pair
    pairs: int
    at: int

    def hash(self, index: int) -> int:
        """Return the lowest hash below pair `index`; that of the first one is not stored."""
        if index == 0:
            return 0
        pair = layout.dx_entry.decode(self.data, self.base + index * ENTRY_SIZE)
        return pair.hash  # type: ignore[no-any-return]

    @property
    def block(self) -> int:
        """The block of the directory below the pair."""
        position = self.base + self.at * ENTRY_SIZE
        return layout.dx_entry.decode(self.data, position).block & layout.DX_BLOCK_MASK  # type: ignore[no-any-return]


class _Hashes:
    """The hashes of a frame, to be bisected."""

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return self.frame.pairs

    def __getitem__(self, index: int) -> int:
        return self.frame.hash(index)


class Index:
    """The index of one directory.

    `block` reads a block of the directory, `records` lists the entries of one.  All methods raise
    ImageError for an index that cannot be right, NotIndexed when there is none to use.
    """

    def __init__(
        self,
        inode: Inode,
        block: Callable[[int], tuple[bytes, int]],
        records: Callable[[Inode, bytes, int], Iterable[tuple[bytes, int]]],
    ) -> None:
        self.inode = inode
        self.superblock = inode.blocks.superblock
        self.block = block
        self.records = records
        self._read_root()

    def _read_root(self) -> None:
        data, offset = self._index_block(0)
        root = self.inode.blocks.decode(layout.dx_root, data, 0, self.inode.name, offset)
        if root.hash_version == layout.HASHES["siphash"]:
            raise NotIndexed
        if root.hash_version not in UNSIGNED or root.unused_flags & 1:
            raise self.inode.damage(
                f"an index by hash {root.hash_version} with flags {root.unused_flags:#x}", offset
            )
        large = self.superblock.has_incompat("large_dir")
        levels = layout.DX_LEVELS_LARGE if large else layout.DX_LEVELS
        if root.indirect_levels >= levels:
            raise self.inode.damage(f"an index with {root.indirect_levels} levels below the root", offset)
        self.depth: int = root.indirect_levels
        unsigned = self.superblock.record.s_flags & layout.UNSIGNED_HASH
        self.version: int = UNSIGNED[root.hash_version] if unsigned else root.hash_version

    def _index_block(self, logical: int) -> tuple[bytes, int]:
        data, offset = self.block(logical)
        if self.inode.number in self.inode.blocks.unindexed:
            raise self.inode.damage("an index block has a bad checksum", offset)
        return data, offset

    def find(self, name: bytes, key: bytes, fold: Callable[[bytes], bytes] | None = None) -> int | None:
        """Return the number of the inode called `name`.

        `key` is what is hashed; with `fold`, names are the same when their folded forms are.
        """
        wanted = self._hash(key)
        frames = self._descend(0, ROOT_OFFSET, wanted, self.depth + 1)
        for _ in range(self.inode.size // self.superblock.block_size):
            data, offset = self.block(frames[-1].block)
            if fold is not None or name in data:
                for found, number in self.records(self.inode, data, offset):
                    if found == name or (fold is not None and fold(found) == key):
                        return number
            if not self._advance(frames, wanted):
                self._check_leaf(frames, data, offset, fold)
                return None
        raise self.inode.damage("the index has more leaves than the directory has blocks")

    def _hash(self, key: bytes) -> int:
        return directory_hash(key, self.version, self.superblock.record.s_hash_seed)

    def _descend(self, logical: int, base: int, wanted: int, levels: int) -> list[_Frame]:
        """Return the frames from an index block down, each at the last pair that is not over `wanted`."""
        frames = []
        for _ in range(levels):
            frame = self._frame(logical, base)
            frame = frame._replace(at=max(0, bisect_right(_Hashes(frame), wanted) - 1))
            frames.append(frame)
            logical, base = frame.block, NODE_OFFSET
        return frames

    def _frame(self, logical: int, base: int) -> _Frame:
        data, offset = self._index_block(logical)
        if base == NODE_OFFSET and layout.dx_node.decode(data).fake.inode:
            raise self.inode.damage("no block of an index where one must be", offset)
        header = layout.dx_countlimit.decode(data, base)
        tail = layout.dx_tail.size if self.superblock.metadata_csum else 0
        limit = (len(data) - base - tail) // ENTRY_SIZE
        if header.limit != limit or not 0 < header.count <= limit:
            raise self.inode.damage(
                f"an index block of {header.count} pairs with room for {header.limit}, which must be {limit}",
                offset + base,
            )
        return _Frame(data, base, header.count, 0)

    def _advance(self, frames: list[_Frame], wanted: int) -> bool:
        """Move on to the next leaf if it holds more entries of the hash `wanted` (which is even)."""
        level = len(frames) - 1
        while level >= 0 and frames[level].at + 1 == frames[level].pairs:
            level -= 1
        if level < 0:
            return False
        frame = frames[level]
        if frame.hash(frame.at + 1) & ~1 != wanted:
            return False
        frames[level] = frame = frame._replace(at=frame.at + 1)
        below = len(frames) - level - 1
        frames[level + 1 :] = self._descend(frame.block, NODE_OFFSET, 0, below)
        return True

    def _check_leaf(
        self, frames: list[_Frame], data: bytes, offset: int, fold: Callable[[bytes], bytes] | None
    ) -> None:
        """Raise ImageError unless all entries of a leaf belong there, so that a miss can be believed."""
        lowest, highest = 0, 0xFFFFFFFF
        for frame in frames:
            lowest = max(lowest, frame.hash(frame.at) & ~1)
            if frame.at + 1 < frame.pairs:
                highest = min(highest, frame.hash(frame.at + 1))
        for found, _ in self.records(self.inode, data, offset):
            if found in (b".", b".."):
                continue
            value = self._hash(fold(found) if fold else found)
            if not lowest <= value <= highest:
                raise self.inode.damage(
                    f"an entry with hash {value:#x} is not where its hash belongs", offset
                )
