"""Commands that load something to boot.  They load nothing: they note what would be booted.

Files are not looked for; whoever boots the entry finds out.  A later kernel takes the place of an
earlier one, and of what was loaded beside it.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.errors import printable
from pybootcfg.menu import EntryKind, FileRef, Module
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEX = frozenset("0123456789abcdefABCDEF")
_MODULE_OPTIONS = ("--nounzip", "--quirk-bad-kludge", "--quirk-modules-after-kernel")


class Boot:
    """What the commands of one entry have loaded so far."""

    def __init__(self) -> None:
        self.devicetree: FileRef | None = None
        self.start(EntryKind.OTHER)

    def start(self, kind: EntryKind, kernel: FileRef | None = None, args: str = "") -> None:
        """Load a kernel, and unload what was there before."""
        self.kind = kind
        self.kernel = kernel
        self.args = args
        self.initrds: tuple[FileRef, ...] = ()
        self.modules: list[Module] = []


def command_line(words: Sequence[str], *, keeps_hexadecimal: bool = False) -> str:
    r"""Quote words for a kernel as GRUB does (`grub_create_loader_cmdline`).

    A word with blanks is put in double quotes; backslashes and quotes get a backslash.  Fedora's GRUB
    lets `\x20` and the like pass as they are.
    """
    return " ".join(_quoted(word, keeps_hexadecimal) for word in words)


def _quoted(word: str, keeps_hexadecimal: bool) -> str:
    if not any(char in word for char in "\\'\" "):
        return word
    quoted = []
    for position, char in enumerate(word):
        code = word[position + 1 : position + 4]
        passes = keeps_hexadecimal and len(code) == 3 and code[0] == "x" and _HEX.issuperset(code[1:])
        quoted.append(f"\\{char}" if char in "\\'\"" and not (char == "\\" and passes) else char)
    text = "".join(quoted)
    return f'"{text}"' if " " in word else text


def _args(interpreter: Interpreter, words: Sequence[str]) -> str:
    return command_line(words, keeps_hexadecimal=interpreter.expander.keeps_hexadecimal)


def _file(interpreter: Interpreter, name: str) -> FileRef:
    return interpreter.files.boot_file(name, interpreter.warn)


def _named(call: Call, options: Sequence[str] = ()) -> tuple[str, list[str]]:
    words = call.words
    while words and words[0] in options:
        words = words[1:]
    if not words:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    return words[0], words[1:]


def _loads(kind: EntryKind) -> Callable[[Interpreter, Call], None]:
    def load(interpreter: Interpreter, call: Call) -> None:
        name, words = _named(call, _MODULE_OPTIONS)
        interpreter.boot.start(kind, _file(interpreter, name), _args(interpreter, words))

    return load


def _linuxefi(interpreter: Interpreter, call: Call) -> None:
    interpreter.expander.keeps_hexadecimal = True
    _loads(EntryKind.LINUX)(interpreter, call)


def _initrd(interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    files = []
    for word in call.words:
        name = word
        if word.startswith("newc:"):
            name = word.removeprefix("newc:").partition(":")[2]
            interpreter.warn(f"{printable(word)}: the file is taken as it is, not put into an archive")
        files.append(_file(interpreter, name))
    interpreter.boot.initrds = tuple(files)


def _module(interpreter: Interpreter, call: Call) -> None:
    name, words = _named(call, _MODULE_OPTIONS)
    interpreter.boot.modules.append(Module(_file(interpreter, name), _args(interpreter, words)))
    limits.GRUB_ENTRIES.check(len(interpreter.boot.modules), "modules of one entry")


def _devicetree(interpreter: Interpreter, call: Call) -> None:
    if call.words:
        interpreter.boot.devicetree = _file(interpreter, call.words[0])


def _chainloader(interpreter: Interpreter, call: Call) -> None:
    _named(call, ("--force", "--bpb"))
    interpreter.boot.start(EntryKind.CHAINLOAD)


def _other(interpreter: Interpreter, call: Call) -> None:
    interpreter.boot.start(EntryKind.OTHER)
    interpreter.warn(f"{call.name} boots something that is not read here")


def _nothing(_interpreter: Interpreter, _call: Call) -> None:
    pass


def _commands(names: str, run: Callable[[Interpreter, Call], None]) -> dict[str, Command]:
    return dict.fromkeys(names.split(), Command(run, yields=True))


COMMANDS: dict[str, Command] = {
    **_commands("linux linux16 legacy_kernel", _loads(EntryKind.LINUX)),
    **_commands("linuxefi", _linuxefi),
    **_commands("initrd initrd16 initrdefi legacy_initrd legacy_initrd_nounzip", _initrd),
    **_commands("multiboot multiboot2 xen_hypervisor", _loads(EntryKind.MULTIBOOT)),
    **_commands("module module2 xen_linux xen_initrd xen_module", _module),
    **_commands("kfreebsd kopenbsd knetbsd xnu_kernel xnu_kernel64", _loads(EntryKind.OTHER)),
    **_commands("kfreebsd_module kfreebsd_module_elf kfreebsd_loadenv", _module),
    **_commands("knetbsd_module knetbsd_module_elf kopenbsd_ramdisk xnu_kext xnu_mkext xnu_ramdisk", _module),
    **_commands("devicetree fdtload", _devicetree),
    **_commands("chainloader", _chainloader),
    **_commands("ntldr freedos plan9 truecrypt appleloader pc_chain vmw_loader", _other),
    **_commands("drivemap efiload xnu_resume xnu_splash", _nothing),
}
