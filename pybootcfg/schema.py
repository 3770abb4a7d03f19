"""From Construct schemas to records: a fast decoder and a tracing one.

formats/ states what lies on a disk as Construct schemas.  `load("ext")` returns one such module
with every schema turned into a `Decoder` and every constant as it stands:

    ext = schema.load("ext")
    superblock = ext.superblock.read(source, 1024)      # a record with named fields
    superblock.s_inodes_count

A schema of fixed size is lowered once to a single precompiled, length-checked unpack into named
tuples; a schema with variable parts is parsed by Construct itself.  Enums and flags decode to plain
integers: their symbols are for people, and come with `Decoder.trace`, which gives every field's
offset, size, raw bytes, value and symbol, and the part before the damage when there is damage.

Byte order at run time (UFS, XFS, ZFS): a schema written with Construct's native-order fields
(`Int32un`) is read through `decoder.big` or `decoder.little`.
"""

from __future__ import annotations

import functools
import os
import struct
import sys

from pybootcfg.bytecode import import_module
from pybootcfg.errors import ImageError
from pybootcfg.values import TYPE_CHECKING, NamedTuple, Protocol, named_tuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Literal

    from construct import Construct

    from pybootcfg.source import Source
    from pybootcfg.tracing import Field

    #: turns the unpacked values from a start on into one value
    _Build = Callable[[tuple[Any, ...], int], Any]

#: Construct writes native order as "="; such a schema takes its order from `big` or `little`
NATIVE = "="


class Plan(NamedTuple):
    """A lowered schema, as plain data: what one `struct.unpack` yields and what becomes of it.

    `kind` is "integer" (`code`, `order`), "wide" (an integer of an odd size), "bytes", "padding",
    "record" (`parts` with their `names`) or "array" (`repeat` times `parts[0]`).  `expected` is the
    value that a Const field must have.
    """

    kind: str
    size: int
    code: str = ""
    order: str = ""
    signed: bool = False
    name: str = ""
    names: tuple[str, ...] = ()
    parts: tuple[Plan, ...] = ()
    repeat: int = 0
    expected: int | bytes | None = None


class Prepared(NamedTuple):
    """A schema of the module `module` of formats/, lowered when the package was built.

    `plan` is None for a schema of variable size.  Construct is imported only when the schema itself
    is wanted.
    """

    module: str
    name: str
    plan: Plan | None

    def schema(self) -> Construct:
        """Return the Construct schema."""
        return getattr(import_module(f"pybootcfg.formats.{self.module}"), self.name)


class NotFixed(Exception):
    """The schema's size depends on its contents, so that Construct itself must parse it."""


def lower(schema: Construct, name: str) -> Plan:
    """Lower a fixed-size schema to a Plan; raise NotFixed when it is not of fixed size.

    >>> from construct import Int16ul, Struct
    >>> lower(Struct("magic" / Int16ul), "header").parts[0].code
    'H'
    """
    import construct as c

    kind = type(schema)
    if kind is c.Renamed or isinstance(schema, (c.Enum, c.FlagsEnum, c.Hex, c.HexDump)) or has_words(schema):
        return lower(schema.subcon, name)
    if kind is c.FormatField and schema.fmtstr[1] in "bBhHiIlLqQ":
        return Plan("integer", schema.length, code=_CODES[schema.fmtstr[1]], order=schema.fmtstr[0])
    if kind is c.BytesInteger and isinstance(schema.length, int) and not callable(schema.swapped):
        order = "<" if schema.swapped else ">"
        return Plan("wide", schema.length, order=order, signed=bool(schema.signed))
    if isinstance(schema, c.Bytes) and isinstance(schema.length, int):
        return Plan("bytes", schema.length)
    if kind is c.Const and isinstance(schema.value, (int, bytes)):
        return lower(schema.subcon, name)._replace(expected=schema.value)
    if kind is c.Padded and isinstance(schema.subcon, c.Pass.__class__) and isinstance(schema.length, int):
        return Plan("padding", schema.length)
    if kind is c.Array and isinstance(schema.count, int):
        part = lower(schema.subcon, name)
        if part.kind == "padding":
            return Plan("padding", part.size * schema.count)
        return Plan("array", part.size * schema.count, parts=(part,), repeat=schema.count)
    if kind is c.Struct:
        parts = tuple(lower(part, part.name or name) for part in schema.subcons)
        names = tuple(part.name or "" for part in schema.subcons)
        return Plan("record", sum(part.size for part in parts), name=name, names=names, parts=parts)
    raise NotFixed(f"{name}: {schema!r}")


