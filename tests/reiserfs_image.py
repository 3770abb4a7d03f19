"""Builds ReiserFS images of any block size, format and hash, for the tests.

The reference tools cannot put files into a ReiserFS, so `Image` lays trees out by the schemas; reiserfsck
and grub-fstest say in test_reiserfs_built.py whether that is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Filesystem, Options
from pybootcfg.filesystems.reiserfs import hashes
from pybootcfg.formats import reiserfs as layout
from pybootcfg.source import MemorySource

ROOT = (layout.REISERFS_ROOT_PARENT_OBJECTID, layout.REISERFS_ROOT_OBJECTID)
UUID = "12345678-9abc-4def-8012-3456789abcde"
JOURNAL_MAGIC = 0x1EA7BEEF
V1_UNIQUENESS = {
    layout.TYPE_STAT_DATA: layout.V1_SD_UNIQUENESS,
    layout.TYPE_INDIRECT: layout.V1_INDIRECT_UNIQUENESS,
    layout.TYPE_DIRECT: layout.V1_DIRECT_UNIQUENESS,
    layout.TYPE_DIRENTRY: layout.V1_DIRENTRY_UNIQUENESS,
}


@dataclass
class File:
    """A file: its contents, and which of its blocks are holes, by index."""

    data: bytes
    holes: frozenset[int] = frozenset()
    version: int = layout.KEY_FORMAT_3_6
    tail: bool = True
    gap: int = 0  # blocks left free between the blocks of the file


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: bytes


@dataclass(frozen=True)
class Hidden:
    """An entry that is not visible, of a file that is being deleted."""

    data: bytes


Directory = dict[bytes, "Directory | File | Link | Hidden"]
TreeKey = tuple[int, int, int, int]


@dataclass
class Item:
    key: TreeKey
    version: int
    body: bytes
    entry_count: int = 0xFFFF


def disk_key(key: TreeKey, version: int) -> dict[str, int]:
    dir_id, objectid, offset, item_type = key
    uniqueness = V1_UNIQUENESS[item_type]
    if version == layout.KEY_FORMAT_3_6 and item_type != layout.TYPE_STAT_DATA:
        uniqueness = item_type << layout.OFFSET_V2_TYPE_SHIFT | offset >> 32
    return {
        "k_dir_id": dir_id,
        "k_objectid": objectid,
        "k_offset": offset & 0xFFFFFFFF,
        "k_uniqueness": uniqueness,
    }


@dataclass
class Image:
    """Builds one file system; `blocks` holds the blocks that are not zero."""

    top: Directory
    block_size: int = 4096
    old: bool = False  # format 3.5
    converted: bool = False  # made as 3.5, later mounted with `conv`; directories and links are the old ones
    relocated: bool = True
    code: int = layout.R5_HASH
    written_code: int | None = None
    fanout: int = 1 << 16  # children of an internal node at most
    leaf_items: int = 1 << 16  # items of a leaf at most
    journal_size: int = 512  # blocks; the standard journal has 8192 blocks of 4096 bytes
    padding: int = 8  # names in directory items end on a multiple of it
    blocks: dict[int, bytes] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    level_blocks: list[list[int]] = field(default_factory=list)  # nodes of each level, leaves first

    def __post_init__(self) -> None:
        self.super_block = layout.REISERFS_DISK_OFFSET_IN_BYTES // self.block_size
        self.journal_first = self.super_block + 2
        self.next_block = self.journal_first + self.journal_size + 1
        self.next_object = ROOT[1] + 1
        self.used = set(range(self.next_block))
        self._directory(ROOT, (0, 1), self.top)
        self.items.sort(key=lambda item: item.key)
        self._tree()
        self._finish()

    @property
    def version(self) -> int:
        return int(layout.KEY_FORMAT_3_5 if self.old or self.converted else layout.KEY_FORMAT_3_6)

    @property
    def magic(self) -> bytes:
        if self.relocated:
            return bytes(layout.REISER2FS_JR_SUPER_MAGIC_STRING)
        old, new = layout.REISERFS_SUPER_MAGIC_STRING, layout.REISER2FS_SUPER_MAGIC_STRING
        return bytes(old if self.old else new)

    def allocate(self, contents: bytes = b"") -> int:
        while self.next_block % (self.block_size * 8) == 0:  # a bitmap is there
            self.used.add(self.next_block)
            self.next_block += 1
        number = self.next_block
        self.next_block += 1
        self.used.add(number)
        self.blocks[number] = contents.ljust(self.block_size, b"\0")
        return number

    # --- items ---

    def _stat(
        self,
        owner: tuple[int, int],
        mode: int,
        size: int,
        nlink: int,
        blocks: int,
        version: int,
        first_direct_byte: int = 0xFFFFFFFF,
    ) -> None:
        common = {"sd_mode": mode, "sd_nlink": nlink, "sd_uid": 0, "sd_gid": 0, "sd_size": size}
        common |= {"sd_atime": 1, "sd_mtime": 1700000000, "sd_ctime": 3, "sd_rdev": blocks}
        if version == layout.KEY_FORMAT_3_5:
            body = layout.stat_data_v1.build(common | {"sd_first_direct_byte": first_direct_byte})
        else:
            body = layout.stat_data.build(common | {"sd_attrs": 0, "sd_blocks": blocks, "sd_rdev": 0})
        self.items.append(Item((*owner, 0, layout.TYPE_STAT_DATA), version, body, 0 if version else 0xFFFF))

    def _directory(self, owner: tuple[int, int], parent: tuple[int, int], contents: Directory) -> None:
        named: list[tuple[int, bytes, tuple[int, int], int]] = [
            (layout.DOT_OFFSET, b".", owner, layout.DEH_VISIBLE),
            (layout.DOT_DOT_OFFSET, b"..", parent, layout.DEH_VISIBLE),
        ]
        generations: dict[int, int] = {}
        for name, child in contents.items():
            value = hashes.values(self.code, name)[0]
            generation = generations.get(value, 0)
            generations[value] = generation + 1
            key = (owner[1], self.next_object)
            self.next_object += 1
            state = 0 if isinstance(child, Hidden) else layout.DEH_VISIBLE
            named.append((value | generation, name, key, state))
            if isinstance(child, dict):
                self._directory(key, owner, child)
            else:
                self._file(key, child)
        self._entries(owner, sorted(named), sum(isinstance(child, dict) for child in contents.values()))

    def _entries(
        self, owner: tuple[int, int], named: list[tuple[int, bytes, tuple[int, int], int]], below: int
    ) -> None:
        room = self.block_size - layout.block_head.sizeof() - layout.item_head.sizeof()
        group: list[tuple[int, bytes, tuple[int, int], int]] = []
        used = size = 0
        for entry in [*named, None]:
            cost = 0 if entry is None else layout.reiserfs_de_head.sizeof() + self._padded(entry[1])
            if entry is None or used + cost > room:
                self._entry_item(owner, group)
                group, used = [], 0
            if entry is not None:
                group.append(entry)
                used += cost
                size += cost
        blocks = -(-size // 512)
        self._stat(owner, 0o40755, size, 2 + below, blocks, self.version)

    def _padded(self, name: bytes) -> int:
        return -(-len(name) // self.padding) * self.padding

    def _entry_item(self, owner: tuple[int, int], group: list[Any]) -> None:
        length = sum(layout.reiserfs_de_head.sizeof() + self._padded(name) for _, name, _, _ in group)
        heads, names, location = b"", b"", length
        for offset, name, (dir_id, objectid), state in group:
            location -= self._padded(name)
            heads += layout.reiserfs_de_head.build(
                {
                    "deh_offset": offset,
                    "deh_dir_id": dir_id,
                    "deh_objectid": objectid,
                    "deh_location": location,
                    "deh_state": state,
                }
            )
            names = name.ljust(self._padded(name), b"\0") + names
        key = (*owner, group[0][0], layout.TYPE_DIRENTRY)
        self.items.append(Item(key, layout.KEY_FORMAT_3_5, heads + names, len(group)))

    def _file(self, owner: tuple[int, int], child: File | Link | Hidden) -> None:
        if isinstance(child, Link):
            body = child.target.ljust(-(-len(child.target) // 8) * 8, b"\0")
            self.items.append(Item((*owner, 1, layout.TYPE_DIRECT), layout.KEY_FORMAT_3_5, body))
            self._stat(owner, 0o120777, len(child.target), 1, 1, self.version, 1)
            return
        if isinstance(child, Hidden):
            child = File(child.data)
        version = layout.KEY_FORMAT_3_5 if self.old else child.version
        size = self.block_size
        count = len(child.data) // size if child.tail else -(-len(child.data) // size)
        tail = child.data[count * size :]
        pointers = []
        for index in range(count):
            data = child.data[index * size : (index + 1) * size]
            pointers.append(0 if index in child.holes else self.allocate(data))
            self.next_block += child.gap
        room = size - layout.block_head.sizeof() - 2 * layout.item_head.sizeof()
        step = room // 4
        for start in range(0, count, step):
            body = b"".join(layout.unformatted_pointer.build(one) for one in pointers[start : start + step])
            self.items.append(Item((*owner, start * size + 1, layout.TYPE_INDIRECT), version, body))
        for start in range(0, len(tail), room & ~7):
            body = tail[start : start + (room & ~7)]
            padded = body.ljust(-(-len(body) // 8) * 8, b"\0") if version else body
            offset = count * size + start + 1
            self.items.append(Item((*owner, offset, layout.TYPE_DIRECT), version, padded))
        allocated = (sum(map(bool, pointers)) + bool(tail)) * (size // 512)
        first = count * size + 1 if tail else 0xFFFFFFFF
        self._stat(owner, 0o100644, len(child.data), 1, allocated, version, first)

    # --- nodes ---

    def _tree(self) -> None:
        level = 1
        nodes = [(group[0], self.allocate(self._leaf(group)), 0) for group in self._leaves()]
        self.level_blocks.append([number for _, number, _ in nodes])
        while len(nodes) > 1:
            level += 1
            fit = (self.block_size - layout.block_head.sizeof() - layout.disk_child.sizeof()) // 24 + 1
            fanout = min(self.fanout, fit)
            above = []
            while nodes:
                # The last node must not be left with one child.
                count = fanout if len(nodes) - fanout != 1 or fanout < 3 else fanout - 1
                below, nodes = nodes[:count], nodes[count:]
                above.append((below[0][0], self.allocate(self._internal(level, below)), 0))
            nodes = above
            self.level_blocks.append([number for _, number, _ in nodes])
        self.root, self.height = nodes[0][1], level + 1

    def _leaves(self) -> Iterator[list[Item]]:
        group: list[Item] = []
        used = layout.block_head.sizeof()
        for item in self.items:
            cost = layout.item_head.sizeof() + len(item.body)
            if group and (used + cost > self.block_size or len(group) >= self.leaf_items):
                yield group
                group, used = [], layout.block_head.sizeof()
            group.append(item)
            used += cost
        yield group

    def _head(self, level: int, count: int, free: int) -> bytes:
        right = disk_key((0, 0, 0, 0), 0)
        head = {"blk_level": level, "blk_nr_item": count, "blk_free_space": free, "blk_reserved": 0}
        built: bytes = layout.block_head.build(head | {"blk_right_delim_key": right})
        return built

    def _leaf(self, group: list[Item]) -> bytes:
        location = self.block_size
        heads, bodies = b"", b""
        for item in group:
            location -= len(item.body)
            bodies = item.body + bodies
            heads += layout.item_head.build(
                {
                    "ih_key": disk_key(item.key, item.version),
                    "ih_entry_count": item.entry_count,
                    "ih_item_len": len(item.body),
                    "ih_item_location": location,
                    "ih_version": item.version,
                }
            )
        free = self.block_size - layout.block_head.sizeof() - len(heads) - len(bodies)
        return self._head(1, len(group), free) + heads + bytes(free) + bodies

    def _internal(self, level: int, below: list[Any]) -> bytes:
        keys = b"".join(
            layout.reiserfs_key.build(disk_key(item.key, item.version)) for item, _, _ in below[1:]
        )
        children = b""
        for _, number, _ in below:
            free = layout.block_head.parse(self.blocks[number]).blk_free_space
            used = self.block_size - free - layout.block_head.sizeof()
            children += layout.disk_child.build(
                {"dc_block_number": number, "dc_size": used, "dc_reserved": 0}
            )
        free = self.block_size - layout.block_head.sizeof() - len(keys) - len(children)
        return self._head(level, len(below) - 1, free) + keys + children

    # --- the rest of the disk ---

    def _finish(self) -> None:
        bits = self.block_size * 8
        self.block_count = -(-(self.next_block + 16) // 8) * 8
        bitmaps = -(-self.block_count // bits)
        self.used |= set(range(bits, self.block_count, bits))
        bitmap = bytearray(bitmaps * self.block_size)
        for number in self.used | set(range(self.block_count, bitmaps * bits)):
            bitmap[number // 8] |= 1 << number % 8
        for index in range(bitmaps):
            where = self.super_block + 1 if index == 0 else index * bits
            self.blocks[where] = bytes(bitmap[index * self.block_size : (index + 1) * self.block_size])
        self.blocks[self.super_block] = self.superblock()
        self.blocks[self.journal_first + self.journal_size] = self.journal_header(0, 0, 0)

    @property
    def trans_max(self) -> int:
        standard = layout.JOURNAL_TRANS_MAX_DEFAULT * self.block_size // 4096
        return int(min(standard, layout.JOURNAL_TRANS_MAX_DEFAULT, self.journal_size // 2 - 1))

    @property
    def journal_params(self) -> dict[str, int]:
        return {
            "jp_journal_1st_block": self.journal_first,
            "jp_journal_dev": 0,
            "jp_journal_size": self.journal_size,
            "jp_journal_trans_max": self.trans_max,
            "jp_journal_magic": JOURNAL_MAGIC,
            "jp_journal_max_batch": self.trans_max * 900 // 1024,
            "jp_journal_max_commit_age": 30,
            "jp_journal_max_trans_age": 30,
        }

    def superblock(self, **changes: Any) -> bytes:
        whole, v1_only = layout.reiserfs_super_block, layout.reiserfs_super_block_v1
        fixed = v1_only.sizeof() if self.old else whole.sizeof()
        v1 = {
            "s_block_count": self.block_count,
            "s_free_blocks": self.block_count - len(self.used),
            "s_root_block": self.root,
            "s_journal": self.journal_params,
            "s_blocksize": self.block_size,
            "s_oid_maxsize": (self.block_size - fixed) // 4 // 2 * 2,
            "s_oid_cursize": 2,
            "s_umount_state": layout.REISERFS_VALID_FS,
            "s_magic": self.magic.ljust(10, b"\0"),
            "s_fs_state": 0,
            "s_hash_function_code": self.code if self.written_code is None else self.written_code,
            "s_tree_height": self.height,
            "s_bmap_nr": -(-self.block_count // (self.block_size * 8)),
            "s_version": 0 if self.old else layout.REISERFS_VERSION_2,
            "s_reserved_for_journal": self.journal_size + 1 if self.relocated else 0,
        }
        v1.update(changes)
        objectid_map = b"".join(layout.realblock.build(one) for one in (1, self.next_object))
        if self.old:
            built: bytes = v1_only.build(v1)
        else:
            built = whole.build(
                {
                    "s_v1": v1,
                    "s_inode_generation": 0,
                    "s_flags": layout.REISERFS_ATTRS_CLEARED,
                    "s_uuid": bytes.fromhex(UUID.replace("-", "")),
                    "s_label": b"built".ljust(16, b"\0"),
                    "s_mnt_count": 1,
                    "s_max_mnt_count": 30,
                    "s_lastcheck": 1700000000,
                    "s_check_interval": 15552000,
                    "s_unused": bytes(76),
                }
            )
        return (built + objectid_map).ljust(self.block_size, b"\0")

    def journal_header(self, flushed: int, index: int, mount_id: int) -> bytes:
        built: bytes = layout.reiserfs_journal_header.build(
            {
                "j_last_flush_trans_id": flushed,
                "j_first_unflushed_offset": index,
                "j_mount_id": mount_id,
                "jh_journal": self.journal_params,
            }
        )
        return built.ljust(self.block_size, b"\0")

    def log(self, index: int, trans_id: int, mount_id: int, blocks: dict[int, bytes]) -> int:
        """Write a transaction from block `index` of the journal on; return the index behind it."""
        half = (self.block_size - layout.JOURNAL_TRANS_HALF_OVERHEAD) // 4
        head = {"j_trans_id": trans_id, "j_len": len(blocks), "j_mount_id": mount_id}
        numbers = [layout.realblock.build(number) for number in blocks]
        desc = layout.reiserfs_journal_desc.build(head) + b"".join(numbers[:half])
        desc = desc.ljust(self.block_size - layout.JOURNAL_DESC_MAGIC_FROM_END, b"\0")
        commit = layout.reiserfs_journal_commit.build(head) + b"".join(numbers[half:])
        for contents in (desc + layout.JOURNAL_DESC_MAGIC, *blocks.values(), commit):
            number = self.journal_first + index % self.journal_size
            self.blocks[number] = contents.ljust(self.block_size, b"\0")
            index += 1
        return index % self.journal_size

    def image(self) -> bytes:
        zeros = bytes(self.block_size)
        return b"".join(self.blocks.get(number, zeros) for number in range(self.block_count))

    def open(self, options: Options | None = None) -> Filesystem:
        return opened(self.image(), options)


def opened(image: bytes, options: Options | None = None) -> Filesystem:
    filesystem = open_filesystem(MemorySource(image, "disk"), options or Options())
    assert filesystem is not None
    return filesystem
