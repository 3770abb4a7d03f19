"""A pool as a big-endian machine would have written it, made from one of a little-endian machine.

Every block that a reader needs is taken apart by what its object is, turned field by field, and written
anew, uncompressed, with a big-endian fletcher4; nothing of the old pool is left but its file contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from zfs_image import FRONT, Patched, label_places

from pybootcfg import schema
from pybootcfg.filesystems.zfs import Zfs, fletcher
from pybootcfg.filesystems.zfs.blkptr import BlockPointer, decode
from pybootcfg.filesystems.zfs.znode import Registry
from pybootcfg.source import MemorySource, Source

ZAP_TYPES = (1, 13, 14, 15, 20, 21, 31, 45, 46, 47)
NVLIST, NVLIST_SIZE, DNODE, OBJSET, DSL_DIR, DSL_DATASET, ZNODE, FILE, SA = 3, 4, 10, 11, 12, 16, 17, 19, 44
RAW_ATTRIBUTES = (b"ZPL_SYMLINK", b"ZPL_DXATTR", b"ZPL_DACL_ACES", b"ZPL_SCANSTAMP")
zap = schema.load("zfs_zap")


def swap(data: bytes, width: int = 8) -> bytes:
    """Turn numbers of one width."""
    out = bytearray(len(data))
    for byte in range(width):
        out[byte::width] = data[width - 1 - byte :: width]
    return bytes(out)


def fields(data: bytes, *widths: int) -> bytes:
    """Turn numbers of several widths; what is left stays as it is."""
    out, at = b"", 0
    for width in widths:
        out += data[at : at + width][::-1]
        at += width
    return out + data[at:]


def word(data: bytes, at: int, width: int = 8) -> int:
    return int.from_bytes(data[at : at + width], "little")


def turned_zap(data: bytes) -> bytes:
    kind = word(data, 0)
    if kind == zap.ZBT_MICRO:
        entries = (fields(data[at : at + 64], 8, 4, 2) for at in range(64, len(data), 64))
        return swap(data[:64]) + b"".join(entries)
    if kind != zap.ZBT_LEAF:
        return swap(data)  # the header with its table, or a block of a larger table
    hashes = 2 << (len(data).bit_length() - 1 - zap.ZAP_LEAF_HASH_SHIFT)
    out = fields(data[:48], 8, 8, 8, 4, 2, 2, 2, 2) + swap(data[48 : 48 + hashes], 2)
    for at in range(48 + hashes, len(data) - 23, 24):
        chunk = data[at : at + 24]
        if chunk[0] == zap.ZAP_CHUNK_ENTRY:
            out += chunk[:2] + fields(chunk[2:], 2, 2, 2, 2, 2, 4, 8)
        else:
            out += chunk[:22] + chunk[22:][::-1]
    return out + data[len(out) :]


class BigEndian:
    """The conversion of one pool on one disk."""

    def __init__(self, pool: Zfs) -> None:
        self.pool = pool.pool
        self.blocks = pool.pool.blocks
        self.space = bytearray()
        self.start = 24 << 20  # in the pool's address space, above what the small pools use
        self.registries: list[Registry | None] = []

    def disk(self) -> Source:
        """Return the disk with new labels, uberblocks and blocks, all else zeros."""
        old = self.pool.devices[0].source
        root = self.block(self.pool.uberblock.rootbp, OBJSET, lambda data: self.objset(data, None))
        patches = {FRONT + self.start: bytes(self.space)}
        for place in label_places(old):
            vdev = old.read(place + 16384, 114688)
            patches[place + 16384] = self.sealed(vdev[:1] + b"\0" + vdev[2:-40], place + 16384)
            ring = place + 131072
            numbers = (0x00BAB10C, self.pool.uberblock.version, self.pool.uberblock.txg, 0, 0)
            body = b"".join(number.to_bytes(8, "big") for number in numbers) + root
            patches[ring] = self.sealed(body.ljust(984, b"\0"), ring)
        return Patched(MemorySource(bytes(old.size), "big-endian"), patches)

    def sealed(self, body: bytes, offset: int) -> bytes:
        magic = (0x0210DA7AB10C7A11).to_bytes(8, "big")
        digest = hashlib.sha256(body + magic + offset.to_bytes(8, "big") + bytes(24)).digest()
        return body + magic + digest

    # --- blocks ----------------------------------------------------------------------------------

    def block(self, pointer: BlockPointer, kind: int, turn: Callable[[bytes], bytes]) -> bytes:
        """Write what a pointer leads to, turned, and return the new pointer."""
        if pointer.hole:
            return bytes(128)
        data = self.blocks.read(pointer)
        if pointer.level:
            below = (decode(data, at, big=False) for at in range(0, len(data), 128))
            data = b"".join(self.block(child, kind, turn) for child in below)
        else:
            data = turn(data)
        data += bytes(-len(data) % 512)
        place = self.start + len(self.space)
        self.space += data
        sectors = len(data) >> 9
        prop = sectors - 1 | sectors - 1 << 16 | 2 << 32 | 7 << 40 | kind << 48 | pointer.level << 56
        numbers = [sectors, place >> 9, 0, 0, 0, 0, prop, 0, 0, 0, pointer.logical_birth, 1]
        numbers += fletcher.fletcher4(data, "big")
        return b"".join(number.to_bytes(8, "big") for number in numbers)

    # --- objects ---------------------------------------------------------------------------------

    def objset(self, data: bytes, registry: Registry | None) -> bytes:
        self.registries.append(registry)
        meta = self.dnode(data[:512])
        self.registries.pop()
        rest = bytes(192) + swap(data[704:720])  # no intent log
        return (meta + rest).ljust(1024, b"\0")

    def dnodes(self, data: bytes) -> bytes:
        out, at = b"", 0
        while at < len(data):
            size = (data[at + 12] + 1) * 512 if data[at] else 512
            out += self.dnode(data[at : at + size])
            at += size
        return out

    def dnode(self, data: bytes) -> bytes:
        """Turn one dnode with all below it; objects that no reader needs keep no blocks."""
        kind, count, bonus_type = data[0], data[3], data[4]
        if not kind:
            return bytes(len(data))
        head = data[:8] + data[8:10][::-1] + data[10:12][::-1] + data[12:16] + swap(data[16:64])
        turn: Callable[[bytes], bytes] | None = None
        if kind == DNODE:
            turn = self.dnodes
        elif kind in ZAP_TYPES or kind & 0x9F == 0x84:
            turn = turned_zap
        elif kind in (NVLIST, FILE):
            turn = bytes
        body = b""
        for at in range(64, 64 + 128 * count, 128):
            pointer = decode(data, at, big=False)
            body += self.block(pointer, kind, turn) if turn else bytes(128)
        start, length = 64 + 128 * count, word(data, 10, 2)
        bonus = self.bonus(bonus_type, data[start : start + length])
        out = (head + body + bonus).ljust(len(data), b"\0")
        if data[7] & 4:  # a spill block
            spill = decode(data, len(data) - 128, big=False)
            out = out[:-128] + self.block(spill, SA, lambda block: self.attributes(block))
        return out

    def bonus(self, kind: int, data: bytes) -> bytes:
        if kind == DSL_DATASET:
            pointer = decode(data, 128, big=False)
            registry = None if pointer.hole else self.registry(pointer)
            root = self.block(pointer, OBJSET, lambda block: self.objset(block, registry))
            return swap(data[:128]) + root + swap(data[256 : len(data) & ~7])
        if kind == ZNODE:
            return swap(data[:176]) + data[176:]
        if kind == SA:
            return self.attributes(data)
        return swap(data) if kind in (DSL_DIR, NVLIST_SIZE) else data

    def registry(self, pointer: BlockPointer) -> Registry | None:
        from pybootcfg.filesystems.zfs.dmu import ObjectSet
        from pybootcfg.filesystems.zfs.znode import FileSystem

        objects = ObjectSet(self.blocks, "old", pointer)
        return FileSystem(objects, 0).registry if objects.type == 2 else None

    def attributes(self, data: bytes) -> bytes:
        registry = self.registries[-1]
        assert registry is not None
        info = word(data, 4, 2)
        size, order = (info >> 10) * 8, registry.layouts[info & 0x3FF]
        out = fields(data[:6], 4, 2) + swap(data[6:size], 2)
        variable = 6
        for attribute in order:
            length = registry.lengths[attribute]
            if not length:
                length, variable = word(data, variable, 2), variable + 2
            value = data[len(out) : len(out) + length + -length % 8]
            out += value if registry.names[attribute] in RAW_ATTRIBUTES else swap(value)
        return out + data[len(out) :]
