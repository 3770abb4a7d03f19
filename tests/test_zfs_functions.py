"""The functions below ZFS one by one: checksums, decompression, parity, lists, the byte order."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import sys
import zlib
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybootcfg import schema
from pybootcfg.errors import ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems.zfs import (
    blkptr,
    checksum,
    compression,
    edonr,
    fletcher,
    nvlist,
    raidz,
    skein,
    zil,
)
from pybootcfg.filesystems.zfs.view import Locked
from pybootcfg.kind import Kind

MASK = (1 << 64) - 1
noise = random.Random(11)  # noqa: S311
layout = schema.load("zfs_blkptr")


def fletcher4(data: bytes, order: fletcher.Order) -> tuple[int, ...]:
    """The definition, word by word."""
    a = b = c = d = 0
    for at in range(0, len(data), 4):
        a += int.from_bytes(data[at : at + 4], order)
        b += a
        c += b
        d += c
    return a & MASK, b & MASK, c & MASK, d & MASK


def fletcher2(data: bytes, order: fletcher.Order) -> tuple[int, ...]:
    sums = [0, 0, 0, 0]
    for at in range(0, len(data), 16):
        for half in (0, 1):
            sums[half] += int.from_bytes(data[at + 8 * half : at + 8 * half + 8], order)
            sums[2 + half] += sums[half]
    return tuple(value & MASK for value in sums)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("size", [0, 16, 528, 1040, 512, 1024, 1536, 4096, 66064, 131072, 1 << 20])
@pytest.mark.parametrize("fill", ["noise", "ones"])
def test_fletcher(order: fletcher.Order, size: int, fill: str) -> None:
    """All ones reach the largest sums that the lanes have to hold."""
    data = noise.randbytes(size) if fill == "noise" else b"\xff" * size
    assert fletcher.fletcher4(data, order) == fletcher4(data, order)
    assert fletcher.fletcher2(data, order) == fletcher2(data, order)


def test_edonr_vectors() -> None:
    """Edon-R' 512 of the messages that illumos and OpenZFS test with."""
    words = edonr.digest(edonr.INITIAL, b"abc")
    assert b"".join(word.to_bytes(8, "little") for word in words).hex() == (
        "1b14db155f1d406594b8cef70a4362ec6b5de6a5daf50ec999e987c19d3049e2"
        "de5977bb05b1bb220050a1ea5b46a9f1740acafbf6b45032adc90c628372c22b"
    )


def test_hashes_by_parts() -> None:
    """A message of every length around a block is padded as the specification says, never the same way."""
    state = skein.keyed(b"k" * 32)
    seen = {tuple(skein.digest(state, bytes(length))) for length in range(200)}
    seen |= {tuple(edonr.digest(edonr.INITIAL, bytes(length))) for length in range(260)}
    assert len(seen) == 460


def test_digests_turn_with_the_byte_order() -> None:
    """The hashes but SHA-256 are kept in the order of the machine that wrote the block."""
    data = noise.randbytes(4096)
    for function in (layout.ZIO_CHECKSUM_SHA512, layout.ZIO_CHECKSUM_SKEIN, layout.ZIO_CHECKSUM_EDONR):
        little = checksum.checksum(function, data, big=False, salt=bytes(32))
        big = checksum.checksum(function, data, big=True, salt=bytes(32))
        assert little is not None
        assert big == tuple(int.from_bytes(word.to_bytes(8, "little"), "big") for word in little)
    sha = layout.ZIO_CHECKSUM_SHA256
    assert checksum.checksum(sha, data, big=False, salt=b"") == checksum.checksum(
        sha, data, big=True, salt=b""
    )
    with pytest.raises(UnsupportedFeature, match="checksum function 77"):
        checksum.checksum(77, data, big=False, salt=b"")


# --- decompression -------------------------------------------------------------------------------


def lzjb_compress(data: bytes) -> bytes:
    """A plain LZJB: the longest match within the last 1023 bytes."""
    out, at = bytearray(), 0
    while at < len(data):
        flags_at, bit = len(out), 1
        out.append(0)
        while bit < 256 and at < len(data):
            start = max(0, at - 1023)
            length = min(66, len(data) - at)
            place = -1
            while length >= 3:
                place = data.rfind(data[at : at + length], start, at + length - 1)
                if place >= 0:
                    break
                length -= 1
            if length >= 3:
                out[flags_at] |= bit
                out += ((length - 3) << 10 | at - place).to_bytes(2, "big")
                at += length
            else:
                out.append(data[at])
                at += 1
            bit <<= 1
    return bytes(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(0, 200))
