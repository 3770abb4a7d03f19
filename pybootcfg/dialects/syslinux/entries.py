"""From what a label runs to an entry of the menu."""

from __future__ import annotations

import posixpath

from pybootcfg.dialects.syslinux.commands import Run
from pybootcfg.dialects.syslinux.names import Names
from pybootcfg.dialects.syslinux.parts import Label, Warnings
from pybootcfg.menu import Entry, EntryKind, FileRef, Module
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_INITRD = "initrd="
_SEPARATOR = "---"  # between the images of mboot.c32
_MBOOT_OPTIONS = ("-solaris", "-aout")
_FSUUID = 0x40000  # SYSAPPEND: FSUUID=
_NETWORK = 0x3  # SYSAPPEND: ip= and BOOTIF=, empty unless the network is booted from


def entry(label: Label, run: Run, names: Names, warnings: Warnings) -> Entry:
    """Return the entry of a label that runs something."""
    made = _Making(label, names, warnings)
    if label.disabled or run.type in ("menu", "config"):
        return made.entry(EntryKind.OTHER)
    if run.type == "localboot" or not run.name:
        return made.entry(EntryKind.CHAINLOAD)
    if run.module == "mboot":
        return made.multiboot(run)
    if run.module == "linux":
        return made.linux(_without_options(run))
    if run.type != "linux" or posixpath.basename(run.name) == "memdisk":
        return made.chainload(run)
    return made.linux(run)


def _without_options(run: Run) -> Run:
    """Return what `linux.c32 [-OPTION]... KERNEL ARGUMENTS` boots."""
    words = list(run.args)
    while words and words[0].startswith("-"):
        del words[0]
    name, *args = words or [""]
    return Run("linux", name, tuple(args), run.initrd, run.devicetree, run.sysappend)


class _Making:
    """One entry while it is made."""

    def __init__(self, label: Label, names: Names, warnings: Warnings) -> None:
        self._label = label
        self._names = names
        self._warnings = warnings

    def entry(
        self,
        kind: EntryKind,
        kernel: FileRef | None = None,
        initrds: tuple[FileRef, ...] = (),
        args: str = "",
        modules: tuple[Module, ...] = (),
        devicetree: FileRef | None = None,
    ) -> Entry:
        label = self._label
        return Entry(
            title=label.title or label.name,
            kind=kind,
            source=label.place,
            id=label.name,
            kernel=kernel,
            initrds=initrds,
            args=args,
            modules=modules,
            devicetree=devicetree,
            hidden=label.hidden,
            restricted=label.password is not None,
            warnings=tuple(self._warnings.texts),
            users=(label.name,) if label.password else (),
        )

    def linux(self, run: Run) -> Entry:
        devicetree = self._file(run.devicetree) if run.devicetree else None
        return self._loaded(EntryKind.LINUX, run, devicetree)

    def chainload(self, run: Run) -> Entry:
        return self._loaded(EntryKind.CHAINLOAD, run, None)

    def _loaded(self, kind: EntryKind, run: Run, devicetree: FileRef | None) -> Entry:
        initrds = tuple(self._file(name) for name in _initrds(run))
        args = " ".join((*run.args, *self._sysappend(run.sysappend)))
        return self.entry(kind, self._file(run.name), initrds, args, devicetree=devicetree)

    def multiboot(self, run: Run) -> Entry:
        words = list(run.args)
        while words and words[0] in _MBOOT_OPTIONS:
            del words[0]
        images = [image for image in _split(words) if image]
        if not images:
            return self.chainload(run)
        modules = [Module(self._file(name), " ".join(args)) for name, *args in images]
        kernel, *rest = modules
        return self.entry(EntryKind.MULTIBOOT, kernel.file, args=kernel.args, modules=tuple(rest))

    def _file(self, name: str) -> FileRef:
        return self._names.file(name, self._warnings.add)

    def _sysappend(self, bits: int) -> list[str]:
        """Return what SYSAPPEND adds, as far as it can be known."""
        if bits & ~(_FSUUID | _NETWORK):
            self._warnings.add(f"SYSAPPEND {bits:#x} adds what only the machine's firmware knows")
        if not bits & _FSUUID:
            return []
        facts = self._names.machine.volumes()
        return [f"FSUUID={fact.uuid}" for fact in facts if fact.name == self._names.volume and fact.uuid]


def _initrds(run: Run) -> list[str]:
    """Return the names of the initial ramdisks: INITRD comes last, and the last `initrd=` counts."""
    given = [word.removeprefix(_INITRD) for word in run.args if word.startswith(_INITRD)]
    return [name for name in (run.initrd or (given[-1] if given else "")).split(",") if name]


def _split(words: Sequence[str]) -> list[list[str]]:
    images: list[list[str]] = [[]]
    for word in words:
        if word == _SEPARATOR:
            images.append([])
        else:
            images[-1].append(word)
    return images
