"""The S+tree: nodes, the search from the root to a leaf, and items in the order of their keys.

Leaves have no pointers to their neighbours.  A search remembers the delimiting key to the right of the
leaf that it found, and that key leads to the next leaf.  Every node's keys must lie between the
delimiting keys above it, and every child one level below its parent, so that no damage makes a walk go in
circles: keys only grow.
"""

from __future__ import annotations

import functools
import operator
from bisect import bisect_right

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

layout = schema.load("reiserfs")

#: decoded nodes that are kept: the paths of several searches at once, and a few MiB at the most
CACHED_NODES = 64

_TYPES_V1 = {
    layout.V1_SD_UNIQUENESS: layout.TYPE_STAT_DATA,
    layout.V1_INDIRECT_UNIQUENESS: layout.TYPE_INDIRECT,
    layout.V1_DIRECT_UNIQUENESS: layout.TYPE_DIRECT,
    layout.V1_DIRENTRY_UNIQUENESS: layout.TYPE_DIRENTRY,
}
_TYPES_V2 = (layout.TYPE_INDIRECT, layout.TYPE_DIRECT, layout.TYPE_DIRENTRY)


class Key(NamedTuple):
    """What items are sorted by, the same for both formats of keys on the disk."""

    dir_id: int
    objectid: int
    offset: int
    type: int

    @classmethod
    def decoded(cls, raw: Any) -> Key:
        """Return the meaning of a `reiserfs_key`, whose format shows in the bits of the type."""
        item_type = raw.k_uniqueness >> layout.OFFSET_V2_TYPE_SHIFT
        if item_type in _TYPES_V2:
            upper = raw.k_uniqueness ^ item_type << layout.OFFSET_V2_TYPE_SHIFT
            return cls(raw.k_dir_id, raw.k_objectid, upper << 32 | raw.k_offset, item_type)
        item_type = _TYPES_V1.get(raw.k_uniqueness, layout.TYPE_ANY)
        return cls(raw.k_dir_id, raw.k_objectid, raw.k_offset, item_type)

    @property
    def object(self) -> tuple[int, int]:
        """The directory id and object id, which all items of one file or directory share."""
        return self[:2]


class Item(NamedTuple):
    """One item of a leaf: `length` bytes at `location` of `block`, which lies at byte `at` of the disk."""

    key: Key
    version: int
    entry_count: int
    block: bytes
    location: int
    length: int
    at: int

    def error(self, message: str, structure: str) -> ImageError:
        """Return an error about the contents of this item."""
        return ImageError(message, offset=self.at + self.location, structure=structure)


class Internal(NamedTuple):
    """An internal node: child i holds what is below key i, and not below key i - 1."""

    at: int
    level: int
    keys: list[Key]
    children: tuple[int, ...]


class Leaf(NamedTuple):
    """A leaf: the heads of its items, and the block that holds them."""

    at: int
    level: int
    keys: list[Key]
    heads: tuple[Any, ...]
    block: bytes

    def items(self, start: int) -> Iterator[Item]:
        """Yield the items from number `start` on."""
        for key, head in zip(self.keys[start:], self.heads[start:], strict=True):
            version = head.ih_version & layout.IH_VERSION_MASK
            location, length = head.ih_item_location, head.ih_item_len
            if location < self.heads_end or location + length > len(self.block):
                raise ImageError(
                    f"item of {length} bytes at {location} does not fit into its node",
                    offset=self.at,
                    structure="item_head",
                )
            yield Item(key, version, head.ih_entry_count, self.block, location, length, self.at)

    @property
    def heads_end(self) -> int:
        """Where the item heads end, in bytes from the start of the block."""
        end: int = layout.block_head.size + len(self.heads) * layout.item_head.size
        return end