def has_words(schema: Construct) -> bool:
    """Whether a schema wraps another one for the words alone that its value has for people (`symbol`)."""
    return hasattr(schema, "subcon") and hasattr(type(schema), "symbol")


def _lower(schema: Construct, name: str) -> Plan | None:
    try:
        return lower(schema, name)
    except NotFixed:
        return None


_CODES = {"b": "b", "B": "B", "h": "h", "H": "H", "i": "i", "I": "I", "l": "i", "L": "I", "q": "q", "Q": "Q"}


class _Decode(Protocol):
    def __call__(self, data: bytes | memoryview, offset: int = 0, *, at: int = 0) -> Any: ...


class _Unpacker:
    """One Plan for one byte order: a precompiled struct and the closures that build records."""

    def __init__(self, plan: Plan, native_order: str) -> None:
        self.native_order = native_order
        orders = [leaf.order for leaf in _leaves(plan) if leaf.kind == "integer" and leaf.size > 1]
        resolved = [native_order if order == NATIVE else order for order in orders]
        self.order = ">" if resolved.count(">") > len(resolved) / 2 else "<"
        self.checks: list[tuple[int, Plan, int]] = []  # (index of the value, plan, byte offset)
        codes, _, build = self._compile(plan, 0, 0)
        self.struct = struct.Struct(self.order + codes)
        #: the code of a bare integer, of which an array is unpacked in one go
        self.integer = codes if plan.kind == "integer" and plan.expected is None else ""
        #: turns all unpacked values into the value; for flat records straight into the named tuple
        self.whole = self._whole(build)
        self.is_flat = isinstance(build, _FlatRecord) and not self.checks

    def _whole(self, build: _Build | None) -> Callable[[tuple[Any, ...]], Any]:
        if isinstance(build, _FlatRecord):
            return build.make
        if isinstance(build, _MixedRecord):
            return build.whole
        chosen = build or _same
        return lambda values: chosen(values, 0)

    def check(self, value: Any, plan: Plan, offset: int, structure: str) -> None:
        """Raise ImageError unless a constant field has the value that its specification gives."""
        if isinstance(plan.expected, int):
            _, _, build = self._compile_integer(plan)
            value = build((value,), 0) if build else value
        if value != plan.expected:
            raise ImageError(
                f"{constant(plan.expected)} expected, but {constant(value)} found",
                offset=offset,
                structure=structure,
            )

    def integer_code(self, plan: Plan) -> str:
        """Return the struct code of an integer; TypeError for what takes more than that."""
        if plan.kind == "integer" and plan.expected is None:
            code, _, build = self._compile_integer(plan)
            if build is None:
                return code
        raise TypeError(f"a plain integer wanted, not {plan}")

    def _compile(self, plan: Plan, index: int, offset: int) -> tuple[str, int, _Build | None]:
        """Return (struct codes, how many values they unpack to, builder or None for the value itself)."""
        if plan.kind == "padding":
            return f"{plan.size}x", 0, None
        if plan.expected is not None:
            self.checks.append((index, plan, offset))
        if plan.kind == "bytes":
            return f"{plan.size}s", 1, None
        if plan.kind in ("integer", "wide"):
            return self._compile_integer(plan)
        if plan.kind == "array":
            return self._compile_array(plan, index, offset)
        return self._compile_record(plan, index, offset)

    def _compile_integer(self, plan: Plan) -> tuple[str, int, _Build | None]:
        order = self.native_order if plan.order == NATIVE else plan.order
        if plan.kind == "integer" and (plan.size == 1 or order == self.order):
            return plan.code, 1, None
        byteorder: Literal["little", "big"] = "little" if order == "<" else "big"
        signed = plan.signed or plan.code.islower()
        return f"{plan.size}s", 1, lambda values, at: int.from_bytes(values[at], byteorder, signed=signed)

    def _compile_array(self, plan: Plan, index: int, offset: int) -> tuple[str, int, _Build | None]:
        part, count = plan.parts[0], plan.repeat
        first = len(self.checks)
        codes, width, build = self._compile(part, index, offset)
        own = self.checks[first:]
        del self.checks[first:]
        self.checks += [
            (at + i * width, constant_plan, where + i * part.size)
            for i in range(count)
            for at, constant_plan, where in own
        ]
        if build is None and part.kind == "integer":
            return f"{count}{codes}", count, lambda values, at: values[at : at + count]
        one = build or _same
        return (
            codes * count,
            width * count,
            lambda values, at: tuple(one(values, at + i * width) for i in range(count)),
        )

    def _compile_record(self, plan: Plan, index: int, offset: int) -> tuple[str, int, _Build | None]:
        codes, width, names = "", 0, []
        fields: list[tuple[int, _Build | None]] = []  # where a field's values begin, and what builds it
        plain = True
        for part_name, part in zip(plan.names, plan.parts, strict=True):
            part_codes, part_width, build = self._compile(part, index + width, offset)
            codes += part_codes
            offset += part.size
            if part.kind != "padding" and part_name:
                names.append(part_name)
                plain = plain and build is None and part_width == 1
                fields.append((width, build))
            elif part_width:  # an unnamed constant, such as reserved zeros
                plain = False
            width += part_width
        record = _record_type(plan.name, names)
        if plain:
            return codes, width, _FlatRecord(record, width)
        return codes, width, _MixedRecord(record, width, fields)