def test_lzjb(parts: list[bytes], repeat: int) -> None:
    data = b"".join(parts) + b"ab" * repeat + b"".join(reversed(parts))
    assert compression.decompress(layout.ZIO_COMPRESS_LZJB, lzjb_compress(data), len(data)) == data


def test_zle() -> None:
    packed = bytes([3]) + b"abcd" + bytes([255]) + bytes([64]) + bytes([0]) + b"z"
    assert compression.decompress(layout.ZIO_COMPRESS_ZLE, packed, 210) == b"abcd" + bytes(
        193
    ) + b"z" + bytes(12)


def bombs() -> list[tuple[int, bytes]]:
    lz4 = pytest.importorskip("lz4.block")
    packed = lz4.compress(bytes(64 << 20), store_size=False)
    return [
        (layout.ZIO_COMPRESS_GZIP_9, zlib.compress(bytes(64 << 20), 9)),
        (layout.ZIO_COMPRESS_LZ4, len(packed).to_bytes(4, "big") + packed),
        (layout.ZIO_COMPRESS_ZLE, b"\xff" * 100000),
        (layout.ZIO_COMPRESS_LZJB, lzjb_compress(bytes(1 << 20))),
    ]


def test_bombs_stop_at_the_block_size() -> None:
    for function, packed in bombs():
        with contextlib.suppress(ImageError):  # LZ4's decoder refuses what does not fit
            assert compression.decompress(function, packed, 131072) == bytes(131072)


@pytest.mark.parametrize("function", range(3, 17))
def test_noise_is_no_crash(function: int) -> None:
    for size in (0, 1, 3, 4, 8, 9, 512, 4096):
        for head in (b"", b"\0\0\0\x10", b"\xff\xff\xff\xff", b"\0\0\0\x08\0\0\0\0"):
            try:
                plain = compression.decompress(function, head + noise.randbytes(size), 4096)
            except ImageError:
                continue
            assert len(plain) == 4096


def test_unknown_compression_is_named() -> None:
    with pytest.raises(UnsupportedFeature, match="compression function 99"):
        compression.decompress(99, b"", 512)


# --- parity --------------------------------------------------------------------------------------


def parity(data: list[bytes], rows: int) -> list[bytes]:
    """P, Q, R by Horner's rule, as the specification words it."""
    length = len(data[0])
    made = []
    for row in range(rows):
        line = bytearray(length)
        for column in data:
            padded = column.ljust(length, b"\0")
            line = bytearray(
                raidz.multiply(value, 1 << row) ^ byte for value, byte in zip(line, padded, strict=True)
            )
        made.append(bytes(line))
    return made


@pytest.mark.parametrize("width", [2, 3, 5, 12])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_every_loss_within_parity_is_made_good(width: int, rows: int) -> None:
    data = [noise.randbytes(64 if column < max(1, width - 2) else 48) for column in range(width)]
    columns: list[bytes] = parity(data, rows) + data
    sizes = [len(column) for column in columns]
    for count in range(rows + 1):
        for lost in itertools.combinations(range(len(columns)), count):
            known = [None if number in lost else column for number, column in enumerate(columns)]
            assert raidz.reconstruct(known, rows, sizes) == data
    if width > rows:
        known = [None if number <= rows else column for number, column in enumerate(columns[rows:], 0)]
        assert raidz.reconstruct([*columns[:rows], *known], rows, sizes) is None


# --- lists ---------------------------------------------------------------------------------------


def xdr(value: object) -> tuple[int, int, bytes]:
    """Return type, number of elements and bytes of a value."""
    if isinstance(value, dict):
        return 19, 1, nv(value)
    if isinstance(value, list):
        return 20, len(value), b"".join(nv(item) for item in value)
    if isinstance(value, tuple):
        numbers = b"".join(number.to_bytes(8, "big") for number in value)
        return 16, len(value), len(value).to_bytes(4, "big") + numbers
    if isinstance(value, str):
        raw = value.encode()
        return 9, 1, len(raw).to_bytes(4, "big") + raw + bytes(-len(raw) & 3)
    assert isinstance(value, int)
    return 8, 1, value.to_bytes(8, "big")


