"""The tracing decoder: a schema walked field by field, with the address of everything.

`Decoder.trace` of schema.py is its only caller.  It is for `inspect`, where a person wants to see
what a structure says even when it is damaged; readers use `Decoder.decode`.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from typing import Any

import construct as c

from pybootcfg.errors import BootcfgError
from pybootcfg.source import Source


@dataclass(slots=True)
class Field:
    """One field of a structure, or a structure with its fields as `children`.

    `offset` is absolute within `source` of the trace, in bytes; `raw` holds the bytes of a leaf;
    `valid` is None when the specification gives nothing to compare with.
    """

    name: str
    type: str
    offset: int
    size: int = 0
    raw: bytes = b""
    value: Any = None
    symbol: str | None = None
    valid: bool | None = None
    error: str | None = None
    children: list[Field] = field(default_factory=list)

    def damaged(self) -> bool:
        """Whether this field or one below it could not be read or is not what it must be."""
        return (
            self.error is not None or self.valid is False or any(child.damaged() for child in self.children)
        )


class _Stream(io.RawIOBase):
    """A Source as the seekable stream that Construct parses from, beginning at `start`."""

    def __init__(self, source: Source, start: int) -> None:
        self.source = source
        self.position = start

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.source.size - self.position)
        count = left if size is None or size < 0 else min(size, left)
        data = self.source.read(self.position, min(count, 1 << 20))
        self.position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.source.size}[whence]
        self.position = base + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def seekable(self) -> bool:
        return True


class _Damage(Exception):
    """Stops the walk; the field that carries the reason is in the tree already."""


def trace(name: str, schema: c.Construct, source: Source, offset: int, order: str) -> Field:
    """Return the tree of fields of `schema` at `offset`; `order` is that of native-order fields."""
    tracer = _Tracer(source, order)
    context = c.Container()
    context._ = c.Container()
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
            return self.walk(schema.subcon, node, context)
        if kind is c.Struct:
            return self._struct(schema, node, context)
        if kind is c.Array:
            return self._array(schema, node, context)
        if kind is c.IfThenElse:
            chosen = schema.thensubcon if _evaluate(schema.condfunc, context) else schema.elsesubcon
            return self.walk(chosen, node, context)
        if kind is c.Switch:
            chosen = schema.cases.get(_evaluate(schema.keyfunc, context), schema.default)
            return self.walk(chosen, node, context)
        if isinstance(schema, (c.Enum, c.FlagsEnum)):
            value = self.walk(schema.subcon, node, context)
            node.symbol = _symbol(schema, value)
            return schema._decode(value, context, "")
        if kind is c.Const:
            value = self.walk(schema.subcon, node, context)
            node.valid = value == schema.value
            if not node.valid:
                node.error = f"{schema.value!r} expected"
            return value
        return self._leaf(schema, node, context)

    def _struct(self, schema: Any, node: Field, context: Any) -> Any:
        inner = c.Container()
        inner._ = context
        for part in schema.subcons:
            child = Field(part.name or "", _type_name(part), node.offset + node.size)
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
        count = _evaluate(schema.count, context)
        values = []
        for index in range(count):
            child = Field(f"[{index}]", _type_name(schema.subcon), node.offset + node.size)
            node.children.append(child)
            try:
                values.append(self.walk(schema.subcon, child, context))
            finally:
                node.size += child.size
        return values

    def _leaf(self, schema: Any, node: Field, context: Any) -> Any:
        if isinstance(schema, c.FormatField) and schema.fmtstr[0] == "=":
            schema = c.FormatField(self.order, schema.fmtstr[1])
        self.stream.position = node.offset
        try:
            value = schema._parsereport(self.stream, context, node.name)
        except (c.ConstructError, BootcfgError) as error:
            left = max(0, self.source.size - node.offset)
            truncated = isinstance(error, c.StreamError)
            node.error = f"only {left} bytes left" if truncated else str(error).strip().splitlines()[-1]
            raise _Damage from None
        node.size = self.stream.position - node.offset
        node.raw = self.source.read(node.offset, node.size)
        node.value = value
        if isinstance(schema, c.Bytes) and hasattr(schema, "symbol"):  # such as a GUID
            node.symbol = schema.symbol(value)
        return value


def _evaluate(expression: Any, context: Any) -> Any:
    return expression(context) if callable(expression) else expression


def _symbol(schema: Any, value: int) -> str | None:
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
    if isinstance(schema, (c.Enum, c.FlagsEnum, c.Const, c.Hex)):
        return _type_name(schema.subcon)
    if isinstance(schema, c.FormatField):
        sign = "i" if schema.fmtstr[1].islower() else "u"
        order = {"<": "le", ">": "be", "=": ""}[schema.fmtstr[0]] if schema.length > 1 else ""
        return f"{sign}{schema.length * 8}{order}"
    if isinstance(schema, c.BytesInteger):
        return f"u{schema.length * 8}{'le' if schema.swapped else 'be'}"
    if isinstance(schema, c.Array):
        return f"{_type_name(schema.subcon)}[]"
    return type(schema).__name__.lower()