def _record_type(name: str, fields: list[str]) -> Any:
    if len(set(fields)) < len(fields):
        raise ValueError(f"{name} has two fields of the same name")
    return named_tuple(name, fields)


def constant(value: Any) -> str:
    """Return a constant field's value as error messages show it.

    >>> constant(0xAA55), constant(b"EFI PART")
    ('0xaa55', "b'EFI PART'")
    """
    return f"{value:#x}" if isinstance(value, int) else repr(value)


class _FlatRecord:
    """Builds a record whose fields are the unpacked values themselves."""

    def __init__(self, record: Any, width: int) -> None:
        self.make: Callable[[tuple[Any, ...]], Any] = functools.partial(tuple.__new__, record)
        self.width = width

    def __call__(self, values: tuple[Any, ...], at: int) -> Any:
        return self.make(values[at : at + self.width])


class _MixedRecord:
    """Builds a record whose fields are the unpacked values, but for those made of several or of none."""

    def __init__(self, record: Any, width: int, fields: list[tuple[int, _Build | None]]) -> None:
        self.make: Callable[[list[Any]], Any] = functools.partial(tuple.__new__, record)
        self.width = width
        stops = [*(start for start, _ in fields[1:]), width]
        #: what is put in the place of values, from the last to the first, so that the places stay right
        self.replaced: list[tuple[slice, _Build | None]] = []
        for (start, build), stop in zip(reversed(fields), reversed(stops), strict=True):
            if build is None and stop == start + 1:
                continue
            self.replaced.append((slice(start, stop), build or _same))
        if fields and fields[0][0]:  # an unnamed constant in front
            self.replaced.append((slice(0, fields[0][0]), None))

    def __call__(self, values: tuple[Any, ...], at: int) -> Any:
        return self.whole(values[at : at + self.width])

    def whole(self, values: tuple[Any, ...]) -> Any:
        """Build from exactly the record's own values."""
        built: list[Any] = list(values)
        for piece, build in self.replaced:
            built[piece] = () if build is None else (build(values, piece.start),)
        return self.make(built)


def _same(values: tuple[Any, ...], at: int) -> Any:
    return values[at]


def _leaves(plan: Plan) -> Iterator[Plan]:
    if plan.parts:
        for part in plan.parts:
            yield from _leaves(part)
    else:
        yield plan