def nv(pairs: dict[str, object]) -> bytes:
    out = bytes(7) + b"\x01"
    for name, value in pairs.items():
        kind, count, data = xdr(value)
        raw = name.encode()
        body = len(raw).to_bytes(4, "big") + raw + bytes(-len(raw) & 3)
        body += kind.to_bytes(4, "big") + count.to_bytes(4, "big") + data
        out += (len(body) + 8).to_bytes(4, "big") + b"\0\0\0\x20" + body
    return out + bytes(8)


HEAD = b"\x01\x01\0\0"


def test_nvlist() -> None:
    value = {"a": 1, "txgs": (3, 4), "tree": {"type": "mirror", "children": [{"id": 0}, {"id": 1}]}, "z": ""}
    found = nvlist.decode(HEAD + nv(value) + bytes(100))
    assert found == value | {"tree": {"type": "mirror", "children": ({"id": 0}, {"id": 1})}}
    assert [pair.path for pair in nvlist.pairs(HEAD + nv(value))][-3:] == [
        "tree.children[0].id",
        "tree.children[1].id",
        "z",
    ]


def test_nvlist_depth_and_counts() -> None:
    deep: dict[str, object] = {"end": 1}
    for _ in range(40):
        deep = {"down": deep}
    with pytest.raises(LimitExceeded, match="zfs-nvlist-depth"):
        nvlist.decode(HEAD + nv(deep))
    data = HEAD + nv({"list": [{}]})
    many = data.replace(
        (20).to_bytes(4, "big") + (1).to_bytes(4, "big"), (20).to_bytes(4, "big") + b"\xff" * 4
    )
    with pytest.raises(LimitExceeded, match="zfs-nvpairs"):
        nvlist.decode(many)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damaged_nvlist(at: int, patch: bytes) -> None:
    good = HEAD + nv(
        {"name": "tank", "guid": 7, "tree": {"children": [{"a": 1}, {"b": (1, 2, 3)}], "x": "y"}}
    )
    bad = good[:at] + patch + good[at + len(patch) :]
    with contextlib.suppress(ImageError, LimitExceeded):
        nvlist.decode(bad)


# --- block pointers ------------------------------------------------------------------------------


def words(*values: int, order: fletcher.Order) -> bytes:
    return b"".join(value.to_bytes(8, order) for value in values)


@pytest.mark.parametrize("order", ["little", "big"])
def test_block_pointer_in_both_orders(order: fletcher.Order) -> None:
    prop = (255 | 7 << 16 | 15 << 32 | 7 << 40 | 19 << 48 | 2 << 56) | (1 << 63 if order == "little" else 0)
    raw = words(
        5 << 32 | 16, 1 << 63 | 0x1234, *[0] * 4, prop, 0, 0, 1 << 63 | 9, 8, 1, 1, 2, 3, 4, order=order
    )
    pointer = blkptr.decode(raw, big=order == "big")
    assert pointer.dvas == (blkptr.Dva(5, 0x1234 << 9, 16 << 9, gang=True),)
    assert (pointer.lsize, pointer.psize, pointer.compress, pointer.checksum) == (131072, 4096, 15, 7)
    assert (pointer.type, pointer.level, pointer.big) == (19, 2, order == "big")
    assert (pointer.birth, pointer.logical_birth, pointer.cksum) == (9, 8, (1, 2, 3, 4))


@pytest.mark.parametrize("order", ["little", "big"])
def test_embedded_block_in_both_orders(order: fletcher.Order) -> None:
    """The payload's bytes count from the lowest of each word up, whatever the host."""
    payload = bytes(range(112))
    prop = (499 | (112 - 1) << 25 | 2 << 32 | 1 << 39 | 19 << 48) | 1 << 63
    spread = [int.from_bytes(payload[at : at + 8], "little") for at in range(0, 112, 8)]
    raw = words(*spread[:6], prop, *spread[6:9], 77, *spread[9:], order=order)
    pointer = blkptr.decode(raw, big=order == "big")
    assert pointer.embedded == payload
    assert (pointer.lsize, pointer.logical_birth, pointer.hole) == (500, 77, False)


