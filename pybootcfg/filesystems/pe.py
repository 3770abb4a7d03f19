"""A PE executable as a directory of its sections, so that a unified kernel image gives kernel and ramdisk.

- Microsoft, "PE Format": https://learn.microsoft.com/en-us/windows/win32/debug/pe-format
- UAPI Group, "Unified Kernel Image", sections on PE sections and on multi-profile images:
  https://uapi-group.org/specifications/specs/unified_kernel_image/

The root holds the sections as they count for the main profile, `@1`, `@2` and so on as they count
for each further one.  No disk is formatted so: guest.py asks this reader about files only.
"""

from __future__ import annotations

from functools import cached_property

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options, Run
from pybootcfg.kind import Kind
from pybootcfg.source import Source
from pybootcfg.structures import Structure, Structures
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

layout = schema.load("pe")


class Section(Node):
    """One section as a file: its bytes in memory."""

    def __init__(self, source: Source, header: Any) -> None:
        self._source = source
        self._header = header

    @property
    def key(self) -> Hashable:
        """Where the contents lie."""
        return self._header.pointer_to_raw_data, self._header.virtual_size

    @property
    def kind(self) -> Kind:
        """A file."""
        return Kind.FILE

    @property
    def size(self) -> int:
        """Bytes; those in the file are often more, by padding."""
        return int(self._header.virtual_size or self._header.size_of_raw_data)

    def runs(self) -> Iterator[Run]:
        """Yield what the file has of the section, then zeros."""
        length = min(self.size, self._header.size_of_raw_data)
        offset = self._header.pointer_to_raw_data
        if offset + length > self._source.size:
            raise ImageError(
                "a section lies beyond the end of the file",
                offset=offset,
                structure="section_header",
                source=self._source.name,
            )
        if length:
            yield Extent(self._source, offset, length)
        if length < self.size:
            yield Hole(self.size - length)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield nothing: it is a file."""
        return iter(())

    def lookup(self, name: bytes) -> Node | None:  # noqa: ARG002
        """Return nothing: it is a file."""
        return None

    def target(self) -> bytes:
        """Return nothing: it is a file."""
        return b""


class Sections(Node):
    """Sections by their names, as a directory."""

    def __init__(self, number: int, children: dict[bytes, Node]) -> None:
        self._number = number
        self._children = children

    @property
    def key(self) -> Hashable:
        """The profile's number."""
        return self._number

    @property
    def kind(self) -> Kind:
        """A directory."""
        return Kind.DIRECTORY

    @property
    def size(self) -> int:
        """Nothing."""
        return 0

    def runs(self) -> Iterator[Run]:
        """Yield nothing: it is a directory."""
        return iter(())

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the sections."""
        return iter(self._children.items())

    def lookup(self, name: bytes) -> Node | None:
        """Return a section by its name."""
        return self._children.get(name)

    def target(self) -> bytes:
        """Return nothing: it is a directory."""
        return b""


class _Headers(Structures):
    """The headers of a PE file, by which `inspect` shows a kernel."""

    def __init__(self, header_offset: int, table: int, sections: int) -> None:
        self._header_offset = header_offset
        self._table = table
        self._sections = sections

    def listed(self) -> Iterator[Structure]:
        """Yield the headers of the file and of its sections."""
        yield Structure("msdos_header", layout.msdos_header, 0)
        yield Structure("file_header", layout.file_header, self._header_offset)
        for index in range(self._sections):
            offset = self._table + index * layout.section_header.size
            yield Structure(f"section_header[{index}]", layout.section_header, offset)


class PortableExecutable(Filesystem):
    """A PE file; raises ImageError for what is none."""

    family = "pe"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self._header_offset = layout.msdos_header.read(source, 0).e_lfanew
        header = layout.file_header.read(source, self._header_offset)
        count = limits.PE_SECTIONS.check(header.number_of_sections, source.name)
        size = layout.section_header.size
        self._table = self._header_offset + layout.file_header.size + header.size_of_optional_header
        data = source.read(self._table, count * size, "section_header")
        headers = layout.section_header.array(data, count, at=self._table)
        self.machine: str = layout.MACHINES.get(header.machine, "")
        self._count = count
        self._root = self._sections(headers)

    def _sections(self, headers: tuple[Any, ...]) -> Sections:
        """Put the sections into directories; in each part of the table, the first of a name counts."""
        parts: list[dict[bytes, Node]] = [{}]
        for header in headers:
            name = header.name.rstrip(b"\0")
            if name == layout.PROFILE:
                limits.PE_PROFILES.check(len(parts), self.source.name)
                parts.append({})
            parts[-1].setdefault(name, Section(self.source, header))
        base, *profiles = parts
        views = [{**base, **profile} for profile in profiles or [{}]]
        further: dict[bytes, Node] = {
            b"@%d" % number: Sections(number, view) for number, view in enumerate(views[1:], 1)
        }
        return Sections(0, {**views[0], **further})

    @property
    def name(self) -> str:
        """`pe`."""
        return "pe"

    @cached_property
    def root(self) -> Node:
        """The sections of the main profile, and directories for the further ones."""
        return self._root

    @cached_property
    def structures(self) -> Structures:
        """The headers."""
        return _Headers(self._header_offset, self._table, self._count)
