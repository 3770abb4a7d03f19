"""Objects of a pool that none of the images has, made by hand after OpenZFS' headers, and what is in them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from pybootcfg.errors import ImageError
from pybootcfg.filesystems.zfs import acl, contents
from pybootcfg.filesystems.zfs.contents import Role
from pybootcfg.filesystems.zfs.pieces import Piece
from pybootcfg.limits import Limit
from pybootcfg.structures import Structure


class MadeObject:
    """Stands for a Dnode: data in blocks, and a bonus buffer."""

    def __init__(
        self, data: bytes, bonus: bytes = b"", *, kind: int = 0, bonus_type: int = 0, block_size: int = 512
    ) -> None:
        self.blocks = [
            data[at : at + block_size].ljust(block_size, b"\0") for at in range(0, len(data), block_size)
        ]
        self.block_size = block_size
        self.last_block = max(0, len(self.blocks) - 1)
        self.size = block_size * (self.last_block + 1)
        self.bonus = bonus
        self.type = kind
        self.bonus_type = bonus_type
        self.big = False
        self.name = "made"
        self.pointers: list[Any] = []

    def block(self, number: int) -> tuple[bytes, bool]:
        return (self.blocks[number] if number < len(self.blocks) else bytes(self.block_size)), False

    def pointer(self, number: int) -> Any:
        return NOWHERE if number < len(self.blocks) else None

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(self.blocks)[offset : offset + length].ljust(length, b"\0")

    def contents(self, limit: Limit, length: int | None = None) -> bytes:
        return self.read(0, limit.check(self.size if length is None else length, self.name))

    def damaged(self, message: str) -> ImageError:
        return ImageError(message, structure=self.name)


class _Nowhere:
    dvas = ()


NOWHERE = _Nowhere()


def words(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


KEY = words(1, 2, 3, 4, 0x0F0003_0007)
FLAT = words(5, 6, 7, 8, 9, 10, 3, 77, 1_700_000_000)
RECORD = words(1 | 120 << 8 | 2 << 48 | 1 << 56) + KEY + FLAT

ACES = struct.pack("<HHI", 0, 0x1000, 0x1601BF)  # owner@
ACES += struct.pack("<HHIQ", 1, 0x40, 0x2, 1000)  # a group that may not write
ACES += struct.pack("<HHIQ", 5, 0, 0x1, 1001) + bytes(32)  # with object types
ACES += struct.pack("<HHI", 0, 0x4000, 0x1)  # everyone@


def znode(version: int, entries: bytes, *, size: int, external: int = 0) -> bytes:
    head = struct.pack("<QIHH", external, size, version, 3)
    return (bytes(176) + head + entries).ljust(320, b"\0")


OLD_ACES = struct.pack("<IIHH", 1, 0x1, 0x1000, 0) + struct.pack("<IIHH", 2, 0x2, 0x40, 1)


def of_role(role: Role, made: MadeObject) -> Iterator[Structure]:
    """Yield what is shown of an object in a role."""
    if role.bonus is not None:
        piece = Piece(made.bonus, None, "bonus", big=False)
        yield from role.bonus(made, piece, "made.bonus", 0)  # type: ignore[arg-type]
    yield from role.data(made, "made")  # type: ignore[arg-type]


def of_bonus(made: MadeObject) -> Iterator[Structure]:
    piece = Piece(made.bonus, None, "bonus", big=False)
    yield from contents.bonus(made, piece, "made.bonus", 0)  # type: ignore[arg-type]


def mapping() -> MadeObject:
    return MadeObject(words(*range(15)), words(1 << 30, 1 << 20, 5))


def births() -> MadeObject:
    return MadeObject(words(0x1000, 5, 0x2000, 6), words(2))


def ddt_log(*records: bytes, length: int = 512) -> MadeObject:
    return MadeObject(b"".join(records), words(0x101, length, 25) + KEY)


def clones() -> MadeObject:
    counts = struct.pack("<4H", 1, 0, 0, 9)
    return MadeObject(counts, words(88, 4, 0, 10, 16 << 20, 4096, 8192))


def crc64(data: bytes) -> int:
    """Return the CRC-64 of ECMA-182, its bits reversed, from zero and bit by bit."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xC96C5795D7870F42 if register & 1 else 0)
    return register


