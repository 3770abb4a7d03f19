"""The registry of commands, and those that every configuration uses.

A command that draws, beeps or waits does nothing here.  Rarer commands live in modules of their own,
imported when first called; what loads a kernel is in loaders.py, what makes menus in menus.py.
"""

from __future__ import annotations

from pybootcfg.bytecode import import_module
from pybootcfg.dialects.grub2.conditions import Condition
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.numbers import number, whole_number
from pybootcfg.dialects.grub2.options import Option, Options
from pybootcfg.dialects.grub2.syntax import string_text

_ONE_ARGUMENT = Failure(Status.BAD_ARGUMENT, "one argument expected")

# --- variables -----------------------------------------------------------------------------------


def _set(interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        for name, value in sorted(interpreter.environment.values.items()):
            interpreter.print(f"{name}={value}\n")
        return
    name, equals, value = call.words[0].partition("=")
    if not equals:
        raise Failure(Status.BAD_ARGUMENT, "not an assignment")
    interpreter.environment.set(name, value)


def _unset(interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        raise _ONE_ARGUMENT
    interpreter.environment.unset(call.words[0])


def _export(interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        raise _ONE_ARGUMENT
    for name in call.words:
        interpreter.environment.export(name)


# --- flow ----------------------------------------------------------------------------------------


def _true(_interpreter: Interpreter, _call: Call) -> None:
    pass


def _false(_interpreter: Interpreter, _call: Call) -> int:
    return Status.TEST_FAILURE


def _test(interpreter: Interpreter, call: Call) -> int:
    words = call.words[:-1] if call.words and call.words[-1] == "]" else call.words
    condition = Condition(words, interpreter.files)
    if not condition.holds():
        return Status.TEST_FAILURE
    if condition.complaint:
        interpreter.pending = condition.complaint.message
    return 0


def _break(interpreter: Interpreter, call: Call) -> None:
    if len(call.words) > 1:
        raise _ONE_ARGUMENT
    count = whole_number(call.words[0]) if call.words else 1
    if not count:
        raise Failure(Status.BAD_ARGUMENT, "can't break 0 loops")
    interpreter.continues = call.name == "continue"
    interpreter.breaks = min(count, interpreter.loops)


def _return(interpreter: Interpreter, call: Call) -> int:
    if interpreter.expander.scope is None or len(call.words) > 1:
        raise Failure(Status.BAD_ARGUMENT, "not in function body")
    if not call.words:
        interpreter.returns = True
        return number(interpreter.environment.get("?") or "0", 10).value
    status = whole_number(call.words[0])
    interpreter.returns = True
    if status:
        raise Failure(status % 2**32, "false")
    return 0


def _shift(interpreter: Interpreter, call: Call) -> int:
    scope = interpreter.expander.scope
    if scope is None:
        return 0
    if len(call.words) > 1:
        return Status.BAD_ARGUMENT
    try:
        count = number(call.words[0], 10) if call.words else None
    except Failure as failure:
        interpreter.complain(failure.message)
        return Status.BAD_ARGUMENT
    places = count.value if count else 1
    if (count and count.rest) or places > len(scope.parameters):
        return Status.BAD_ARGUMENT
    scope.parameters = scope.parameters[places:]
    return 0


def _setparams(interpreter: Interpreter, call: Call) -> int:
    scope = interpreter.expander.scope
    if scope is None:
        return Status.INVALID_COMMAND
    scope.parameters = list(call.words)
    return 0


def _eval(interpreter: Interpreter, call: Call) -> int:
    if not call.words:
        return 0
    source = " ".join(call.words)
    status = interpreter.run_text(string_text(source, "eval"), interpreter.config, stop_at_mistake=True)
    last = source.rpartition("\n")[2].strip(" \t")
    return status if last and not last.startswith("#") else 0  # a line without a command succeeds


# --- text ----------------------------------------------------------------------------------------

_ESCAPES = {"\\": "\\", "a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _echo(interpreter: Interpreter, call: Call) -> None:
    end = "" if "n" in call.arguments else "\n"
    words = []
    for word in call.words:
        shown, stops = _interpreted(word) if "e" in call.arguments else (word, False)
        words.append(shown)
        end = "" if stops else end
    interpreter.print(" ".join(words) + end)


def _interpreted(word: str) -> tuple[str, bool]:
    """Return a word with its backslash escapes interpreted, and whether it suppresses the newline."""
    shown = []
    stops = False
    chars = iter(word)
    for char in chars:
        if char == "\\":
            escape = next(chars, "")
            stops = stops or escape == "c"
            char = _ESCAPES.get(escape, "")
        shown.append(char)
    return "".join(shown), stops


def _gettext(interpreter: Interpreter, call: Call) -> None:
    if len(call.words) != 1:
        raise Failure(Status.BAD_ARGUMENT, "one argument expected")
    interpreter.print(f"{call.words[0]}\n")


# --- what needs a machine that runs --------------------------------------------------------------


def _insmod(_interpreter: Interpreter, call: Call) -> None:
    if not call.words:
        raise _ONE_ARGUMENT


def _loadfont(interpreter: Interpreter, call: Call) -> None:
    """Load fonts: nothing is shown, but whether the file is there decides branches of mkconfig's header."""
    if not call.words:
        raise Failure(Status.BAD_ARGUMENT, "filename expected")
    for name in call.words:
        path = name
        if not name.startswith(("/", "(", "+")):
            path = f"{interpreter.environment.get('prefix') or ''}/fonts/{name}.pf2"
        if not interpreter.files.is_file(path):
            raise Failure(Status.FILE_NOT_FOUND, f"file `{path.rpartition(')')[2]}' not found")


def _sleep(interpreter: Interpreter, call: Call) -> None:
    if len(call.words) != 1:
        raise _ONE_ARGUMENT
    try:
        number(call.words[0], 10)
    except Failure as failure:
        interpreter.pending = failure.message


def _read(interpreter: Interpreter, call: Call) -> None:
    """Read a line from the keyboard, on which nobody types."""
    if call.words:
        interpreter.environment.set(call.words[0], "")


def _no_video(_interpreter: Interpreter, _call: Call) -> int:
    return Status.BAD_DEVICE


#: Commands that are about the machine or its screen: they succeed without doing anything.
_PASSED_OVER = """
    acpi at_keyboard authenticate badram boot boottime clear cpuid cryptomount cutmem distrust
    dump efitextmode exit fwsetup gptsync halt hdparm help hexdump hwmatch inb inl inw
    keymap list_trusted loadbios lsacpi lsapm lscoreboot lsefi lsefimmap lsefisystab lsfonts lsmmap
    lsmod lspci lssal macppcbless mactelbless module_verify mouse_terminal nativedisk
    net_add_addr net_add_dns net_add_route net_bootp net_bootp6 net_del_addr net_del_dns
    net_del_route net_dhcp net_get_dhcp_option net_ipv6_autoconf net_ls_addr net_ls_cards
    net_ls_dns net_ls_routes net_nslookup net_set_vlan normal_exit outb outl outw parttool
    play pxe_unload rdmsr reboot rmmod sendkey serial setpci shim_lock spkmodem
    terminal_input terminal_output terminfo time trust usb vbeinfo vbetest verify_detached
    videoinfo videotest write_byte write_dword write_word wrmsr zfskey
"""
_SLEEP = Options((Option("verbose", "v"), Option("interruptible", "i")))
_ECHO = Options((Option("", "n"), Option("", "e")), passes_unknown=True, only_first=True)

COMMANDS: dict[str, Command] = {
    "set": Command(_set, extracts=True),
    "unset": Command(_unset),
    "export": Command(_export),
    "true": Command(_true, extracts=True),
    "false": Command(_false, extracts=True),
    "test": Command(_test, extracts=True),
    "[": Command(_test, extracts=True),
    "break": Command(_break),
    "continue": Command(_break),
    "return": Command(_return),
    "shift": Command(_shift),
    "setparams": Command(_setparams),
    "eval": Command(_eval),
    "echo": Command(_echo, _ECHO),
    "gettext": Command(_gettext),
    "insmod": Command(_insmod),
    "loadfont": Command(_loadfont),
    "sleep": Command(_sleep, _SLEEP),
    "read": Command(_read),
    "keystatus": Command(_false),
    "background_image": Command(_no_video, yields=True),
    "background_color": Command(_no_video, yields=True),
    **dict.fromkeys(_PASSED_OVER.split(), Command(_true, yields=True)),
}

_MODULES = {
    **dict.fromkeys(("password", "password_pbkdf2"), "authentication"),
    **dict.fromkeys(("source", ".", "configfile", "normal", "cat", "ls", "cmp"), "file_commands"),
    **dict.fromkeys(("extract_entries_source", "extract_entries_configfile"), "file_commands"),
    **dict.fromkeys(("load_env", "save_env", "list_env"), "file_commands"),
    **dict.fromkeys(("search", "search.fs_uuid", "search.file", "search.fs_label"), "device_commands"),
    **dict.fromkeys(("probe", "loopback"), "device_commands"),
    **dict.fromkeys(("blscfg", "bls_import"), "blscfg"),
    **dict.fromkeys(("regexp", "tr", "date", "hashsum", "smbios"), "rare_commands"),
    **dict.fromkeys(("md5sum", "sha1sum", "sha256sum", "sha512sum", "crc"), "rare_commands"),
    **dict.fromkeys(("legacy_source", "legacy_configfile"), "rare_commands"),
    **dict.fromkeys(("syslinux_source", "syslinux_configfile"), "rare_commands"),
}


def find(name: str) -> Command | None:
    """Return the command of this name, importing its module when it is a rare one."""
    command = COMMANDS.get(name)
    if command is None and name in _MODULES:
        module = import_module(f"pybootcfg.dialects.grub2.{_MODULES[name]}")
        COMMANDS.update(module.COMMANDS)
        command = COMMANDS[name]
    return command


def names() -> list[str]:
    """Return the names of all commands, sorted."""
    return sorted({*COMMANDS, *_MODULES})
