"""CRC-32C, CRC-16 and the big-endian CRC-32, as file systems use them, at a bounded cost in Python.

All functions work on the bare register: none inverts it before or after.  The CRC-32C of the
textbooks (RFC 3720, appendix B.4) is `crc32c(data) ^ 0xFFFFFFFF`; ext4 stores the register as it is.

A CRC is linear: the register after a message is the XOR of what each of its words leaves behind on
its own.  So a long message is folded: every word at an even place is moved over the next one (as if
32 zero bits had followed it) and XORed onto it, which halves the message; then by 64 bits, and so on.
One round moves all words at once, with sixteen `bytes.translate` (four input by four output bytes)
and XORs of long integers: about 10 nanoseconds a byte, where a byte-wise loop takes 80.  The same
rounds give the registers of many records side by side (`crc32c_records`).

Records of a table are alike, and most of their bytes the same or zero.  There it is quicker to take, for
each place in a record, the bytes that all records have there: what each leaves behind, once all bytes after
it are through, is one look-up (`crc32c_planes`).
"""

from __future__ import annotations

import functools
import sys
from array import array

from pybootcfg.errors import UsageError
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, highest power in the lowest bit
ANSI = 0xA001  # the polynomial of CRC-16, likewise
SHORT = 256  # bytes up to which the byte-wise loop is the faster one

#: where the bytes of a word lie in memory, the lowest one first
_PLACES = (0, 1, 2, 3) if sys.byteorder == "little" else (3, 2, 1, 0)

_Tables = tuple[tuple[int, ...], ...]  #: what becomes of each value of each of a register's four bytes


def _byte_table(polynomial: int) -> tuple[int, ...]:
    table = [0]
    for bit in range(8):
        register = 1 << bit
        for _ in range(8):
            register = register >> 1 ^ (polynomial if register & 1 else 0)
        table += [value ^ register for value in table]
    return tuple(table)


_CRC32C = _byte_table(CASTAGNOLI)
_CRC16 = _byte_table(ANSI)


def crc32c(data: bytes, register: int = 0xFFFFFFFF) -> int:
    """Return the register of CRC-32C after `data`.

    >>> hex(crc32c(b"123456789") ^ 0xFFFFFFFF)
    '0xe3069283'
    """
    message = data.rstrip(b"\0")  # most blocks of directories are zeros for the greater part
    if len(message) <= SHORT:
        for byte in message:
            register = register >> 8 ^ _CRC32C[(register ^ byte) & 0xFF]
    else:
        size = 1 << (len(message) - 1).bit_length()
        # Zeros in front of the message leave a zero register as it is, so that they may fill it up.
        (own,) = crc32c_records(message.rjust(size, b"\0"), size)
        register = own ^ crc32c_zeros(register, len(message))
    return crc32c_zeros(register, len(data) - len(message))


def crc32c_records(data: bytes, size: int) -> list[int]:
    """Return the register, starting from zero, of each record of `size` bytes; a power of two from 4 on."""
    if size < 4 or size & (size - 1) or not data or len(data) % size:
        raise UsageError(f"{len(data)} bytes are no records of {size} bytes")
    lanes = b"".join(data[lane::4] for lane in range(4))  # the first bytes of all words, the second ones, ...
    step = 2
    while 1 << step < size:
        odd = lanes[1::2]
        folded = _moved(lanes[0::2], step) ^ int.from_bytes(odd, "little")
        lanes = folded.to_bytes(len(odd), "little")
        step += 1
    # The last word that is left of each record has its own 32 bits to go through.
    lanes = _moved(lanes, 2).to_bytes(len(lanes), "little")
    count = len(lanes) // 4
    bytewise = zip(*(lanes[lane * count : (lane + 1) * count] for lane in range(4)), strict=True)
    return [a | b << 8 | c << 16 | d << 24 for a, b, c, d in bytewise]


def crc32c_planes(planes: Iterable[tuple[int, bytes]], count: int, register: int) -> bytes:
    """Return the registers after `count` messages of one length: the lowest bytes of all, the next ones, ...

    A plane is (how many bytes of a message follow, the byte that each message has there); of bytes that
    are zero in all messages there need be none.  `register` is that after a message of zeros.
    """
    moved = 0
    for behind, plane in planes:
        if plane == plane[:1] * count:
            register ^= _left_behind(plane[0], behind)
            continue
        left = b"".join([plane.translate(output) for output in _byte_translations(behind)])
        moved ^= int.from_bytes(left, "little")
    lanes = b"".join([bytes([byte]) * count for byte in register.to_bytes(4, "little")])
    return (moved ^ int.from_bytes(lanes, "little")).to_bytes(len(lanes), "little")