def micro_zap(entries: dict[bytes, int], *, kind: int = 0) -> MadeObject:
    head = words(1 << 63 | 3, *[0] * 7)
    data = b"".join(struct.pack("<QIH50s", value, 0, 0, name) for name, value in entries.items())
    return MadeObject(head + data, kind=kind)


def fat_zap(entries: dict[bytes, tuple[int, bytes]], *, kind: int = 0, numbers: bool = False) -> MadeObject:
    """Return a ZAP of one leaf: values of so many bytes each; names are numbers too with `numbers`."""
    size, width = 8192, 8 if numbers else 1
    chains = [0xFFFF] * (size // 32)
    table = words(0, 0, 9, 0, 0)
    head = words(1 << 63 | 1, 0x2F52AB2AB) + table + words(2, 1, len(entries), 0, 0, 2 * numbers)
    chunks: list[bytes] = []

    def array(data: bytes) -> int:
        first, pieces = len(chunks), [data[at : at + 21] for at in range(0, len(data), 21)]
        for number, piece in enumerate(pieces, first + 1):
            following = number if number < first + len(pieces) else 0xFFFF
            chunks.append(struct.pack("<B21sH", 251, piece, following))
        return first

    for name, (integer, value) in entries.items():
        spelled = name if numbers else name + b"\0"
        first, second = array(spelled), array(value)
        parts = first, len(spelled) // width, second, len(value) // integer
        hashed = crc64(name) >> 36 << 36
        index = hashed >> 56
        chunks.append(struct.pack("<BBH4HIQ", 252, integer, chains[index], *parts, 0, hashed))
        chains[index] = len(chunks) - 1
    leaf = struct.pack("<QQQIHHHHB11x", 1 << 63, 0, 0, 0x2AB1EAF, 0, len(entries), 0, 0xFFFF, 0)
    leaf += struct.pack(f"<{len(chains)}H", *chains) + b"".join(chunks)
    assert len(leaf) <= size
    leaf = leaf.ljust(size, b"\0")
    data = head.ljust(size // 2, b"\0") + words(*[1] * 512) + leaf
    return MadeObject(data, kind=kind, block_size=size)


def zero_runs(data: bytes) -> bytes:
    """Return data in ZLE: up to 64 bytes as they are, or up to 192 zeros, after a byte that says which."""
    packed = b""
    while data:
        zeros = len(data) - len(data.lstrip(b"\0"))
        plain = (data.find(b"\0") if b"\0" in data else len(data)) if not zeros else 0
        count = min(zeros, 192) or min(plain, 64)
        packed += bytes([63 + count]) if zeros else bytes([count - 1]) + data[:count]
        data = data[count:]
    return packed


#: a scrub that is done, as ZAP stores numbers
SCAN = struct.pack(">24Q", 1, 2, 0, 0, 1319, 0, 0, 1_700_000_000, 1_700_000_009, 99, 98, 1, *[0] * 12)


def xattrs() -> bytes:
    """Return a packed list with one extended attribute."""
    pair = struct.pack(">II", 40, 40) + struct.pack(">I", 9) + b"user.test\0\0\0" + struct.pack(">II", 10, 5)
    return struct.pack(">4BiI", 1, 1, 0, 0, 0, 1) + pair + b"value\0\0\0" + bytes(8)


def structures() -> Iterator[Structure]:
    """Yield what is shown of all of them."""
    yield from of_role(contents.MAPPING, mapping())
    yield from of_role(contents.BIRTHS, births())
    yield from of_role(contents.DDT_LOG, ddt_log(RECORD))
    yield from of_role(contents.CLONES, clones())
    yield from acl.structures(MadeObject(ACES), "made")  # type: ignore[arg-type]
    yield from of_bonus(MadeObject(b"", znode(0, OLD_ACES, size=2), bonus_type=17))
    yield from of_bonus(MadeObject(b"", words(*range(7)), bonus_type=6))
    for data, decoder in (
        (bytes(96), contents.layout.bookmark_phys),
        (bytes(24), contents.layout.bookmark_phys_v1),
        (bytes(4096), contents.layout.ddt_histogram),
        (bytes(256), contents.layout.ddt_phys),
        (SCAN, contents.layout.dsl_scan_phys),
        (bytes(72), contents.layout.dsl_errorscrub_phys),
        (bytes(56), contents.layout.spa_removing_phys),
        (bytes(24), contents.layout.spa_condensing_indirect_phys),
    ):
        yield from contents._record_at(MadeObject(data), "made", data, decoder, big=True)  # type: ignore[arg-type]