class Decoder:
    """Decodes one schema; `name` is the structure's name in its specification."""

    def __init__(self, name: str, form: Construct | Prepared, order: str = "<") -> None:
        self.name = name
        self._form = form
        self.order = order

    @functools.cached_property
    def schema(self) -> Construct:
        """The Construct schema itself."""
        return self._form.schema() if isinstance(self._form, Prepared) else self._form

    @functools.cached_property
    def big(self) -> Decoder:
        """The same structure with its native-order fields read big-endian."""
        return Decoder(self.name, self._form, ">")

    @functools.cached_property
    def little(self) -> Decoder:
        """The same structure with its native-order fields read little-endian."""
        return Decoder(self.name, self._form, "<")

    def repeated(self, count: int) -> Decoder:
        """Return the decoder of `count` of these side by side, for `inspect`."""
        from construct import Array

        return Decoder(self.name, Array(count, self.schema), self.order)

    @functools.cached_property
    def _plan(self) -> Plan | None:
        return self._form.plan if isinstance(self._form, Prepared) else _lower(self._form, self.name)

    @functools.cached_property
    def _unpacker(self) -> _Unpacker | None:
        return _Unpacker(self._plan, self.order) if self._plan else None

    @functools.cached_property
    def size(self) -> int:
        """Size in bytes; TypeError for a schema whose size depends on its contents."""
        if self._unpacker is None:
            raise TypeError(f"{self.name} has no fixed size")
        return self._unpacker.struct.size

    @functools.cached_property
    def decode(self) -> _Decode:
        """Decode the structure at `offset` of `data`: `decode(data, offset=0, *, at=0)`.

        `at` is where `data` begins on the disk, so that errors name the disk's own offsets.  Raises
        ImageError when data is missing or a constant field (a magic) has another value.
        """
        unpacker = self._unpacker
        if unpacker is None:
            return self._parse
        unpack, whole, checks = unpacker.struct.unpack_from, unpacker.whole, unpacker.checks

        # A closure, not a method: it runs for every directory entry, where look-ups double the cost.
        def decode(data: bytes | memoryview, offset: int = 0, *, at: int = 0) -> Any:
            try:
                values = unpack(data, offset)
            except struct.error:
                raise self._truncated(len(data), offset, at) from None
            if offset < 0:  # struct would count from the end
                raise self._truncated(len(data), offset, at)
            for index, plan, where in checks:
                if values[index] == plan.expected:
                    continue
                unpacker.check(values[index], plan, at + offset + where, self.name)
            return whole(values)

        return decode

    @functools.cached_property
    def unpack(self) -> Callable[[bytes, int], tuple[Any, ...]]:
        """Decode a structure of plain fields at an offset of bytes that are known to reach far enough.

        For loops over many: half the cost of `decode`, and a bare tuple.
        """
        unpacker = self._unpacker
        if unpacker is None or not unpacker.is_flat:
            raise TypeError(f"{self.name} is not made of plain fields alone")
        return unpacker.struct.unpack_from

    def columns(self, names: Sequence[str], stride: int) -> Callable[[bytes], Iterator[tuple[int, ...]]]:
        """Return what decodes some integers of structures that lie `stride` bytes apart, in their order.

        It takes bytes of a whole number of strides: a table of thousands, of which little is wanted.
        """
        plan, unpacker = self._plan, self._unpacker
        if plan is None or unpacker is None or not {*names} <= {*plan.names}:
            raise TypeError(f"{self.name} has no fixed size, or not all of {names}")
        codes, end, offset = unpacker.order, 0, 0
        for name, part in zip(plan.names, plan.parts, strict=True):
            if name in names:
                codes += f"{offset - end}x{unpacker.integer_code(part)}"
                end = offset + part.size
            offset += part.size
        return struct.Struct(f"{codes}{stride - end}x").iter_unpack

    def read(self, source: Source, offset: int) -> Any:
        """Read and decode the structure (of fixed size) at `offset` of a source."""
        try:
            return self.decode(source.read(offset, self.size, self.name), at=offset)
        except ImageError as error:
            error.source = error.source or source.name
            raise

    def array(
        self, data: bytes | memoryview, count: int, offset: int = 0, *, at: int = 0, stride: int = 0
    ) -> tuple[Any, ...]:
        """Decode `count` structures in bulk that lie side by side, or `stride` bytes apart."""
        unpacker = self._unpacker
        if unpacker is None:
            raise TypeError(f"{self.name} has no fixed size")
        size = unpacker.struct.size
        step = stride or size
        if count <= 0:
            return ()
        if offset < 0 or len(data) - offset < step * (count - 1) + size:
            whole = max(0, len(data) - offset - size + step) // step  # structures that are all there
            raise self._truncated(len(data), offset + whole * step, at)
        if step == size and unpacker.integer:
            return struct.unpack_from(f"{unpacker.order}{count}{unpacker.integer}", data, offset)
        return tuple(self.decode(data, offset + i * step, at=at) for i in range(count))

    def trace(self, source: Source, offset: int) -> Field:
        """Decode the structure at `offset` field by field, for people to look at.

        Never raises for what is on the disk: damage becomes the `error` of the field it is in, and
        the fields before it stand.
        """
        from pybootcfg.tracing import trace

        return trace(self.name, self.schema, source, offset, self.order)

    @functools.cached_property
    def _resolved(self) -> Construct:
        from pybootcfg.variable import resolve

        return resolve(self.schema, self.order)

    def _parse(self, data: bytes | memoryview, offset: int = 0, *, at: int = 0) -> Any:
        import construct

        from pybootcfg.variable import NONSENSE, plain

        if offset < 0:
            raise self._truncated(len(data), offset, at)
        try:
            return plain(self._resolved.parse(bytes(data[offset:])))
        except construct.StreamError:
            raise self._truncated(len(data), offset, at) from None
        except (construct.ConstructError, *NONSENSE) as error:
            message = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ImageError(message[0], offset=at + offset, structure=self.name) from None

    def _truncated(self, available: int, offset: int, at: int) -> ImageError:
        size = f"{self._unpacker.struct.size} bytes" if self._unpacker else "more"
        return ImageError(
            f"{size} wanted, but {max(0, available - offset)} left", offset=at + offset, structure=self.name
        )