def test_redacted_block_is_named() -> None:
    raw = words(*[0] * 6, 1 << 39 | 2 << 40, *[0] * 9, order="little")
    with pytest.raises(UnsupportedFeature, match="redacted"):
        blkptr.decode(raw, big=False)


# --- libraries that may be missing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "function", "name"),
    [
        ("lz4", layout.ZIO_COMPRESS_LZ4, "ZFS compression by lz4"),
        ("backports", layout.ZIO_COMPRESS_ZSTD, "ZFS compression by backports.zstd"),
    ],
)
def test_a_missing_library_for_decompression_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, function: int, name: str
) -> None:
    for module in (library, "compression.zstd", f"{library}.block", f"{library}.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedFeature) as caught:
        compression.decompress(function, bytes(100), 512)
    assert caught.value.name == name


def test_a_missing_library_for_checksums_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(UnsupportedFeature, match="need the Python package blake3"):
        checksum.checksum(layout.ZIO_CHECKSUM_BLAKE3, b"", big=False, salt=bytes(32))
    monkeypatch.setattr(hashlib, "new", refuse)
    with pytest.raises(UnsupportedFeature, match="SHA-512/256"):
        checksum.checksum(layout.ZIO_CHECKSUM_SHA512, b"", big=False, salt=bytes(32))


def refuse(*_: object) -> None:
    raise ValueError("unsupported hash type")


def test_blocks_that_are_empty_by_name() -> None:
    assert compression.decompress(layout.ZIO_COMPRESS_EMPTY, b"", 512) == bytes(512)
    assert compression.decompress(layout.ZIO_COMPRESS_OFF, b"abc", 5) == b"abc\0\0"


@pytest.mark.parametrize("function", [layout.ZIO_COMPRESS_LZ4, layout.ZIO_COMPRESS_ZSTD])
def test_more_bytes_claimed_than_a_block_has(function: int) -> None:
    with pytest.raises(ImageError, match="bytes are more than the block has"):
        compression.decompress(function, b"\0\0\xff\xff" + bytes(12), 512)


# --- blocks of the intent log ------------------------------------------------------------------------------

ZEC_MAGIC = 0x0210DA7AB10C7A11


def old_log_block(order: Literal["little", "big"], used: int, size: int = 4096) -> tuple[bytes, Any]:
    """A block as pools before version 26 have it: the chain at the end, under fletcher2 (zil.h)."""
    pointer = blkptr.decode(bytes(128), 0, big=False)._replace(cksum=(1, 2, 3, 4))
    records = noise.randbytes(used)
    chain = bytes(136) + used.to_bytes(8, order) + ZEC_MAGIC.to_bytes(8, order)
    body = records.ljust(size - 184, b"\xaa") + chain
    verifier = b"".join(word.to_bytes(8, order) for word in pointer.cksum)
    words = fletcher2(body + verifier, order)
    return body + b"".join(word.to_bytes(8, order) for word in words), pointer


@pytest.mark.parametrize("order", ["little", "big"])
def test_log_blocks_of_old_pools(order: Literal["little", "big"]) -> None:
    data, pointer = old_log_block(order, 1000)
    found = zil._at_end(data, pointer, big=order == "big")
    assert found is not None
    assert (found.start, found.end, found.data[:1000]) == (0, 1000, data[:1000])
    assert zil._at_end(data, pointer, big=order != "big") is None
    assert zil._at_end(data, pointer._replace(cksum=(1, 2, 3, 5)), big=order == "big") is None
    assert zil._at_end(b"x" + data[1:], pointer, big=order == "big") is None
    assert zil._at_end(data[-100:], pointer, big=order == "big") is None
    too_long, pointer = old_log_block(order, 1000)
    claimed = too_long[:-48] + (4000).to_bytes(8, order) + too_long[-40:]
    assert zil._at_end(claimed, pointer, big=order == "big") is None


def test_a_dataset_that_cannot_be_read_says_so_whatever_is_asked() -> None:
    reason = UnsupportedFeature("ZFS encryption", "rpool/secret is encrypted")
    node = Locked("rpool/secret", reason, lambda _: None)
    assert (node.kind, node.size, node.key) == (Kind.DIRECTORY, 0, ("locked", "rpool/secret"))
    for question in (node.runs, node.entries, lambda: node.lookup(b"x"), node.target):
        with pytest.raises(UnsupportedFeature, match="is encrypted"):
            question()
