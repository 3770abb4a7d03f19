"""schema.py, variable.py and tracing.py against Construct's own parser, struct and hand-made bytes."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path
from typing import Any

import construct as c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.schema import Decoder, NotFixed, lower
from pybootcfg.source import MemorySource, Source
from pybootcfg.tracing import Field


def decoder(kind: Any, name: str = "thing") -> Decoder:
    return Decoder(name, kind)


def fields(tree: Field) -> dict[str, Field]:
    return {child.name: child for child in tree.children}


def trace(kind: Any, data: bytes, offset: int = 0, order: str = "<") -> Field:
    return Decoder("thing", kind, order).trace(MemorySource(data, "disk"), offset)


# --- fixed size: one unpack ----------------------------------------------------------------------

DATA = bytes(range(0x80, 0xC0))

INTEGERS = [
    f"Int{bits}{sign}{order}"
    for bits in (8, 16, 24, 32, 64)
    for sign in "us"
    for order in "lbn"
    if (bits, order) != (24, "n")
]


@pytest.mark.parametrize("name", INTEGERS)
def test_every_integer_as_construct_has_it(name: str) -> None:
    kind = getattr(c, name)
    assert decoder(kind).little.decode(DATA, 3) == decode_integer(name, "<")
    assert decoder(kind).big.decode(DATA, 3) == decode_integer(name, ">")
    assert decoder(kind).size == kind.sizeof()


def decode_integer(name: str, native: str) -> int:
    size = int(name[3:-2]) // 8
    order = {"l": "little", "b": "big", "n": {"<": "little", ">": "big"}[native]}[name[-1]]
    return int.from_bytes(DATA[3 : 3 + size], order, signed=name[-2] == "s")  # type: ignore[arg-type]


integer_kinds = st.sampled_from([getattr(c, name) for name in INTEGERS if not name.endswith("n")])
fixed_kinds = st.recursive(
    integer_kinds | st.integers(0, 9).map(c.Bytes),
    lambda inner: st.one_of(
        st.tuples(st.integers(0, 3), inner).map(lambda pair: c.Array(*pair)),
        st.lists(inner, min_size=1, max_size=4).map(
            lambda parts: c.Struct(*(f"f{i}" / part for i, part in enumerate(parts)), c.Padding(1))
        ),
    ),
    max_leaves=12,
)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, dict):
        return list(ours._fields) == [k for k in theirs if k != "_io"] and all(
            same(getattr(ours, key), theirs[key]) for key in ours._fields
        )
    return bool(ours == theirs)


@given(fixed_kinds, st.data())
def test_any_fixed_schema_as_construct_parses_it(kind: Any, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=kind.sizeof(), max_size=kind.sizeof()))
    made = decoder(kind)
    assert made.size == kind.sizeof()
    assert same(made.decode(b"xx" + raw + b"yy", 2), kind.parse(raw))
    assert all(same(one, kind.parse(raw)) for one in made.array(raw * 3, 3))
    if raw:
        with pytest.raises(ImageError):
            made.decode(raw[:-1])


HEADER = c.Struct(
    "magic" / c.Const(b"MAGIC!"),
    "version" / c.Int16ub,
    "kind" / c.Enum(c.Int8ul, plain=1, fancy=7),
    "flags" / c.FlagsEnum(c.Int32ul, one=1, two=2, high=1 << 31),
    c.Padding(3),
    "shown" / c.Hex(c.Int16ul),
    "inner" / c.Struct("low" / c.Int8ul, "wide" / c.Int24ub),
    "pairs" / c.Array(2, c.Struct("a" / c.Int16ul, "b" / c.Int16ub)),
    "words" / c.Array(3, c.Int16ul),
)
HEADER_BYTES = (
    b"MAGIC!" + struct.pack(">H", 0x0102) + b"\x07" + struct.pack("<I", 0x80000005) + b"???"
    + struct.pack("<H", 0xBEEF) + b"\x09\x01\x02\x03" + struct.pack("<H", 1) + struct.pack(">H", 2)
    + struct.pack("<H", 3) + struct.pack(">H", 4) + struct.pack("<3H", 5, 6, 7)
)  # fmt: skip


def test_a_record_of_everything() -> None:
    record = decoder(HEADER).decode(HEADER_BYTES)
    assert record._fields == ("magic", "version", "kind", "flags", "shown", "inner", "pairs", "words")
    assert (record.magic, record.version) == (b"MAGIC!", 0x0102)
    assert (record.kind, type(record.kind)) == (7, int)
    assert (record.flags, type(record.flags)) == (0x80000005, int)
    assert (record.shown, record.inner) == (0xBEEF, (9, 0x010203))
    assert record.inner.wide == 0x010203
    assert [(pair.a, pair.b) for pair in record.pairs] == [(1, 2), (3, 4)]
    assert record.words == (5, 6, 7)


def test_fixed_schemas_are_lowered() -> None:
    assert lower(HEADER, "header").size == len(HEADER_BYTES)
    for kind in (
        c.Bytes(c.this.n),
        c.GreedyBytes,
        c.Struct("n" / c.Int8ul, "x" / c.Bytes(c.this.n)),
        c.VarInt,
    ):
        with pytest.raises(NotFixed):
            lower(kind, "thing")


def test_byte_order_at_run_time() -> None:
    kind = c.Struct(
        "a" / c.Int32un, "b" / c.Int16ul, "c" / c.Array(2, c.Int64sn), "e" / c.Enum(c.Int16un, x=1)
    )
    raw = bytes(range(1, 27))
    for made, order in ((decoder(kind).little, "<"), (decoder(kind).big, ">")):
        a, one, two, e = (
            struct.unpack_from(order + code, raw, at)[0]
            for code, at in (("I", 0), ("q", 6), ("q", 14), ("H", 22))
        )
        assert made.decode(raw) == (a, 0x0605, (one, two), e)
    assert decoder(kind).decode(raw) == decoder(kind).little.decode(raw)


@pytest.mark.parametrize("kind", [c.Int16ub, c.Int32ul, c.Int24ub, c.Int64sb, c.Int16sl])
def test_constants_in_a_byte_order_of_their_own(kind: Any) -> None:
    """Each is checked whichever order the rest of the record has."""
    for rest in (c.Int32ul, c.Int32ub):
        made = decoder(c.Struct("x" / c.Array(3, rest), "magic" / c.Const(0x1234, kind)))
        good = bytes(12) + kind.build(0x1234)
        assert made.decode(good).magic == 0x1234
        with pytest.raises(ImageError, match="0x1234 expected, but 0x") as error:
            made.decode(bytes(len(good)), at=512)
        assert (error.value.offset, error.value.structure) == (512 + 12, "thing")


def test_native_constant() -> None:
    kind = c.Struct("magic" / c.Const(0x19540119, c.Int32un))
    assert decoder(kind).big.decode(bytes.fromhex("19540119")).magic == 0x19540119
    assert decoder(kind).little.decode(bytes.fromhex("19015419")).magic == 0x19540119
    with pytest.raises(ImageError, match="0x19540119 expected, but 0x19015419"):
        decoder(kind).little.decode(bytes.fromhex("19540119"))


def test_every_constant_of_an_array_counts() -> None:
    item = c.Struct("magic" / c.Const(b"I"), "value" / c.Int8ul)
    made = decoder(c.Struct("n" / c.Int8ul, "items" / c.Array(3, item)))
    assert [i.value for i in made.decode(b"\0I1I2I3").items] == [0x31, 0x32, 0x33]
    with pytest.raises(ImageError, match="b'I' expected, but b'X' found") as error:
        made.decode(b"\0I1I2X3")
    assert error.value.offset == 5


def test_unnamed_parts() -> None:
    made = decoder(c.Struct(c.Const(b"\0\0"), "a" / c.Int8ul, c.Padding(1), c.Bytes(2), "b" / c.Int8ul))
    assert made.decode(b"\0\0\x01..xx\x02".replace(b"..", b".")) == (1, 2)
    with pytest.raises(ImageError):
        made.decode(b"\0\1\x01.xx\x02")


def test_array_of_padding() -> None:
    made = decoder(c.Struct("a" / c.Int8ul, "gap" / c.Array(3, c.Padding(2)), "b" / c.Int8ul))
    assert made.decode(b"\x01......\x02") == (1, 2)


@pytest.mark.parametrize("name", ["class", "from", "_reserved", "__x", "count", "index", "self", "type"])
def test_fields_of_any_name(name: str) -> None:
    for kind in (c.Struct(name / c.Int8ul, "b" / c.Int16ub), c.Struct(name / c.Int8ul)):
        record = decoder(kind, "class").decode(b"\x05\x01\x02")
        assert getattr(record, name) == 5
    nested = decoder(c.Struct(name / c.Struct("x" / c.Int8ul))).decode(b"\x07")
    assert getattr(nested, name).x == 7


def test_two_fields_of_one_name_are_the_authors_mistake() -> None:
    with pytest.raises(ValueError, match="two fields of the same name"):
        decoder(c.Struct("a" / c.Int8ul, "a" / c.Int8ul)).size  # noqa: B018


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(len(HEADER_BYTES)))
def test_truncated_data_is_an_error(size: int) -> None:
    with pytest.raises(ImageError, match=f"{len(HEADER_BYTES)} bytes wanted, but {size} left") as error:
        decoder(HEADER, "header").decode(b"123" + HEADER_BYTES[:size], 3, at=1000)
    assert (error.value.offset, error.value.structure) == (1003, "header")


@pytest.mark.parametrize("kind", [c.Int8ul, c.Struct("n" / c.Int8ul, "x" / c.Bytes(c.this.n))])
def test_negative_offset_is_an_error(kind: Any) -> None:
    with pytest.raises(ImageError):
        decoder(kind).decode(b"\0\0\0\0", -2)
    with pytest.raises(ImageError):
        decoder(c.Struct("a" / c.Int8ul)).array(b"\0\0\0\0", 1, -2)


def test_read_names_source_and_offset() -> None:
    source = MemorySource(b"\0" * 10, "p1 of disk")
    assert decoder(c.Int16ul).read(source, 8) == 0
    with pytest.raises(ImageError) as error:
        decoder(c.Int16ul).read(source, 9)
    assert (error.value.offset, error.value.source, error.value.structure) == (9, "p1 of disk", "thing")
    with pytest.raises(ImageError) as error:
        decoder(c.Struct("a" / c.Int8ul, "m" / c.Const(b"X"))).read(source, 4)
    assert (error.value.offset, error.value.source, error.value.structure) == (5, "p1 of disk", "thing")


def test_memoryview_is_fine() -> None:
    assert decoder(HEADER).decode(memoryview(b"." + HEADER_BYTES), 1).words == (5, 6, 7)
    assert decoder(c.Int16ul).array(memoryview(b"\1\0\2\0"), 2) == (1, 2)


# --- arrays in bulk ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [c.Int32ul, c.Int16ub, c.Int24ul, c.Bytes(3), c.Struct("a" / c.Int8ul)])
def test_arrays(kind: Any) -> None:
    made = decoder(kind)
    data = bytes(range(60))
    size = made.size
    assert list(made.array(data, 5, 1)) == [made.decode(data, 1 + i * size) for i in range(5)]
    assert list(made.array(data, 5, 1, stride=11)) == [made.decode(data, 1 + i * 11) for i in range(5)]
    assert made.array(b"", 0) == ()
    assert len(made.array(data, 60 // size)) == 60 // size
    with pytest.raises(ImageError) as error:
        made.array(data, 60 // size + 1, at=100)
    assert error.value.offset == 100 + 60 // size * size


def test_structures_of_no_fixed_size_are_decoded_one_by_one_only() -> None:
    variable = decoder(c.Struct("n" / c.Int8ul, "x" / c.Bytes(c.this.n)))
    with pytest.raises(TypeError, match="thing has no fixed size"):
        variable.array(b"\1a\1b", 2)


def test_stride_needs_no_room_behind_the_last() -> None:
    assert decoder(c.Int8ul).array(b"\1..\2", 2, stride=3) == (1, 2)
    with pytest.raises(ImageError) as error:
        decoder(c.Int16ul).array(b"\1..\2", 2, stride=3)
    assert error.value.offset == 3


def test_columns_are_the_fields_of_each() -> None:
    """In the order of the disk, whatever stands between them and behind."""
    made = decoder(
        c.Struct(
            "a" / c.Int8ul, "b" / c.Bytes(3), "c" / c.Int32sl, c.Padding(2), "d" / c.Int16ul, "e" / c.Int64ul
        )
    )
    data = bytes(range(200, 250)) * 3
    stride = 25
    records = [made.decode(data, start) for start in range(0, 150, stride)]
    for names in (["a"], ["c", "e"], ["a", "c", "d"], ["d"]):
        found = list(made.columns(names, stride)(data))
        assert found == [tuple(getattr(record, name) for name in names) for record in records]
    for wrong in (["b"], ["a", "x"]):
        with pytest.raises(TypeError):
            made.columns(wrong, stride)
    for kind in (c.Struct("a" / c.Int16ub, "b" / c.Int32ul), c.Struct("a" / c.Const(1, c.Int8ul))):
        with pytest.raises(TypeError):
            decoder(kind).columns(["a"], 8)
    with pytest.raises(TypeError):
        decoder(PAIR).columns(["kind"], 8)


def test_plain_fields_unpack_bare() -> None:
    made = decoder(c.Struct("a" / c.Int8ul, "b" / c.Int16ul, "c" / c.Bytes(2)))
    assert made.unpack(b"?\1\2\0xy", 1) == tuple(made.decode(b"?\1\2\0xy", 1)) == (1, 2, b"xy")
    for kind in (PAIR, c.Struct("a" / c.Const(1, c.Int8ul)), c.Struct("a" / c.Int8ul[2]), c.Int24ul):
        with pytest.raises(TypeError):
            decoder(kind).unpack  # noqa: B018


# --- variable size: Construct --------------------------------------------------------------------

PAIR = c.Struct(
    "kind" / c.Enum(c.Int8ul, text=1, numbers=2, flagged=3),
    "count" / c.Int16un,
    "value"
    / c.Switch(
        c.this.kind,
        {
            "text": c.PaddedString(c.this.count, "utf8"),
            "numbers": c.Array(c.this.count, c.Int32un),
            "flagged": c.Struct("set" / c.FlagsEnum(c.Int16un, a=1, b=2), "of" / c.Enum(c.Int8ul, x=9)),
        },
        default=c.Bytes(0),
    ),
    "end" / c.IfThenElse(c.this.count > 2, c.Int16ub, c.Computed(0)),
    "twice" / c.Computed(c.this.count * 2),
    "ahead" / c.Peek(c.Int8ul),
)


@pytest.mark.parametrize(("made", "order"), [(decoder(PAIR).little, "<"), (decoder(PAIR).big, ">")])
def test_variable_schemas(made: Decoder, order: str) -> None:
    record = made.decode(b"??\x01" + struct.pack(order + "H", 4) + b"ab\0\0\x01\x02", 2)
    assert (record.kind, type(record.kind)) == (1, int)
    assert (record.count, record.value, record.end, record.twice, record.ahead) == (4, "ab", 0x0102, 8, None)
    record = made.decode(b"\x02" + struct.pack(order + "H2I", 2, 70000, 3) + b"\x09")
    assert (record.value, record.end, record.ahead) == ((70000, 3), 0, 9)
    record = made.decode(b"\x03" + struct.pack(order + "HH", 0, 0x8003) + b"\x09")
    assert (record.value.set, record.value.of) == (0x8003, 9)
    assert type(record.value.of) is int
    assert made.decode(b"\x77\0\0").kind == 0x77
    with pytest.raises(TypeError):
        made.size  # noqa: B018


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 6])
def test_truncated_variable_schemas(size: int) -> None:
    data = b"\x01\x04\0ab\0\0"[:size]
    with pytest.raises(ImageError, match=f"more wanted, but {size} left") as error:
        decoder(PAIR).decode(b".." + data, 2, at=100)
    assert (error.value.offset, error.value.structure) == (102, "thing")


@pytest.mark.parametrize(
    "kind",
    [
        c.Struct("a" / c.Array(c.this._.missing, c.Int8ul)),
        c.Struct("n" / c.Int8sl, "a" / c.Bytes(c.this.n - 100)),
        c.Struct("n" / c.Int8ul, "a" / c.Computed(1 // c.this.n)),
        c.Struct("n" / c.Int8ul, "a" / c.Computed(lambda this: [1][this.n + 1])),
        c.Struct("s" / c.PaddedString(2, "ascii")),
        c.Struct("m" / c.Const(b"X"), "r" / c.GreedyBytes),
        c.Struct("n" / c.OneOf(c.Int8ul, [5])),
        c.Struct("c" / c.Check(False)),
    ],
)
def test_nonsense_in_variable_schemas(kind: Any) -> None:
    for data in (b"\0\xff\xff", b"\0"):
        if kind.subcons[0].name == "s" and data == b"\0":
            continue
        with pytest.raises(ImageError):
            decoder(kind).decode(data)
        assert trace(kind, data).damaged()


def test_count_from_the_disk_meets_its_limit() -> None:
    kind = c.Struct("n" / c.Int32ul, "a" / c.Array(c.this.n, c.Pass))
    with pytest.raises(LimitExceeded, match="array-items"):
        decoder(kind).decode(b"\xff\xff\xff\xff")
    tree = trace(kind, b"\xff\xff\xff\xff")
    assert "array-items" in str(fields(tree)["a"].error)
    assert fields(tree)["n"].value == 0xFFFFFFFF
    many = limits.ARRAY_ITEMS.value
    assert len(decoder(kind).decode(struct.pack("<I", many)).a) == many


def test_native_order_inside_wrappers() -> None:
    kind = c.Struct(
        "p" / c.Prefixed(c.Int16un, c.GreedyRange(c.Int16un)),
        "o" / c.Optional(c.Struct("x" / c.Int16un)),
    )
    for made, order in ((decoder(kind).little, "<"), (decoder(kind).big, ">")):
        record = made.decode(struct.pack(order + "4H", 4, 1, 2, 3))
        assert (record.p, record.o.x) == ((1, 2), 3)


def test_recursion_has_an_end() -> None:
    kind = c.Struct("n" / c.Int8ul, "next" / c.If(c.this.n, c.LazyBound(lambda: kind)))
    assert decoder(kind).decode(b"\1\2\0").next.next.n == 0
    with pytest.raises(ImageError):
        decoder(kind).decode(b"\1" * 5000)


def test_bits() -> None:
    kind = c.BitStruct(
        "a" / c.BitsInteger(3), "b" / c.Flag, "c" / c.BitsInteger(12), "e" / c.Enum(c.Nibble, x=3)
    )
    raw = bytes([0b101_1_0000, 0b00001111, 0b0011_0000])
    kind = c.Struct("bits" / c.Bitwise(c.Struct(*kind.subcon.subcons, c.Padding(4))), "after" / c.Int8ul)
    record = decoder(kind).decode(raw + b"\x2a")
    assert (record.bits.a, record.bits.b, record.bits.c, record.bits.e) == (5, True, 15, 3)
    assert record.after == 42
    tree = trace(kind, raw + b"\x2a")
    assert (fields(tree)["after"].offset, fields(tree)["after"].value) == (3, 42)


# --- tracing -------------------------------------------------------------------------------------


def test_trace_of_a_record_of_everything() -> None:
    tree = trace(HEADER, b"....." + HEADER_BYTES, 5)
    assert (tree.name, tree.offset, tree.size, tree.damaged()) == ("thing", 5, len(HEADER_BYTES), False)
    rows = [(f.name, f.type, f.offset - 5, f.size, f.value, f.symbol, f.valid) for f in tree.children]
    assert rows == [
        ("magic", "bytes", 0, 6, b"MAGIC!", None, True),
        ("version", "u16be", 6, 2, 0x0102, None, None),
        ("kind", "u8", 8, 1, 7, "fancy", None),
        ("flags", "u32le", 9, 4, 0x80000005, "one | high | unknown 0x4", None),
        ("padding", "padded", 13, 3, None, None, None),
        ("shown", "u16le", 16, 2, 0xBEEF, None, None),
        ("inner", "struct", 18, 4, None, None, None),
        ("pairs", "struct[]", 22, 8, None, None, None),
        ("words", "u16le[]", 30, 6, None, None, None),
    ]
    assert [f.raw for f in tree.children[:2]] == [b"MAGIC!", b"\x01\x02"]
    second = fields(tree)["pairs"].children[1]
    assert (second.name, second.offset, second.children[1].name, second.children[1].value) == (
        "[1]",
        31,
        "b",
        4,
    )


def leaves(tree: Field) -> list[Field]:
    return [leaf for child in tree.children for leaf in leaves(child)] if tree.children else [tree]


@given(fixed_kinds, st.data())
def test_leaves_cover_what_was_read(kind: Any, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=kind.sizeof(), max_size=kind.sizeof() + 2))
    tree = trace(kind, raw)
    assert tree.size == kind.sizeof()
    assert b"".join(leaf.raw for leaf in leaves(tree)) == raw[: kind.sizeof()]
    if tree.children:
        cut = trace(kind, raw[: kind.sizeof() - 1]) if kind.sizeof() else tree
        assert cut.damaged() == bool(kind.sizeof())


@pytest.mark.parametrize("size", range(len(HEADER_BYTES)))
def test_partial_tree_of_what_is_truncated(size: int) -> None:
    tree = trace(HEADER, HEADER_BYTES[:size])
    whole = trace(HEADER, HEADER_BYTES)
    good = [leaf for leaf in leaves(tree) if leaf.error is None and leaf.size]
    assert good == [leaf for leaf in leaves(whole) if leaf.size][: len(good)]
    bad = [leaf for leaf in leaves(tree) if leaf.error]
    assert [leaf.error for leaf in bad] == [f"only {size - bad[0].offset} bytes left"]
    assert bad[0] is leaves(tree)[-1]


def test_bad_constant_does_not_end_the_trace() -> None:
    tree = trace(c.Struct("magic" / c.Const(0x1234, c.Int16ub), "after" / c.Int8ul), b"\x12\x35\x07")
    magic = fields(tree)["magic"]
    assert (magic.valid, magic.value, magic.error) == (False, 0x1235, "0x1234 expected")
    assert fields(tree)["after"].value == 7
    assert tree.damaged()


@pytest.mark.parametrize(("order", "value"), [("<", 0x0201), (">", 0x0102)])
def test_symbols_of_native_fields(order: str, value: int) -> None:
    kind = c.Struct(
        "e" / c.Enum(c.Int16un, little=0x0201, big=0x0102),
        "f" / c.FlagsEnum(c.Int16un, little=0x0201, big=0x0102),
        "k" / c.Const(value, c.Int16un),
        "h" / c.Hex(c.Int16un),
        "p" / c.Prefixed(c.Int8ul, c.Int16un),
        "s" / c.Switch(c.this.e, {"little": c.Int16un, "big": c.Int16un}),
    )
    tree = trace(kind, b"\x01\x02" * 4 + b"\x02\x01\x02" + b"\x01\x02", order=order)
    assert not tree.damaged()
    name = {0x0201: "little", 0x0102: "big"}[value]
    assert (fields(tree)["e"].symbol, fields(tree)["f"].symbol) == (name, name)
    assert {f.value for f in tree.children} == {value}


def test_unknown_symbols() -> None:
    kind = c.Struct(
        "e" / c.Enum(c.Int8ul, x=1), "f" / c.FlagsEnum(c.Int8ul, x=1), "g" / c.FlagsEnum(c.Int8ul, x=1)
    )
    assert [f.symbol for f in trace(kind, b"\x09\x08\x00").children] == [None, "unknown 0x8", ""]


def test_enum_of_bytes() -> None:
    kind = c.Struct("e" / c.Enum(c.Bytes(2), ab=b"ab"), "n" / c.Int8ul)
    assert decoder(kind).decode(b"xy\x01") == (b"xy", 1)
    assert [(f.value, f.symbol) for f in trace(kind, b"ab\x01").children] == [(b"ab", "ab"), (1, None)]
    assert [(f.value, f.symbol) for f in trace(kind, b"xy\x01").children] == [(b"xy", None), (1, None)]


def test_a_kind_of_bytes_may_have_a_symbol() -> None:
    class Reversed(c.Bytes):  # type: ignore[misc]
        def symbol(self, value: bytes) -> str:
            return value[::-1].decode()

    kind = c.Struct("name" / Reversed(3))
    assert decoder(kind).decode(b"abc").name == b"abc"
    assert trace(kind, b"abc").children[0].symbol == "cba"


def test_trace_of_variable_schemas() -> None:
    tree = trace(PAIR, b"\x01\x04\0ab\0\0\x01\x02\x07")
    rows = [(f.name, f.offset, f.size, f.value, f.symbol) for f in tree.children]
    assert rows == [
        ("kind", 0, 1, 1, "text"),
        ("count", 1, 2, 4, None),
        ("value", 3, 4, "ab", None),
        ("end", 7, 2, 0x0102, None),
        ("twice", 9, 0, 8, None),
        ("ahead", 9, 0, 7, None),
    ]
    tree = trace(PAIR, b"\x03\0\0\x03\x80\x09")
    inner = fields(fields(tree)["value"])
    assert (inner["set"].symbol, inner["of"].symbol) == ("a | b | unknown 0x8000", "x")


def test_contexts_that_schemas_use() -> None:
    kind = c.Struct(
        "n" / c.Int8ul,
        "in"
        / c.Struct(
            "m" / c.Int8ul,
            "deep"
            / c.Array(c.this._.n, c.Struct("b" / c.Bytes(c.this._._root.n + c.this._.m + c.this._index))),
        ),
    )
    raw = b"\x02\x01" + b"aaa" + b"bbbb"
    assert [i["b"] for i in kind.parse(raw)["in"].deep] == [b"aaa", b"bbbb"]
    assert [i.b for i in getattr(decoder(kind).decode(raw), "in").deep] == [b"aaa", b"bbbb"]
    tree = trace(kind, raw)
    assert [leaf.value for leaf in leaves(tree)] == [2, 1, b"aaa", b"bbbb"]


def test_trace_never_raises_for_wild_schemas() -> None:
    wild = c.Struct(
        "back" / c.Seek(-5, 1),
        "n" / c.Int8ul,
    )
    assert trace(wild, bytes(20), 10).size >= 0
    assert trace(c.Struct("far" / c.Pointer(c.this._.missing, c.Int8ul)), bytes(20)).damaged()
    assert trace(c.Struct("n" / c.Int32ul, "x" / c.Bytes(c.this.n)), b"\xff\xff\xff\x7f" + bytes(9)).damaged()
    huge = trace(c.Struct("x" / c.GreedyBytes), bytes(limits.TRACED_FIELD.value + 1))
    assert "traced-field" in str(huge.children[0].error)


def test_trace_beyond_the_end_and_of_a_failing_disk() -> None:
    tree = trace(HEADER, b"", 1 << 40)
    assert tree.children[0].error == "only 0 bytes left"

    class Failing(MemorySource):
        def _read(self, offset: int, length: int) -> bytes:  # noqa: ARG002
            raise ImageError("the disk says no", offset=offset)

    source: Source = Failing(bytes(100), "disk")
    assert "the disk says no" in str(decoder(HEADER).trace(source, 0).children[0].error)


# --- formats -------------------------------------------------------------------------------------


def test_load_gives_decoders_and_constants() -> None:
    module = importlib.import_module("pybootcfg.formats.mbr")
    layout = schema.load("mbr")
    assert layout is schema.load("mbr")
    assert isinstance(layout.mbr, Decoder)
    assert layout.mbr is layout.mbr
    assert layout.SIGNATURE == module.SIGNATURE
    with pytest.raises(AttributeError):
        layout.no_such_thing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        schema.load("no_such_format")


def test_every_format_goes_by_the_name_of_its_module() -> None:
    folder = Path(importlib.import_module("pybootcfg.formats").__path__[0])
    assert schema.names() == sorted(file.stem for file in folder.glob("[!_]*.py"))


def test_formats_of_which_nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from the sources: the same decoders and constants, made of the schemas themselves."""
    wanted = schema.import_module

    def sources_only(name: str) -> Any:
        if ".prepared." in name:
            raise ModuleNotFoundError(name)
        return wanted(name)

    prepared = schema.load("gpt")
    monkeypatch.setattr(schema, "import_module", sources_only)
    layout = schema.Format("gpt")
    module = importlib.import_module("pybootcfg.formats.gpt")
    for name, value in vars(module).items():
        if isinstance(value, c.Construct):
            made = getattr(layout, name)
            assert (made.schema, made.size) == (value, getattr(prepared, name).size)
            assert made is getattr(layout, name)
    assert layout.FREEBSD_DISKLABEL == module.FREEBSD_DISKLABEL


def test_unnamed_constants_between_fields_leave_no_trace() -> None:
    padded = c.Struct(
        c.Const(b"\x01"),
        "a" / c.Array(2, c.Int8ub),
        c.Const(b"\x02"),
        "b" / c.Int8ub,
        c.Const(b"\x03"),
        "c" / c.Array(2, c.Int16ul),
    )
    nested = c.Struct("x" / c.Int8ub, "inner" / padded, c.Const(b"\x04"), "y" / c.Int8ub)
    data = b"\x09" + b"\x01\x0a\x0b\x02\x0c\x03\x0d\x00\x0e\x00" + b"\x04\x0f"
    record = schema.Decoder("nested", nested).decode(data)
    assert tuple(record) == (9, ((10, 11), 12, (13, 14)), 15)
    assert (record.inner.b, record.inner.c, record.y) == (12, (13, 14), 15)