class Tree:
    """The tree of one file system, whose root is block `root` of `source`."""

    def __init__(
        self, source: Source, block_size: int, block_count: int, root: int, warn: Callable[[str], None]
    ) -> None:
        self.source = source
        self.block_size = block_size
        self.block_count = block_count
        self.root = root
        self._warn = warn
        self.node = functools.lru_cache(CACHED_NODES)(self._node)

    def items(self, key: Key) -> Iterator[Item]:
        """Yield items in the order of their keys, from the last one that is not above `key` on.

        Raises ImageError for a damaged node, after the items before it.
        """
        leaf, following = self._search(key)
        start = max(0, bisect_right(leaf.keys, key) - 1)
        while True:
            yield from leaf.items(start)
            if following is None:
                return
            leaf, following = self._search(following)
            start = 0

    def _search(self, key: Key) -> tuple[Leaf, Key | None]:
        """Return the leaf where `key` belongs, and the delimiting key to the right of it."""
        node = self.node(self.root)
        left: Key | None = None
        right: Key | None = None
        while isinstance(node, Internal):
            position = bisect_right(node.keys, key)
            if position:
                left = node.keys[position - 1]
            if position < len(node.keys):
                right = node.keys[position]
            child = self.node(node.children[position], node.level - 1)
            if child.keys and (
                (left is not None and child.keys[0] < left) or (right is not None and child.keys[-1] >= right)
            ):
                raise self._damage(child.at, "keys lie outside of those that delimit the node")
            node = child
        return node, right

    def _node(self, number: int, level: int | None = None) -> Internal | Leaf:
        """Read and check the node in block `number`, which must be of this level."""
        at = self.offset(number, "disk_child")
        block = self.source.read(at, self.block_size, "block_head")
        head = layout.block_head.decode(block, at=at)
        if head.blk_level < layout.DISK_LEAF_NODE_LEVEL:
            raise self._damage(at, f"level {head.blk_level} is not that of a node in use")
        if head.blk_level != (level or head.blk_level):
            raise self._damage(at, f"level {level} expected, but {head.blk_level} found")
        limits.REISERFS_TREE_HEIGHT.check(head.blk_level, "block_head")
        if head.blk_level == layout.DISK_LEAF_NODE_LEVEL:
            return self._leaf(at, block, head)
        return self._internal(at, block, head)

    def _leaf(self, at: int, block: bytes, head: Any) -> Leaf:
        start = layout.block_head.size
        count = head.blk_nr_item
        if not count or start + count * layout.item_head.size > len(block):
            raise self._damage(at, f"{count} items cannot be in a leaf")
        heads = layout.item_head.array(block, count, start, at=at)
        leaf = Leaf(at, head.blk_level, [Key.decoded(one.ih_key) for one in heads], heads, block)
        self._check_order(leaf)
        if heads[-1].ih_item_location - leaf.heads_end != head.blk_free_space:
            self._warn(f"the free space of the node at byte {at:#x} is not what its header says")
        return leaf

    def _internal(self, at: int, block: bytes, head: Any) -> Internal:
        start = layout.block_head.size
        count = head.blk_nr_item
        end = start + count * layout.reiserfs_key.size
        if end + (count + 1) * layout.disk_child.size > len(block):
            raise self._damage(at, f"{count} keys cannot be in an internal node")
        keys = [Key.decoded(raw) for raw in layout.reiserfs_key.array(block, count, start, at=at)]
        children = layout.disk_child.array(block, count + 1, end, at=at)
        node = Internal(at, head.blk_level, keys, tuple(child.dc_block_number for child in children))
        self._check_order(node)
        return node

    def _check_order(self, node: Internal | Leaf) -> None:
        keys = node.keys
        if not all(map(operator.lt, keys, keys[1:])):
            raise self._damage(node.at, "keys are not in order")

    def offset(self, number: int, structure: str) -> int:
        """Return the byte offset of block `number`, which a `structure` points to."""
        if not 0 < number < self.block_count:
            raise ImageError(
                f"block {number} is not one of {self.block_count} blocks",
                structure=structure,
                source=self.source.name,
            )
        return number * self.block_size

    def _damage(self, at: int, message: str) -> ImageError:
        return ImageError(
            message,
            offset=at,
            structure="block_head",
            source=self.source.name,
            hint="reiserfsck may repair it",
        )
