"""Where loader.conf and entries lie: $BOOT, the ESP, and where a running guest mounts them."""

from __future__ import annotations

from pybootcfg.dialects.base import Machine, VolumeFacts
from pybootcfg.errors import BootcfgError, LimitExceeded
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER_CONF = "/loader/loader.conf"
ENTRIES = "/loader/entries"
UNIFIED = "/EFI/Linux"

# Partition types, from "The Boot Loader Specification", section "The Partitions"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
XBOOTLDR = "BC13C2FF-59E6-4262-A352-B275FD6F7172"

_ESP_MOUNTS = ("/efi", "/boot/efi")
_BOOT_MOUNT = "/boot"


class Root(NamedTuple):
    """The root of a partition with entries: a volume and, where it is mounted below another one, a directory.

    `entries` is where the entry files are when that is not the usual place; `only` is one that came
    without its directory.
    """

    volume: str
    path: str = ""
    entries: str = ""
    only: str = ""

    def file(self, path: str) -> FileRef:
        """Return a file by its path on the partition."""
        return FileRef(self.path + path, self.volume)

    @property
    def folder(self) -> FileRef:
        """The directory of the entry files."""
        return FileRef(self.entries or self.path + ENTRIES, self.volume)


def find(machine: Machine, config: FileRef) -> list[Root]:
    """Return the roots that make one menu: that of the configuration, and the one that goes with it."""
    own = _own(machine, config)
    if own.entries or own.only:
        return [own]
    facts = next((facts for facts in machine.volumes() if facts.name == own.volume), None)
    if own.path in _ESP_MOUNTS:
        others = [Root(own.volume, _BOOT_MOUNT)]
    elif own.path == _BOOT_MOUNT:
        others = [Root(own.volume, path) for path in _ESP_MOUNTS]
    elif own.path or facts is None or facts.type not in (ESP, XBOOTLDR):
        return [own]
    else:
        wanted = XBOOTLDR if facts.type == ESP else ESP
        others = [
            Root(other.name)
            for other in machine.volumes()
            if other.type == wanted and _disk(other) == _disk(facts)
        ][:1]
    roots = [own, *(other for other in others if _has_entries(machine, other))]
    is_esp = own.path in _ESP_MOUNTS or (facts is not None and not own.path and facts.type == ESP)
    return roots if is_esp else [*roots[1:], own]


def files(machine: Machine, folder: FileRef, suffix: str, warnings: list[str]) -> Iterator[FileRef]:
    """Yield the files of a directory that end in `suffix` and are not hidden, by name.

    Nothing for a directory that is not there; damage is a warning.
    """
    if machine.kind(folder) is not Kind.DIRECTORY:
        return
    try:
        names = sorted(machine.names(folder))
    except LimitExceeded:
        raise
    except BootcfgError as error:
        warnings.append(str(error))
        return
    for name in names:
        file = FileRef(f"{folder.path.rstrip('/')}/{name}", folder.volume)
        if name.casefold().endswith(suffix) and name[0] != "." and machine.kind(file) is Kind.FILE:
            yield file


def _own(machine: Machine, config: FileRef) -> Root:
    """Return the root that a configuration lies on."""
    path = config.path.rstrip("/")
    for ending in (LOADER_CONF, ENTRIES, UNIFIED):
        if path.endswith(ending):
            return Root(config.volume, path.removesuffix(ending))
    folder, _, _ = path.rpartition("/")
    if machine.kind(config) is Kind.DIRECTORY:
        return Root(config.volume, entries=path or "/")
    if machine.kind(FileRef(folder or "/", config.volume)) is not Kind.DIRECTORY:
        return Root(config.volume, only=config.path)
    if folder.endswith(ENTRIES):
        return Root(config.volume, folder.removesuffix(ENTRIES))
    return Root(config.volume, entries=folder or "/")


def _has_entries(machine: Machine, root: Root) -> bool:
    return any(machine.kind(root.file(path)) is not None for path in (LOADER_CONF, ENTRIES, UNIFIED))


def _disk(facts: VolumeFacts) -> str:
    return facts.grub.partition(",")[0]
