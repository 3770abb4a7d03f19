"""The registry of boot loader dialects: where their configurations lie and who reads them.

The order is that in which a volume is searched: what the real pygrub knows in its order, with Boot
Loader Specification entries behind grub.cfg and lilo.conf at the end.  A path whose last but one
component is `*` stands for that file in every directory there.  A path that ends in a slash is a
directory, which as a whole is the configuration.
"""

from __future__ import annotations

from pybootcfg.bytecode import import_module
from pybootcfg.dialects.base import Interpret, Machine, Settings
from pybootcfg.errors import BootcfgError, ConfigError
from pybootcfg.menu import FileRef, Menu
from pybootcfg.values import NamedTuple


class Dialect(NamedTuple):
    """One row: `pybootcfg.dialects.NAME.interpret` reads any of `paths`."""

    name: str
    paths: tuple[str, ...]


DIALECTS = (
    Dialect(
        "grub2",
        (
            "/boot/grub/grub.cfg",
            "/grub/grub.cfg",
            "/boot/grub2/grub.cfg",
            "/grub2/grub.cfg",
            "/EFI/*/grub.cfg",
        ),
    ),
    Dialect(
        "bls",
        (
            "/loader/loader.conf",
            "/boot/loader/loader.conf",
            "/efi/loader/loader.conf",
            "/boot/efi/loader/loader.conf",
            "/loader/entries/",
            "/boot/loader/entries/",
            "/efi/loader/entries/",
            "/boot/efi/loader/entries/",
            "/EFI/Linux/",
            "/boot/EFI/Linux/",
            "/efi/EFI/Linux/",
            "/boot/efi/EFI/Linux/",
        ),
    ),
    Dialect(
        "syslinux",
        (
            # where the real pygrub looks
            "/boot/isolinux/isolinux.cfg",
            "/boot/extlinux/extlinux.conf",
            "/boot/extlinux.conf",
            "/extlinux/extlinux.conf",
            "/extlinux.conf",
            # where SYSLINUX and EXTLINUX look: each directory, extlinux.conf (above) before syslinux.cfg
            "/boot/syslinux/extlinux.conf",
            "/boot/syslinux/syslinux.cfg",
            "/boot/syslinux.cfg",
            "/syslinux/extlinux.conf",
            "/syslinux/syslinux.cfg",
            "/boot/extlinux/syslinux.cfg",
            "/extlinux/syslinux.cfg",
            "/syslinux.cfg",
            # where ISOLINUX looks
            "/boot/isolinux/syslinux.cfg",
            "/isolinux/isolinux.cfg",
            "/isolinux/syslinux.cfg",
            "/boot/syslinux/isolinux.cfg",
            "/syslinux/isolinux.cfg",
            "/isolinux.cfg",
            # where syslinux.efi is put
            "/EFI/BOOT/syslinux.cfg",
            "/EFI/syslinux/syslinux.cfg",
            # what PXELINUX and U-Boot ask for last
            "/boot/pxelinux.cfg/default",
            "/pxelinux.cfg/default",
            "/tftpboot/pxelinux.cfg/default",
        ),
    ),
    Dialect(
        "grub_legacy",
        (
            "/boot/grub/menu.lst",
            "/boot/grub/grub.conf",
            "/grub/menu.lst",
            "/grub/grub.conf",
        ),
    ),
    Dialect("lilo", ("/etc/lilo.conf",)),
)


#: the dialects that heed `Settings.default_only`; the menus of all others are whole in any case
LAZY = frozenset({"grub2"})


def names() -> tuple[str, ...]:
    """Return the names of all dialects."""
    return tuple(dialect.name for dialect in DIALECTS)


def guess(file: str) -> str:
    """Return the dialect that a file of this name is usually written in; grub2 when nothing tells."""
    parts = file.rstrip("/").split("/")
    for dialect in DIALECTS:
        if any(path.rstrip("/").rpartition("/")[2] == parts[-1] for path in dialect.paths):
            return dialect.name
    if parts[-1].endswith(".conf") and parts[-2:-1] == ["entries"]:
        return "bls"
    return "grub2"


def recognise(machine: Machine, config: FileRef, settings: Settings) -> Menu:
    """Return the menu of a configuration whose dialect nobody named: the first one with something to boot.

    The dialect that the file's name suggests comes first, and is the one whose error is raised when
    none makes anything of the contents.
    """
    likely = guess(config.path)
    menu = failure = None
    for name in (likely, *(name for name in names() if name != likely)):
        try:
            found = load(name)(machine, config, settings)
        except BootcfgError as error:
            failure = failure or (error if name == likely else None)
            continue
        if any(entry.kernel for _, entry in found.flat()):
            return found
        menu = menu or (found if name == likely else None)
    if menu is None:
        raise failure or ConfigError("no dialect makes anything of it", file=str(config))
    return menu


def load(name: str) -> Interpret:
    """Return the interpreter of the dialect `name`."""
    interpret: Interpret = import_module(f"pybootcfg.dialects.{name}").interpret
    return interpret
