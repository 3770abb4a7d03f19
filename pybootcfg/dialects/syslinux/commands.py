"""What a label runs: the type of its file, the words it is given, and the modules that run others.

syslinux.cfg(5), "KERNEL-LIKE DIRECTIVES"; doc/mboot.txt; the usage notes of the modules linux.c32,
ifcpu.c32, ifcpu64.c32 and whichsys.c32 of SYSLINUX 6.04.
"""

from __future__ import annotations

import posixpath

from pybootcfg import limits
from pybootcfg.dialects.syslinux.names import Derivative, Names
from pybootcfg.dialects.syslinux.parts import Label, Warnings
from pybootcfg.dialects.syslinux.reader import Reader
from pybootcfg.errors import printable
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MENU_MODULES = frozenset(["menu", "vesamenu"])
_OTHER_MENUS = ("gfxboot",)

#: Types by the end of a KERNEL's name, and which of the boot loaders goes by it; all others are Linux.
_EXTENSIONS: tuple[tuple[str, str, tuple[Derivative, ...]], ...] = (
    (".c32", "com32", tuple(Derivative)),
    (".com", "comboot", tuple(Derivative)),
    (".cbt", "comboot", tuple(Derivative)),
    (".bss", "bss", (Derivative.SYSLINUX,)),
    (".bs", "boot", (Derivative.SYSLINUX,)),
    (".bin", "boot", (Derivative.ISOLINUX,)),
    (".img", "fdimage", (Derivative.ISOLINUX,)),
    (".0", "pxe", (Derivative.PXELINUX,)),
)


class Run(NamedTuple):
    """A command line as it is run.  `type` is never `kernel`; `args` are the words after the file's name."""

    type: str
    name: str = ""
    args: tuple[str, ...] = ()
    initrd: str = ""
    devicetree: str = ""
    sysappend: int = 0

    @property
    def module(self) -> str:
        """The name of a COM32 module without directory and extension; empty for other types."""
        if self.type != "com32":
            return ""
        return posixpath.basename(self.name.lower().replace("\\", "/")).removesuffix(".c32")


def _type(name: str, derivative: Derivative) -> str:
    for extension, type_, derivatives in _EXTENSIONS:
        if name.lower().endswith(extension) and derivative in derivatives:
            return type_
    return "linux"


def shows_menu(words: Sequence[str]) -> bool:
    """Tell whether a command line that is no label starts a menu."""
    if not words:
        return False
    run = Run("com32", words[0])
    return run.module in MENU_MODULES or run.module.startswith(_OTHER_MENUS)


class Commands:
    """Runs the labels of one configuration as far as it can be told what they would do."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names = reader.names

    @property
    def names(self) -> Names:
        """What file names mean to these commands."""
        return self._names

    def of(self, label: Label) -> Run:
        """Return what a label runs itself."""
        type_, words = label.command
        name, *args = words or ("",)
        return Run(
            _type(name, self._names.derivative) if type_ == "kernel" else type_,
            name,
            (*args, *(label.append or ())),
            label.initrd,
            label.devicetree,
            label.sysappend,
        )

    def typed(self, words: Sequence[str]) -> Run | None:
        """Return what a command line that is typed in runs: a label, or a file if that is allowed."""
        label = self._reader.find(" ".join(words))
        if label is not None:
            run = self.of(label)
            more = () if label.name == " ".join(words) else tuple(words[1:])
            return run._replace(args=(*run.args, *more))
        if not words or not self._reader.implicit:
            return None
        return Run(_type(words[0], self._names.derivative), words[0], tuple(words[1:]))

    def exists(self, words: Sequence[str], warnings: Warnings) -> bool:
        """Tell whether a command line that is no label names a file of the guest."""
        file = self._names.file(words[0], warnings.add) if words else None
        return file is not None and self._names.machine.kind(file) is Kind.FILE

    def follow(self, run: Run, warnings: Warnings) -> Run:
        """Return what is run in the end, where a module does no more than run another command."""
        for _ in range(limits.SYSLINUX_COMMANDS.value):
            switch = _SWITCHES.get(run.module)
            if switch is None:
                return run
            words = switch(run.args, self._names.derivative)
            target = self.typed(words)
            if target is None:
                warnings.add(f"{printable(run.name)} runs nothing that is known")
                return run
            run = target
        warnings.add(f"{printable(run.name)} leads to itself")
        return run


def _first(args: tuple[str, ...], _derivative: Derivative) -> tuple[str, ...]:
    """`ifcpu64.c32 COMMAND [-- COMMAND] -- COMMAND`: the first is for 64-bit processors."""
    return args[: args.index("--")] if "--" in args else args


def _second(args: tuple[str, ...], derivative: Derivative) -> tuple[str, ...]:
    """`ifcpu.c32 FEATURE... -- COMMAND -- COMMAND`: the first is for processors that have the features."""
    return _first(args[args.index("--") + 1 :], derivative) if "--" in args else ()


def _by_derivative(args: tuple[str, ...], derivative: Derivative) -> tuple[str, ...]:
    """`whichsys.c32 -iso- COMMAND -pxe- COMMAND -sys- COMMAND`: by the boot loader that runs."""
    options = [f"-{each}-" for each in Derivative]
    if f"-{derivative}-" not in args:
        return ()
    rest = args[args.index(f"-{derivative}-") + 1 :]
    return rest[: next((number for number, word in enumerate(rest) if word in options), len(rest))]


_SWITCHES: dict[str, Callable[[tuple[str, ...], Derivative], tuple[str, ...]]] = {
    "ifcpu64": _first,
    "ifcpu": _second,
    "whichsys": _by_derivative,
}
