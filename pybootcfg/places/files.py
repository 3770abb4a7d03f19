"""A file of the guest as a tree of fields: what makes it, where it lies, and what is in it."""

from __future__ import annotations

from datetime import UTC, datetime

from pybootcfg import dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node
from pybootcfg.guest import Configuration, Guest
from pybootcfg.kind import Kind
from pybootcfg.loopback import NodeSource
from pybootcfg.menu import Entry, FileRef, Menu, Module, Submenu
from pybootcfg.places import placed
from pybootcfg.places.addresses import FileMap, disk_offset
from pybootcfg.places.kernel import contents
from pybootcfg.places.syntax import syntax_tree
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def fact(name: str, value: Any, kind: str = "fact", symbol: str | None = None) -> Field:
    """Return a field for what is known but does not lie in one place."""
    return Field(name, kind, 0, value=value, symbol=symbol)


def of_node(guest: Guest, filesystem: Filesystem, file: FileRef, node: Node) -> Field:
    """Return a file as a tree: facts, the structures that make it, its runs, its contents' headers.

    What cannot be read becomes the error of the part it is in.
    """
    root = Field(str(file), str(node.kind), 0)
    root.children += _facts(node)
    for name, part in (("structures", _structures), ("runs", _runs)):
        below = Field(name, "list", 0)
        try:
            part(filesystem, node, below)
        except BootcfgError as error:
            below.error = str(error)
        if below.children or below.error:
            below.offset = below.children[0].offset if below.children else 0
            root.children.append(below)
    if node.kind is Kind.FILE:
        root.children += _contents(guest, file, node)
    extents = [run for part in root.children if part.name == "runs" for run in part.children if run.size]
    root.offset = extents[0].offset if extents else 0
    return root


def _facts(node: Node) -> list[Field]:
    facts = []
    try:
        facts.append(fact("size", node.size))
        if node.mode is not None:
            facts.append(fact("mode", node.mode, symbol=f"{node.mode:04o}"))
        if node.mtime is not None:
            facts.append(fact("mtime", node.mtime, symbol=utc(node.mtime)))
        if node.kind is Kind.SYMLINK:
            facts.append(fact("target", node.target(), symbol=printable(node.target())))
    except BootcfgError as error:
        facts.append(Field("fact", "fact", 0, error=str(error)))
    return facts


def utc(seconds: int) -> str:
    """Return a time as ISO 8601 writes it in UTC; what no calendar has, as the number that it is."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _structures(filesystem: Filesystem, node: Node, below: Field) -> None:
    for number, structure in enumerate(filesystem.structures.of_node(node)):
        if number == limits.INSPECT_RUNS.value:
            below.error = f"there are more than {number} structures"
            return
        below.children.append(placed(filesystem, structure).trace())


def _runs(_filesystem: Filesystem, node: Node, below: Field) -> None:
    if node.kind is not Kind.FILE:
        return
    position = 0
    for number, run in enumerate(node.runs()):
        if number == limits.INSPECT_RUNS.value:
            below.error = f"there are more than {number} runs"
            return
        child = Field(f"[{number}]", "inline", 0)
        if isinstance(run, Extent):
            place = disk_offset(run.source, run.offset)
            child = Field(f"[{number}]", "extent", place or 0, run.length, decoded=place is None)
        elif isinstance(run, Hole):
            child.type = "hole"
        child.symbol = f"{child.type} of {run.length} bytes, from byte {position} of the file"
        child.value = position
        below.children.append(child)
        position += run.length


def _contents(guest: Guest, file: FileRef, node: Node) -> list[Field]:
    found: list[Field] = []
    try:
        source = NodeSource(node, str(file))
        places = FileMap(node, limits.INSPECT_RUNS.value)
    except BootcfgError as error:
        return [Field("contents", "file", 0, error=str(error))]
    found += contents(source)
    if is_configuration(file.path):
        found += of_configuration(guest, file)
    for field in found:
        place_in_file(field, places)
    return found


def place_in_file(field: Field, places: FileMap) -> None:
    """Turn offsets in a file into offsets on the disk; the field is `decoded` where it lies nowhere."""
    if field.size:
        place = places.disk_offset(field.offset)
        if place is None:
            field.decoded = True
        else:
            field.offset = place
    for child in field.children:
        place_in_file(child, places)
    if not field.size and field.children:
        field.offset = field.children[0].offset


def is_configuration(path: str) -> bool:
    """Whether a file of this name usually is a boot loader's configuration."""
    name = path.rpartition("/")[2]
    known = {pattern.rpartition("/")[2] for dialect in dialects.DIALECTS for pattern in dialect.paths}
    return name in known - {"", "default"} or (name.endswith(".conf") and "/entries/" in path)


def of_configuration(guest: Guest, file: FileRef, dialect: str = "") -> list[Field]:
    """Return the syntax tree of a configuration and the menu that it makes; offsets count in the file."""
    dialect = dialect or dialects.guess(file.path)
    try:
        data = guest.read(file)
    except BootcfgError as error:
        return [Field("syntax", dialect, 0, error=str(error))]
    tree = syntax_tree(data, dialect, str(file))
    try:
        menu = guest.interpret(Configuration(dialect, file), Settings())
    except BootcfgError as error:
        return [tree, Field("menu", dialect, 0, error=str(error))]
    return [tree, of_menu(menu, file, data)]


def of_menu(menu: Menu, file: FileRef, data: bytes) -> Field:
    """Return a menu as a tree whose entries lie where they stand in the file."""
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def item(one: Entry | Submenu, number: int) -> Field:
        kind = "entry" if isinstance(one, Entry) else "submenu"
        field = Field(f"[{number}]", kind, 0, symbol=one.title)
        line = one.source.line
        if one.source.file == file and 0 < line < len(starts):
            field.offset, field.size = starts[line - 1], starts[line] - starts[line - 1]
            field.raw = data[field.offset : field.offset + field.size]
        for key, value in one._asdict().items():
            if key == "items":
                field.children += [item(inner, index) for index, inner in enumerate(value)]
            elif key == "source":
                field.children.append(fact("line", line, "line"))
            elif value not in ("", (), None, False, 0) and key != "title":
                field.children.append(fact(key, _words(value)))
        return field

    root = Field("menu", menu.dialect, 0)
    if menu.defaults:
        root.children.append(fact("defaults", _words(menu.defaults)))
    if menu.timeout is not None:
        root.children.append(fact("timeout", f"{menu.timeout:g} s"))
    root.children += [fact("warning", warning) for warning in menu.warnings]
    root.children += [item(one, index) for index, one in enumerate(menu.items)]
    return root


def _words(value: Any) -> str:
    if isinstance(value, Module):
        return f"{value.file} {value.args}".rstrip()
    if isinstance(value, FileRef) or not isinstance(value, tuple):
        return str(value)
    return ", ".join(_words(part) for part in value)
