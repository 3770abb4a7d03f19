"""ISO 9660 images made by hand, for what no tool writes and for damage at known places.

Written from ECMA-119, SUSP 1.12 and RRIP 1.12; all locations are known to the test that asks for them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

SECTOR = 2048
ROOT_SECTOR = 20  #: of the root directory, two sectors long
PATH_TABLE_SECTOR = 19
FREE_SECTOR = 24

DIRECTORY = 0x02
ASSOCIATED = 0x04
MULTI_EXTENT = 0x80

STAMP = bytes((126, 1, 2, 3, 4, 5, 4))  #: 2026-01-02 03:04:05 at an hour east of Greenwich
STAMP_SECONDS = 1767319445


def both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


# --- system use entries ---------------------------------------------------------------------------


def entry(signature: bytes, payload: bytes, version: int = 1) -> bytes:
    return signature + bytes((4 + len(payload), version)) + payload


def sp(skip: int = 0) -> bytes:
    return entry(b"SP", b"\xbe\xef" + bytes((skip,)))


def er(identifier: bytes = b"RRIP_1991A") -> bytes:
    return entry(b"ER", bytes((len(identifier), 0, 0, 1)) + identifier)


def px(mode: int, serial: int | None = None) -> bytes:
    payload = both32(mode) + both32(1) + both32(0) + both32(0)
    return entry(b"PX", payload + (b"" if serial is None else both32(serial)))


def nm(name: bytes, flags: int = 0) -> bytes:
    return entry(b"NM", bytes((flags,)) + name)


def sl(*components: tuple[int, bytes], flags: int = 0) -> bytes:
    body = b"".join(bytes((kind, len(content))) + content for kind, content in components)
    return entry(b"SL", bytes((flags,)) + body)


def ce(block: int, offset: int, length: int) -> bytes:
    return entry(b"CE", both32(block) + both32(offset) + both32(length))


# --- records --------------------------------------------------------------------------------------


def record(
    identifier: bytes,
    location: int,
    length: int,
    flags: int = 0,
    use: bytes = b"",
    *,
    attributes: int = 0,
    unit: int = 0,
    gap: int = 0,
    volume: int = 1,
) -> bytes:
    body = (
        bytes((attributes,)) + both32(location) + both32(length) + STAMP + bytes((flags, unit, gap))
        + both16(volume) + bytes((len(identifier),)) + identifier
    )  # fmt: skip
    body += b"\0" * (len(body) % 2 == 0) + use
    body += b"\0" * (len(body) % 2 == 0)
    return bytes((len(body) + 1,)) + body


def directory(records: Iterable[bytes], sectors: int) -> bytes:
    """Pack records into sectors, none across the end of one."""
    packed = b""
    for item in records:
        if len(packed) % SECTOR + len(item) > SECTOR:
            packed += bytes(-len(packed) % SECTOR)
        packed += item
    assert len(packed) <= sectors * SECTOR
    return packed.ljust(sectors * SECTOR, b"\0")


def zisofs(data: bytes, log2: int = 15) -> tuple[bytes, bytes]:
    """Return (the compressed file, its ZF entry), version 1."""
    size = 1 << log2
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    packed = [zlib.compress(block) if block.strip(b"\0") else b"" for block in blocks]
    pointer = 16 + 4 * (len(packed) + 1)
    pointers = [pointer]
    for block in packed:
        pointers.append(pointers[-1] + len(block))
    header = bytes.fromhex("37e45396c9dbd607") + struct.pack("<IBBxx", len(data), 4, log2)
    table = struct.pack(f"<{len(pointers)}I", *pointers)
    return header + table + b"".join(packed), entry(b"ZF", b"pz" + bytes((4, log2)) + both32(len(data)))


class Disc:
    """A volume with one root directory; `place` puts data on it, `add` a record into the root."""

    def __init__(self, block_size: int = SECTOR, *, rock_ridge: bool = True, skip: int = 0) -> None:
        self.block_size = block_size
        self.data = bytearray(FREE_SECTOR * SECTOR)
        self.rock_ridge = rock_ridge
        self.skip = skip
        self.records: list[bytes] = []
        self.descriptors: list[bytes] = []
        self.volume_set = (1, 1)
        self.label = b"BY_HAND"

    def place(self, data: bytes) -> int:
        """Append data at a sector of its own; return its logical block."""
        location = len(self.data) // self.block_size
        self.data += data + bytes(-len(data) % SECTOR)
        return location

    def add(self, name: bytes, data: bytes = b"", use: bytes | None = None, mode: int = 0o100644) -> int:
        """Add a file to the root; return its logical block."""
        location = self.place(data)
        if use is None and self.rock_ridge:
            use = px(mode) + nm(name)
        identifier = b"F%d.;1" % len(self.records)
        self.records.append(
            record(
                identifier if self.rock_ridge else name,
                location,
                len(data),
                0,
                bytes(self.skip) + (use or b""),
            )
        )
        return location

    def root(self, flags: int = DIRECTORY, length: int = 2 * SECTOR, use: bytes = b"") -> bytes:
        return record(b"\0", ROOT_SECTOR * SECTOR // self.block_size, length, flags, use)

    def primary(self, kind: int = 1, version: int = 1, escape: bytes = b"", label: bytes = b"") -> bytes:
        return (
            bytes((kind,)) + b"CD001" + bytes((version, 0)) + b"".ljust(32)
            + (label or self.label).ljust(32) + bytes(8) + both32(len(self.data) // self.block_size)
            + escape.ljust(32, b"\0") + both16(self.volume_set[1]) + both16(self.volume_set[0])
            + both16(self.block_size) + both32(10)
            + struct.pack("<II", PATH_TABLE_SECTOR * SECTOR // self.block_size, 0) + bytes(8)
            + self.root() + b"".ljust(128 * 4) + b"".ljust(37 * 3)
            + (b"2026010203040500" + b"\x04") + (b"0" * 16 + b"\0") * 3 + b"\1"
        ).ljust(SECTOR, b"\0")  # fmt: skip

    def image(self) -> bytearray:
        """Return the whole disc."""
        use = sp(self.skip) + px(0o40755) + er() if self.rock_ridge else b""
        dots = [
            self.root(use=bytes(self.skip) + use),
            record(b"\1", ROOT_SECTOR * SECTOR // self.block_size, 2 * SECTOR, 2),
        ]
        end = b"\xffCD001\1".ljust(SECTOR, b"\0")
        system = self.primary() + b"".join(self.descriptors) + end
        assert len(system) <= 3 * SECTOR
        image = bytearray(self.data)
        image[16 * SECTOR : 16 * SECTOR + len(system)] = system
        table = struct.pack("<BBIH", 1, 0, ROOT_SECTOR * SECTOR // self.block_size, 1) + b"\0\0"
        image[PATH_TABLE_SECTOR * SECTOR : PATH_TABLE_SECTOR * SECTOR + len(table)] = table
        root = directory([*dots, *self.records], 2)
        image[ROOT_SECTOR * SECTOR : (ROOT_SECTOR + 2) * SECTOR] = root
        return image


def raw(image: bytes, mode: int = 1, size: int = 2352) -> bytes:
    """Return an image as raw sectors with their headers (ECMA-130), error correction left out."""
    out = bytearray()
    for number in range(len(image) // SECTOR):
        minute, rest = divmod(number + 150, 75 * 60)
        second, frame = divmod(rest, 75)
        address = bytes(int(str(part), 16) for part in (minute, second, frame))
        header = b"\0" + b"\xff" * 10 + b"\0" + address + bytes((mode,))
        subheader = bytes((0, 0, 8, 0)) * 2 if mode == 2 else b""
        sector = header + subheader + image[number * SECTOR : (number + 1) * SECTOR]
        out += sector.ljust(size, b"\xee")
    return bytes(out)
