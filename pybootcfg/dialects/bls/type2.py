"""Type 2 entries: unified kernel images in EFI/Linux, each with everything in sections of its own.

- UAPI Group, "The Boot Loader Specification", section "Type #2 EFI Unified Kernel Images"
- UAPI Group, "Unified Kernel Image": https://uapi-group.org/specifications/specs/unified_kernel_image/

The kernel of such an entry is the image itself, as bootctl has it; boot.py takes kernel and initial
ramdisks out of the sections.
"""

from __future__ import annotations

from pybootcfg import grammar, limits
from pybootcfg.dialects.base import Machine
from pybootcfg.dialects.bls.candidate import Candidate, uncounted
from pybootcfg.dialects.bls.places import UNIFIED, Root, files
from pybootcfg.errors import BootcfgError, LimitExceeded, printable
from pybootcfg.grammar import Text
from pybootcfg.menu import Entry, EntryKind, FileRef, Place
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONTROLS = dict.fromkeys(range(0x20), " ")


def read(machine: Machine, root: Root, warnings: list[str]) -> Iterator[Candidate]:
    """Yield the unified kernel images of one partition, and each further profile of one."""
    if root.entries or root.only:
        return
    folder = root.file(UNIFIED)
    count = limits.BLS_ENTRIES.budget(str(folder))
    for file in files(machine, folder, ".efi", warnings):
        try:
            for candidate in _profiles(machine, file):
                count.spend()
                yield candidate
        except BootcfgError as error:
            if isinstance(error, LimitExceeded) and error.limit == limits.BLS_ENTRIES.name:
                raise
            warnings.append(f"{printable(str(file))} is passed over: {error}")


def command_line(machine: Machine, volume: str, folder: str = "") -> str:
    """Return the command line that a unified kernel image, opened as `volume`, carries for a profile.

    Raises BootcfgError.
    """
    return _as_the_stub(_section(machine, volume, folder, ".cmdline"))


def _profiles(machine: Machine, file: FileRef) -> Iterator[Candidate]:
    volume = machine.loopback(file)
    names = set(machine.names(FileRef("/", volume)))
    if ".linux" not in names or ".osrel" not in names:
        return  # an EFI program that is no unified kernel image
    yield _candidate(machine, file, volume, 0)
    profile = 1
    while f"@{profile}" in names:
        yield _candidate(machine, file, volume, profile)
        profile += 1


def _candidate(machine: Machine, file: FileRef, volume: str, profile: int) -> Candidate:
    folder = f"/@{profile}" if profile else ""
    system = _variables(_section(machine, volume, folder, ".osrel"), file)
    own = _variables(_section(machine, volume, folder, ".profile"), file)
    name = file.path.rpartition("/")[2]
    entry_id, counter = uncounted(name)
    if profile:
        entry_id += f"@{own.get('ID') or profile}"
    title = _first(system, "PRETTY_NAME", "IMAGE_ID", "NAME", "ID") or entry_id
    more = own.get("TITLE") or (own.get("ID") or f"Profile #{profile + 1}" if profile else "")
    auto = name.casefold().startswith("auto-")
    passed_over = "names that begin with auto- are its own" if auto else ""
    if not _first(system, "IMAGE_ID", "ID"):
        passed_over = "its .osrel section has no ID"
    entry = Entry(
        f"{title} ({more})" if more else title,
        EntryKind.LINUX,
        Place(file, 0),
        entry_id,
        file,
        args=command_line(machine, volume, folder),
        warnings=(f"systemd-boot passes it over: {passed_over}",) if passed_over else (),
        profile=profile,
    )
    return Candidate(
        entry,
        name,
        version=_first(system, "IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"),
        sort_key=_first(system, "IMAGE_ID", "ID"),
        counter=counter,
        profile=profile,
        passed_over=passed_over,
    )


def _first(variables: Mapping[str, str], *names: str) -> str:
    return next((variables[name] for name in names if variables.get(name)), "")


def _section(machine: Machine, volume: str, folder: str, name: str) -> str:
    """Return the text of a section, up to the padding; empty when there is none."""
    file = FileRef(f"{folder}/{name}", volume)
    if machine.kind(file) is None:
        return ""
    return machine.read(file, limits.BLS_FILE_SIZE).partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _as_the_stub(text: str) -> str:
    """Return a command line as systemd's stub passes it on: control characters are blanks."""
    return text.translate(_CONTROLS).strip(" ")


def _variables(text: str, file: FileRef) -> dict[str, str]:
    """Return the variables of a section that is written as os-release(5)."""
    variables = {}
    for variable in grammar.load("os_release").parse(Text(text, str(file))).trees("variable"):
        value = "".join(
            part.text[1:-1]
            if part.type == "SINGLE_QUOTED"
            else part.text.removeprefix("\\")
            if part.type == "ESCAPED"
            else part.text
            for part in next(variable.trees("value")).tokens()
        )
        variables[next(variable.tokens("NAME")).text] = value.strip()
    return variables
