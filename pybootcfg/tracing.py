"""The tracing decoder: a schema walked field by field, with the address of everything.

`Decoder.trace` of schema.py is its only caller.  It is for `inspect`, where a person wants to see
what a structure says even when it is damaged; readers use `Decoder.decode`.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field

import construct as c

from pybootcfg import limits
from pybootcfg.errors import BootcfgError
from pybootcfg.schema import constant, has_words
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING
from pybootcfg.variable import NONSENSE, plain, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@dataclass(slots=True)
class Field:
    """One field of a structure, or a structure with its fields as `children`.

    `offset` is absolute within `source` of the trace, in bytes; `raw` holds the bytes of a leaf;
    `symbol` is the value in words, `unit` what it counts; `valid` is None when the specification gives
    nothing to compare with.
    """

    name: str
    type: str
    offset: int
    size: int = 0
    raw: bytes = b""
    value: Any = None
    symbol: str | None = None
    unit: str = ""
    valid: bool | None = None
    error: str | None = None
    children: list[Field] = field(default_factory=list)
    #: the bytes do not lie at `offset` as they are: offsets count through decompressed or replayed ones
    decoded: bool = False

    def leaves(self, path: str = "") -> Iterator[tuple[str, Field]]:
        """Yield the fields that have no fields themselves, with their paths from this one on."""
        for child in self.children:
            dot = "" if child.name.startswith("[") or not path else "."
            yield from child.leaves(f"{path}{dot}{child.name}")
        if not self.children:
            yield path, self

    def move(self, distance: int) -> None:
        """Let offsets count from another place: add `distance` bytes to all of them."""
        self.offset += distance
        for child in self.children:
            child.move(distance)

    def damaged(self) -> bool:
        """Whether this field or one below it could not be read or is not what it must be."""
        return (
            self.error is not None or self.valid is False or any(child.damaged() for child in self.children)
        )


def stretch(name: str, source: Source, offset: int, size: int, bits: int = 0) -> Field:
    """Return bytes that have no fields as one field; of the first `bits` it says how many are set."""
    whole = Field(name, f"bytes[{size}]", offset, size)
    left = max(0, min(size, source.size - offset))
    whole.raw = source.read(offset, limits.TRACED_FIELD.check(left))
    if left < size:
        whole.size, whole.error = left, f"only {left} bytes left"
    elif bits:
        used = whole.raw[: bits // 8].hex()
        count = int(used or "0", 16).bit_count()
        count += sum(whole.raw[bit // 8] >> bit % 8 & 1 for bit in range(bits // 8 * 8, min(bits, size * 8)))
        whole.symbol = f"{count} of {bits} bits set"
    whole.value = whole.raw
    return whole


_AHEAD = 512  # bytes


class _Stream(io.RawIOBase):
    """A Source as the seekable stream that Construct parses from, beginning at `start`."""

    def __init__(self, source: Source, start: int) -> None:
        self.source = source
        self.position = start
        self._ahead = b""  # bytes in hand, so that not every field is read by itself
        self._start = 0

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.source.size - self.position)
        count = left if size is None or size < 0 else min(size, left)
        data = self.at(self.position, limits.TRACED_FIELD.check(count)) if count else b""
        self.position += len(data)
        return data

    def at(self, offset: int, size: int) -> bytes:
        """Return bytes of the source."""
        skip = offset - self._start
        if not 0 <= skip <= len(self._ahead) - size:
            if size > _AHEAD:
                return self.source.read(offset, size)
            try:
                self._ahead = self.source.read(offset, min(_AHEAD, self.source.size - offset))
            except BootcfgError:  # what comes later may be what cannot be read
                return self.source.read(offset, size)
            self._start, skip = offset, 0
        return self._ahead[skip : skip + size]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.source.size}[whence]
        self.position = base + offset
        return self.position

    def tell(self) -> int:
        return self.position


class _Damage(Exception):
    """Stops the walk; the field that carries the reason is in the tree already."""


def trace(name: str, schema: c.Construct, source: Source, offset: int, order: str) -> Field:
    """Return the tree of fields of `schema` at `offset`; `order` is that of native-order fields."""
    tracer = _Tracer(source, order)
    context = c.Container(_parsing=True, _building=False, _sizing=False)
    context["_params"] = context
    root = Field(name, _type_name(schema), offset)
    with contextlib.suppress(_Damage):
        tracer.walk(schema, root, context)
    return root


class _Tracer:
    def __init__(self, source: Source, order: str) -> None:
        self.stream = _Stream(source, 0)
        self.source = source
        self.order = order

    def walk(self, schema: Any, node: Field, context: Any) -> Any:
        """Fill `node` from the disk at node.offset; return the value as Construct would see it."""
        kind = type(schema)
        if kind is c.Renamed:
            node.unit = schema.docs or node.unit
            return self.walk(schema.subcon, node, context)
        if kind is c.Struct:
            return self._struct(schema, node, context)
        if kind is c.Array:
            return self._array(schema, node, context)
        if kind is c.IfThenElse:
            condition = self._evaluate(schema.condfunc, node, context)
            return self.walk(schema.thensubcon if condition else schema.elsesubcon, node, context)
        if kind is c.Switch:
            chosen = schema.cases.get(self._evaluate(schema.keyfunc, node, context), schema.default)
            return self.walk(chosen, node, context)
        if isinstance(schema, (c.Hex, c.HexDump)):
            return self.walk(schema.subcon, node, context)
        if isinstance(schema, (c.Enum, c.FlagsEnum)):
            value = self.walk(schema.subcon, node, context)
            node.symbol = _symbol(schema, value)
            return schema._decode(value, context, "") if isinstance(value, int) else value
        if has_words(schema):
            value = self.walk(schema.subcon, node, context)
            node.symbol = schema.symbol(value)
            return value
        if kind is c.Const:
            value = self.walk(schema.subcon, node, context)
            node.valid = value == schema.value
            if not node.valid:
                node.error = f"{constant(schema.value)} expected"
            return value
        return self._leaf(schema, node, context)

    def _struct(self, schema: Any, node: Field, context: Any) -> Any:
        inner = c.Container(_=context, _io=self.stream, **_inherited(context))
        inner["_root"] = context.get("_root", inner)
        for part in schema.subcons:
            child = Field(part.name or "", _type_name(part), node.offset + node.size, unit=node.unit)
            if isinstance(part, c.Padded) and not part.name:
                child.name = "padding"
            node.children.append(child)
            try:
                value = self.walk(part, child, inner)
            finally:
                node.size += child.size
            if part.name:
                inner[part.name] = value
        node.children = [child for child in node.children if child.size or child.name]
        return inner

    def _array(self, schema: Any, node: Field, context: Any) -> Any:
        count = self._evaluate(schema.count, node, context)
        if callable(schema.count) and not 0 <= count <= limits.ARRAY_ITEMS.value:
            node.error = (
                f"{count} elements, but the limit {limits.ARRAY_ITEMS.name} is {limits.ARRAY_ITEMS.value}"
            )
            raise _Damage
        values = []
        for index in range(count):
            context["_index"] = index
            child = Field(f"[{index}]", _type_name(schema.subcon), node.offset + node.size, unit=node.unit)
            node.children.append(child)
            try:
                values.append(self.walk(schema.subcon, child, context))
            finally:
                node.size += child.size
        return values

    def _leaf(self, schema: Any, node: Field, context: Any) -> Any:
        self.stream.position = node.offset
        try:
            value = resolve(schema, self.order)._parsereport(self.stream, context, node.name)
            node.size = max(0, self.stream.position - node.offset)
            node.raw = self.stream.at(node.offset, limits.TRACED_FIELD.check(node.size)) if node.size else b""
        except (c.ConstructError, BootcfgError, *NONSENSE) as error:
            node.size = 0
            left = max(0, self.source.size - node.offset)
            refused = isinstance(error.__context__, BootcfgError)  # by the source, which Construct hides
            truncated = isinstance(error, c.StreamError) and not refused
            node.error = (
                f"only {left} bytes left" if truncated else _reason(error.__context__ if refused else error)
            )
            raise _Damage from None
        node.value = plain(value)
        if isinstance(schema, c.Bytes) and hasattr(schema, "symbol"):  # such as a GUID
            node.symbol = schema.symbol(value)
        return value

    def _evaluate(self, expression: Any, node: Field, context: Any) -> Any:
        """Return the value of an expression of the schema; one that fails is damage at `node`."""
        try:
            return expression(context) if callable(expression) else expression
        except (c.ConstructError, *NONSENSE) as error:
            node.error = _reason(error)
            raise _Damage from None


def _reason(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _inherited(context: Any) -> dict[str, Any]:
    """Return what Construct hands down from the context of a record to those inside it."""
    keys = ("_params", "_parsing", "_building", "_sizing", "_index")
    return {key: context.get(key) for key in keys}


def _symbol(schema: Any, value: Any) -> str | None:
    if isinstance(schema, c.Enum):
        name = schema.decmapping.get(value)
        return None if name is None else str(name)
    names, rest = [], value
    for name, mask in schema.flags.items():
        if mask and value & mask == mask:
            names.append(name)
            rest &= ~mask
    if rest:
        names.append(f"unknown {rest:#x}")
    return " | ".join(names)


def _type_name(schema: Any) -> str:
    while isinstance(schema, c.Renamed):
        schema = schema.subcon
    if isinstance(schema, (c.Enum, c.FlagsEnum, c.Const, c.Hex, c.HexDump)) or has_words(schema):
        return _type_name(schema.subcon)
    if isinstance(schema, c.FormatField):
        sign = "i" if schema.fmtstr[1].islower() else "u"
        order = {"<": "le", ">": "be", "=": ""}[schema.fmtstr[0]] if schema.length > 1 else ""
        return f"{sign}{schema.length * 8}{order}"
    if isinstance(schema, c.BytesInteger):
        return f"{'i' if schema.signed else 'u'}{schema.length * 8}{'le' if schema.swapped else 'be'}"
    if isinstance(schema, c.Array):
        return f"{_type_name(schema.subcon)}[]"
    return type(schema).__name__.lower()