class Format:
    """One module of formats/: its schemas as Decoders, its constants as they stand."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plans: dict[str, tuple[Any, ...] | None] = {}
        try:
            prepared = import_module(f"pybootcfg.prepared.format_{name}")
        except ModuleNotFoundError:  # run from the sources
            import_module(f"pybootcfg.formats.{name}")
            return
        vars(self).update(prepared.CONSTANTS)
        self._plans = prepared.PLANS

    def __getattr__(self, name: str) -> Any:
        value: Any
        if name in self._plans:
            literal = self._plans[name]
            value = Decoder(name, Prepared(self._name, name, _plan(literal) if literal else None))
        else:
            value = getattr(import_module(f"pybootcfg.formats.{self._name}"), name)
            construct = sys.modules["construct"]
            if isinstance(value, construct.Construct):
                value = Decoder(name, value)
        setattr(self, name, value)
        return value


@functools.cache
def load(name: str) -> Format:
    """Return the format named `name`: a module of formats/ with decoders in place of its schemas."""
    return Format(name)


def names() -> list[str]:
    """Return the names of all formats."""
    from pybootcfg import formats

    files = map(os.path.splitext, sorted(os.listdir(formats.__path__[0])))
    return [name for name, extension in files if extension == ".py" and not name.startswith("_")]


def prepare(name: str) -> str:
    """Return the source of the module that `load` takes in place of formats/NAME.py."""
    import construct

    constants, plans = {}, {}
    for key, value in vars(import_module(f"pybootcfg.formats.{name}")).items():
        if isinstance(value, construct.Construct):
            plans[key] = _lower(value, key)
        elif not key.startswith("__") and _is_literal(value):
            constants[key] = value
    lines = [f'"""Made from formats/{name}.py when the package was built."""', "", "CONSTANTS = {"]
    lines += [f"    {key!r}: {_source(value)}," for key, value in constants.items()]
    lines += ["}", "PLANS = {"]
    lines += [f"    {key!r}: {plan and _literal(plan)!r}," for key, plan in plans.items()]
    return "\n".join([*lines, "}", ""])


def _is_literal(value: Any) -> bool:
    """Whether a constant is plain data, which `_source` can write down."""
    if isinstance(value, dict):
        return all(_is_literal(part) for item in value.items() for part in item)
    if isinstance(value, tuple | frozenset):
        return all(map(_is_literal, value))
    return value is None or type(value) in (bool, int, str, bytes, range)


def _source(value: Any) -> str:
    """Return a constant as Python writes it; a set in order, so that two builds give the same."""
    return f"frozenset({sorted(value)!r})" if isinstance(value, frozenset) else repr(value)


def _literal(plan: Plan) -> tuple[Any, ...]:
    return tuple({**plan._asdict(), "parts": tuple(map(_literal, plan.parts))}.values())


def _plan(literal: tuple[Any, ...]) -> Plan:
    plan = Plan._make(literal)
    return plan._replace(parts=tuple(map(_plan, plan.parts))) if plan.parts else plan
