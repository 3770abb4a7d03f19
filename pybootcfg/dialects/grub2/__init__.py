"""GRUB 2: grub.cfg is a program, and it is run (read-only) against the guest's own volumes.

GNU GRUB Manual: https://www.gnu.org/software/grub/manual/grub/grub.html
Where the manual is silent, GNU GRUB 2.06 decides.  docs/dialects/grub2.md tells what is done how.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.base import Machine, Settings
from pybootcfg.dialects.grub2 import commands, loaders, menus
from pybootcfg.dialects.grub2.command_line import CommandLine
from pybootcfg.dialects.grub2.interpreter import Command, Interpreter
from pybootcfg.dialects.grub2.loaders import Boot
from pybootcfg.dialects.grub2.menus import Edit, Menus, MenuShown, Shown
from pybootcfg.dialects.grub2.syntax import check, file_text, string_text, units
from pybootcfg.errors import LimitExceeded
from pybootcfg.grammar import SyntaxMismatch
from pybootcfg.menu import Entry, FileRef, Item, Menu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check", "command_line", "entry_text", "evaluate_entry", "interpret", "run_script"]

commands.COMMANDS.update(loaders.COMMANDS)
commands.COMMANDS.update(menus.COMMANDS)

_FEATURES = (
    "feature_200_final",
    "feature_all_video_module",
    "feature_chainloader_bpb",
    "feature_default_font_path",
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_nativedisk_cmd",
    "feature_ntldr",
    "feature_platform_search_hint",
    "feature_timeout_style",
)
#: Words by which a configuration is told to be made for Fedora's or Red Hat's GRUB.
_FEDORA = (b"blscfg", b"linuxefi", b"### BEGIN /etc/grub.d/10_reset_boot_success ###")
_NESTING = (limits.GRUB_DEPTH.name, limits.GRUB_MENU_DEPTH.name)


def interpret(machine: Machine, config: FileRef, settings: Settings) -> Menu:
    """Run a configuration; return the menu that GRUB would show.

    Mistakes in it become warnings, as GRUB goes on after them.  Raises LimitExceeded when it takes
    more than any configuration should, and what the machine raises when it cannot be read.
    """
    interpreter = _interpreter(machine, config, settings, _discard, _discard)
    interpreter.menus.default_only = settings.default_only
    shown = _run(interpreter)
    superusers = interpreter.environment.get("superusers")
    return Menu(
        "grub2",
        config,
        shown.items,
        shown.defaults,
        shown.timeout,
        shown.hidden,
        tuple(interpreter.warnings),
        None if superusers is None else menus.user_names(superusers),
        tuple(interpreter.menus.passwords.values()),
    )


def _run(interpreter: Interpreter) -> Shown:
    config = interpreter.config
    data = interpreter.machine.read(config)
    interpreter.expander.keeps_hexadecimal = any(word in data for word in _FEDORA)
    try:
        interpreter.run_text(file_text(data, str(config)), config)
        for name in ("config_file", "config_directory"):
            interpreter.environment.unset(name)  # as no configuration is being read any more
        return interpreter.menus.show(interpreter)
    except MenuShown as instead:
        return instead.shown
    except LimitExceeded as error:
        # GRUB dies of a configuration that runs itself for ever; one that has shown nothing by then is
        # as good as empty.
        if error.limit not in _NESTING or interpreter.menus.definitions[0]:
            raise
        interpreter.warn(f"the configuration is given up: {error}")
        return Shown()


def entry_text(machine: Machine, config: FileRef, settings: Settings, entry: Entry) -> str | None:
    """Return the commands of an entry as they are written; None when it has none of its own.

    Raises what `interpret` raises.
    """
    return _edit(machine, config, settings, Edit(entry)).own_text


def evaluate_entry(machine: Machine, config: FileRef, settings: Settings, entry: Entry, text: str) -> Item:
    """Return what an entry comes to when its commands are `text`: an entry, or the menu that they lead to.

    The whole configuration is run again, so that the commands see what they would see.  Raises what
    `interpret` raises, and ConfigError for text that cannot be parsed.
    """
    for unit in units(string_text(text, entry.title)):
        if isinstance(unit, SyntaxMismatch):
            raise unit
    return _edit(machine, config, settings, Edit(entry, text)).item or entry


def _edit(machine: Machine, config: FileRef, settings: Settings, edit: Edit) -> Edit:
    interpreter = _interpreter(machine, config, settings, _discard, _discard)
    interpreter.menus.edit = edit
    _run(interpreter)
    return edit


def command_line(
    machine: Machine,
    config: FileRef,
    settings: Settings,
    output: Callable[[str], None],
    errors: Callable[[str], None],
) -> CommandLine:
    """Return GRUB's command line as it is after the configuration has run.

    `output` and `errors` are as for `run_script`.
    """

    def make(find: Callable[[str], Command | None]) -> Interpreter:
        interpreter = _interpreter(machine, config, settings, output, errors, find)
        interpreter.menus.shows = False
        interpreter.run_text(file_text(machine.read(config), str(config)), config)
        return interpreter

    return CommandLine(make)


def run_script(
    machine: Machine,
    text: bytes,
    settings: Settings,
    output: Callable[[str], None],
    errors: Callable[[str], None],
    name: str = "script",
) -> int:
    """Run a script as if sourced from GRUB's command line; return the status that it leaves.

    `output` gets what GRUB would print, `errors` its error messages, each with its newline.
    """
    facts = machine.volumes()
    config = FileRef("/boot/grub/grub.cfg", facts[0].name if facts else "")
    interpreter = _interpreter(machine, config, settings, output, errors)
    interpreter.menus.shows = False
    interpreter.run_text(file_text(text, name), config)
    return int(interpreter.environment.get("?") or "0")


def _interpreter(
    machine: Machine,
    config: FileRef,
    settings: Settings,
    output: Callable[[str], None],
    errors: Callable[[str], None],
    find: Callable[[str], Command | None] = commands.find,
) -> Interpreter:
    interpreter = Interpreter(machine, config, Menus(), Boot(), find, output, errors)
    device = next((facts.grub for facts in machine.volumes() if facts.name == config.volume), "") or "hd0"
    interpreter.files.own_device = device
    folder = config.path.rpartition("/")[0]
    environment = interpreter.environment
    preset = {
        "check_signatures": "no",
        "cmdpath": f"({device}){folder}",
        "color_highlight": "black/light-gray",
        "color_normal": "light-gray/black",
        "config_directory": f"({device}){folder}",
        "config_file": f"({device}){config.path}",
        "grub_cpu": "x86_64",
        "grub_platform": "xen",
        "lang": "",
        "locale_dir": "",
        "pager": "",
        "prefix": f"({device}){folder}",
        "root": device,
        "secondary_locale_dir": "",
        "?": "0",
    }
    for name, value in {**preset, **dict.fromkeys(_FEATURES, "y"), **settings.variables}.items():
        environment.set(name, value)
    for name in ("root", "prefix", "pager", "color_normal", "color_highlight", "grub_cpu", "grub_platform"):
        environment.export(name)
    for name in ("config_file", "config_directory", "lang", "locale_dir", "secondary_locale_dir", *_FEATURES):
        environment.export(name)
    return interpreter


def _discard(_text: str) -> None:
    pass
