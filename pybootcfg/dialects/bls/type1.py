"""Type 1 entries: files that name a kernel, its initial ramdisks and its command line.

UAPI Group, "The Boot Loader Specification", section "Type #1 Boot Loader Specification Entries".
Read as `bootctl list` reads them; what systemd-boot would leave out is marked.
"""

from __future__ import annotations

import re

from pybootcfg import limits
from pybootcfg.dialects.base import Machine
from pybootcfg.dialects.bls import type2
from pybootcfg.dialects.bls.candidate import Candidate, Counter, uncounted
from pybootcfg.dialects.bls.loader_conf import fields
from pybootcfg.dialects.bls.places import Root, files
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.grammar import Text
from pybootcfg.kind import Kind
from pybootcfg.menu import Entry, EntryKind, FileRef, Place
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VALID_ID = re.compile(r"[A-Za-z0-9+_.-]+")
_PROGRAMS = ("linux", "efi", "uki")


class _Fields:
    """The fields of one file; of those that may stand once, the last counts."""

    def __init__(self) -> None:
        self.once: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        self.initrds: list[str] = []
        self.options: list[str] = []
        self.overlays = False


def read(machine: Machine, root: Root, architecture: str, warnings: list[str]) -> Iterator[Candidate]:
    """Yield the entries of one partition."""
    text = limits.BLS_TEXT.budget(str(root.folder))
    count = limits.BLS_ENTRIES.budget(str(root.folder))
    for file in _files(machine, root, warnings):
        name = file.path.rpartition("/")[2]
        entry_id, counter = uncounted(name)
        if not _VALID_ID.fullmatch(entry_id):
            warnings.append(f"{printable(str(file))} is passed over: its name is no valid id")
            continue
        count.spend()
        try:
            data = machine.read(file, limits.BLS_FILE_SIZE)
        except BootcfgError as error:
            warnings.append(str(error))
            continue
        text.spend(len(data))
        found = _parse(Text(data.decode("utf-8", "surrogateescape"), str(file)))
        yield _candidate(machine, root, file, entry_id, counter, found, architecture)


def _files(machine: Machine, root: Root, warnings: list[str]) -> Iterator[FileRef]:
    if root.only:
        yield FileRef(root.only, root.volume)
        return
    yield from files(machine, root.folder, ".conf", warnings)


def _parse(text: Text) -> _Fields:
    found = _Fields()
    for key, value in fields(text):
        if not value:
            continue  # bootctl warns and goes on
        if key.text == "options":
            found.options.append(value)
        elif key.text == "initrd":
            found.initrds.append(value)
        elif key.text == "devicetree-overlay":
            found.overlays = True
        else:
            found.once[key.text] = value
            found.lines[key.text] = text.line(key.offset)
    return found


def path_on(value: str) -> str:
    """Return a path as it counts, absolute and plain; empty when it leads up or names a folder.

    >>> path_on("fakefile"), path_on("//EFI//Linux/x.efi"), path_on("/a/../b")
    ('/fakefile', '/EFI/Linux/x.efi', '')
    """
    parts = [part for part in value.split("/") if part not in ("", ".")]
    return "" if ".." in parts or not value or value.endswith("/") else "/" + "/".join(parts)


def _locate(machine: Machine, root: Root, path: str) -> FileRef:
    """Return a file that an entry names.

    Where the partition is mounted below the guest's root, or is but a directory there, paths may
    count from either.
    """
    file = root.file(path)
    plain = FileRef(path, root.volume)
    return plain if root.path and machine.kind(file) is None and machine.kind(plain) is not None else file


def _candidate(
    machine: Machine,
    root: Root,
    file: FileRef,
    entry_id: str,
    counter: Counter | None,
    found: _Fields,
    architecture: str,
) -> Candidate:
    programs = {key: path for key in _PROGRAMS if (path := path_on(found.once.get(key, "")))}
    kernel = kind = None
    args = " ".join(found.options)
    passed_over = _passed_over(found, programs, architecture, file)
    if programs:
        key = next(iter(programs))
        program = _locate(machine, root, programs[key])
        there = machine.kind(program) is Kind.FILE
        if not (there or root.only or passed_over):
            passed_over = f"{printable(program.path)} is not there"
        unified = _command_line_of_image(machine, program) if there and key != "linux" else None
        kind = EntryKind.CHAINLOAD if key == "efi" and unified is None else EntryKind.LINUX
        kernel = program if kind is EntryKind.LINUX else None
        args = args or unified or ""
    devicetree = path_on(found.once.get("devicetree", ""))
    warnings = [f"systemd-boot passes it over: {passed_over}"] if passed_over else []
    if found.overlays:
        warnings.append("device tree overlays are not applied")
    if any(len(value) > 1 and value[0] == value[-1] == '"' for value in found.options):
        warnings.append("systemd-boot itself takes the quotes off that enclose the options")
    if "$" in args:
        warnings.append("variables of GRUB in the options are not replaced")
    entry = Entry(
        found.once.get("title") or entry_id,
        kind or EntryKind.OTHER,
        Place(file, next((found.lines[key] for key in (*programs, "title") if key in found.lines), 1)),
        entry_id,
        kernel,
        tuple(_locate(machine, root, path) for value in found.initrds if (path := path_on(value))),
        args,
        devicetree=_locate(machine, root, devicetree) if devicetree else None,
        warnings=tuple(warnings),
    )
    return Candidate(
        entry,
        file.path.rpartition("/")[2],
        version=found.once.get("version", ""),
        machine_id=found.once.get("machine-id", ""),
        sort_key=found.once.get("sort-key", ""),
        counter=counter,
        passed_over=passed_over,
    )


def _command_line_of_image(machine: Machine, program: FileRef) -> str | None:
    """Return the command line of a unified kernel image; None when the program is none, or damaged."""
    try:
        volume = machine.loopback(program)
        if machine.kind(FileRef("/.linux", volume)) is not None:
            return type2.command_line(machine, volume)
    except BootcfgError:
        pass
    return None


def _passed_over(found: _Fields, programs: dict[str, str], architecture: str, file: FileRef) -> str:
    """Return why systemd-boot leaves an entry out, as far as the entry itself tells."""
    wanted = found.once.get("architecture", architecture)
    if file.path.rpartition("/")[2].casefold().startswith("auto-"):
        return "names that begin with auto- are its own"
    if wanted.casefold() != architecture.casefold():
        return f"it is for {printable(wanted)}"
    if len(programs) > 1:
        return f"it has {' and '.join(programs)}"
    return "" if programs else "it has no kernel"