def byte_planes(records: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (place, the byte that each record has there) for places where not all are zero.

    Records have `size` bytes, a multiple of 8.
    """
    words = array("Q", records)
    per_record = size // 8
    zeros = bytes(len(records) // per_record)
    for index in range(per_record):
        column = words[index::per_record].tobytes()
        if column != zeros:
            for byte in range(8):
                yield 8 * index + byte, column[byte::8]


def word_planes(words: Iterable[int]) -> tuple[bytes, ...]:
    """Return the lowest bytes of all 32-bit numbers, the next ones, and so on."""
    packed = array("I", words).tobytes()
    return tuple(packed[place::4] for place in _PLACES)


def crc32c_zeros(register: int, count: int) -> int:
    """Return the register after `count` zero bytes."""
    for step in range(count.bit_length()):
        if count >> step & 1:
            register = _apply(_tables(step), register)
    return register


def crc32c_word(word: int, register: int) -> int:
    """Return the register after a 32-bit number, as if its four bytes stood there in little-endian order."""
    return _apply(_tables(2), register ^ word)


def crc16(data: bytes, register: int = 0xFFFF) -> int:
    """Return the register of CRC-16 (polynomial 0x8005, reflected) after `data`.

    >>> hex(crc16(b"123456789"))
    '0x4b37'
    """
    for byte in data:
        register = register >> 8 ^ _CRC16[(register ^ byte) & 0xFF]
    return register


def crc32_be(data: bytes, register: int = 0xFFFFFFFF) -> int:
    """Return the register of CRC-32 with the highest power first (Linux's crc32_be; also that of bzip2).

    >>> hex(crc32_be(b"123456789") ^ 0xFFFFFFFF)
    '0xfc891918'
    """
    import zlib

    # The bits of every byte in reverse make it the CRC-32 of zlib, which inverts before and after.
    mirrored = zlib.crc32(data.translate(_mirrored_bytes()), _mirror(register) ^ 0xFFFFFFFF)
    return _mirror(mirrored ^ 0xFFFFFFFF)


@functools.cache
def _mirrored_bytes() -> bytes:
    return bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def _mirror(value: int) -> int:
    return int(f"{value:032b}"[::-1], 2)


def _apply(tables: _Tables, register: int) -> int:
    return (
        tables[0][register & 0xFF]
        ^ tables[1][register >> 8 & 0xFF]
        ^ tables[2][register >> 16 & 0xFF]
        ^ tables[3][register >> 24]
    )


@functools.cache
def _tables(step: int) -> _Tables:
    """Return what 2**step zero bytes make of a register, by each of its bytes."""
    if step == 0:
        bits = [(1 << bit) >> 8 ^ _CRC32C[1 << bit & 0xFF] for bit in range(32)]
    else:
        half = _tables(step - 1)
        bits = [_apply(half, half[bit >> 3][1 << (bit & 7)]) for bit in range(32)]
    tables = []
    for lane in range(0, 32, 8):
        table = [0]
        for bit in bits[lane : lane + 8]:
            table += [value ^ bit for value in table]
        tables.append(tuple(table))
    return tuple(tables)


@functools.cache
def _translations(step: int) -> tuple[tuple[bytes, ...], ...]:
    """Return `_tables(step)` for `bytes.translate`: for each input byte, each output byte."""
    return tuple(map(word_planes, _tables(step)))


@functools.lru_cache(maxsize=1024)
def _byte_translations(behind: int) -> tuple[bytes, ...]:
    """Return, for each byte of a register, what one byte and `behind` zero bytes after it make of it."""
    table = [0]
    for bit in range(8):
        register = _left_behind(1 << bit, behind)
        table += [value ^ register for value in table]
    return word_planes(table)


@functools.lru_cache(maxsize=4096)
def _left_behind(byte: int, behind: int) -> int:
    """Return the register, starting from zero, after one byte and `behind` zero bytes."""
    return crc32c_zeros(_CRC32C[byte], behind)


def _moved(lanes: bytes, step: int) -> int:
    """Return the registers, laid out in lanes, after 2**step zero bytes each, as one long integer."""
    count = len(lanes) // 4
    moved = 0
    for lane, outputs in enumerate(_translations(step)):
        plane = lanes[lane * count : (lane + 1) * count]
        moved ^= int.from_bytes(b"".join([plane.translate(output) for output in outputs]), "little")
    return moved
