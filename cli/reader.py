"""What reads the guest, in a process of its own that is locked in before the first byte is looked at.

`prepare` imports and locks in; `read` parses, chooses and copies into the descriptors it was given,
and says what came of it.
"""

from __future__ import annotations

import contextlib
import errno
import os

from pybootcfg import bytecode, extraction, limits
from pybootcfg.boot import Abandoned, Boot, NothingBootableError, Request, boot_menu, find_boot, find_menu
from pybootcfg.choose import choose
from pybootcfg.cli.record import Copied, Document, Listed, Named
from pybootcfg.cli.sandbox import kernel, layers, process
from pybootcfg.cli.sandbox.prefetch import prefetch
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.base import Hole, Options
from pybootcfg.guest import Guest
from pybootcfg.menu import FileRef, Menu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.cli.record import Record
    from pybootcfg.cli.supervision import Task
    from pybootcfg.filesystems.base import Run


class SandboxIncomplete(BootcfgError):
    """A layer of the sandbox is missing, and the caller wants them all."""


def prepare(task: Task) -> list[str]:
    """Import what may be needed and lock this process in; return the missing layers."""
    if task.settings:
        process.apply(task.settings)  # before all else, not to outlive the parent
    prefetch(everything=task.everything)
    if task.command.list_entries or task.command.isconfig:
        import json  # noqa: F401

        from pybootcfg.cli import listing  # noqa: F401
    if task.command.debug:
        import linecache  # noqa: F401
        import traceback  # noqa: F401
    if task.terminal is not None:
        _prepare_menu(task)
    if not task.settings:
        return []
    missing = layers.confine(task.settings)
    bytecode.seal(wanting=not task.everything)
    if missing and task.command.require_sandbox:
        raise SandboxIncomplete(f"the sandbox lacks {'; '.join(missing)}")
    return missing


def _prepare_menu(task: Task) -> None:
    from pybootcfg.cli import menu

    try:
        task.screen = menu.prepare()
    except menu.UnusableTerminal as error:
        task.remarks.append(f"pygrub: {error}; booting the default entry")


def read(task: Task) -> Record:
    """Do the task; raises BootcfgError and OSError."""
    command = task.command
    request = Request(command.kernel, command.ramdisk, command.args, command.entry)
    if command.isconfig:
        return Listed(_config_lines(task), task.remarks)
    guest = Guest.of_sources(
        task.images,
        offset=command.offset,
        sector_size=command.sector_size,
        options=Options(replay_journal=command.journal),
    )
    if command.list_entries:
        from pybootcfg.cli.listing import list_entries, menu_json

        menu = find_menu(guest, request.settings)
        if command.json:
            return Document(menu_json(menu), task.remarks)
        return Listed(list_entries(menu).splitlines(), task.remarks)
    boot = Person(task).find_boot(guest, request) if task.screen else find_boot(guest, request)
    limits.ARGS_LENGTH.check(len(boot.args), "the kernel's arguments")
    _explain(task, guest, boot)
    if command.not_really:
        initrd = " ".join(file.path for file in boot.initrds) or None
        return Named(boot.kernel.path, initrd, boot.args or None, task.remarks)
    return _copied(task, guest, boot)


class Person:
    """Somebody at the terminal, who chooses from the menu that would be booted from anyway.

    A menu that boots nothing by itself is shown only when no other does, for the person to mend it.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._broken: Menu | None = None

    def find_boot(self, guest: Guest, request: Request) -> Boot:
        """Return what the person chooses; raises Abandoned, and what `boot.find_boot` raises."""
        try:
            return find_boot(guest, request, self._choose_from)
        except NothingBootableError:
            if self._broken is None:
                raise
        return self._ask(guest, self._broken, request)

    def _choose_from(self, guest: Guest, choices: Menu, request: Request) -> Boot:
        try:
            boot_menu(guest, choices, request)
        except BootcfgError:
            if choices.items:
                self._broken = self._broken or choices
            raise
        return self._ask(guest, choices, request)

    def _ask(self, guest: Guest, choices: Menu, request: Request) -> Boot:
        from pybootcfg.cli import menu

        try:
            return menu.interact(guest, choices, request, self._task.screen)
        except menu.UnusableTerminal as error:
            self._task.remarks.append(f"pygrub: {error}; booting the default entry")
            return boot_menu(guest, choices, request)
        except (menu.Cancelled, menu.TerminalLost) as error:
            raise Abandoned(str(error)) from error


def _config_lines(task: Task) -> list[str]:
    """Return what --isconfig prints: the chosen entry of a loose configuration, or all with -l."""
    from pybootcfg.cli.listing import list_entries, loose_menu

    command = task.command
    source = task.images[0]
    limits.CONFIG_SIZE.check(source.size, printable(command.image))
    menu = loose_menu(source.read(0, source.size), command.image)
    if command.list_entries:
        return list_entries(menu).splitlines()
    entry = choose(menu, command.entry).entry
    lines = [f"  kernel: {printable(entry.kernel.path if entry.kernel else 'None')}"]
    if entry.initrds:
        lines.append("  initrd: " + printable(" ".join(file.path for file in entry.initrds)))
    args = f"{entry.args} {command.args}" if command.args else entry.args
    return [*lines, f"  args: {printable(args)}"]


def _explain(task: Task, guest: Guest, boot: Boot) -> None:
    mounted = [volume.mountable for volume in guest.listed if volume.mountable]
    for warning in (*boot.warnings, *(warning for filesystem in mounted for warning in filesystem.warnings)):
        task.remarks.append(f"warning: {printable(warning)}")
    if task.command.explain or task.command.not_really:
        task.remarks += [f"because {printable(reason)}" for reason in boot.reasons]
        for what, file in [("kernel", boot.kernel), *(("ramdisk", file) for file in boot.initrds)]:
            task.remarks.append(f"{what} {printable(str(file))}, {guest.node(file).size} bytes")


def _copied(task: Task, guest: Guest, boot: Boot) -> Copied:
    """Copy kernel and ramdisk out."""
    kernel = _copy_out(guest, (boot.kernel,), task.kernel)
    if not kernel:
        raise BootcfgError(f"{printable(str(boot.kernel))} is empty")
    ramdisk = _copy_out(guest, boot.initrds, task.ramdisk)
    return Copied(kernel, ramdisk or None, boot.args or None, task.remarks)


def _copy_out(guest: Guest, files: tuple[FileRef, ...], fd: int) -> int:
    """Copy files one behind the other, each but the last padded to 4 bytes, as GRUB loads initrds."""
    size = 0
    for file in files:
        size += -size % 4
        try:
            os.ftruncate(fd, size)
            os.lseek(fd, 0, os.SEEK_END)
            node = guest.node(file)
            limits.FILE_SIZE.check(node.size)
            size += extraction.copy_runs(_with_room(node.runs(), fd, size), fd, regular=True)
        except OSError as error:
            hint = "PYGRUB_MAX_FILE_SIZE_MB sets how large it may be" if error.errno == errno.EFBIG else ""
            raise BootcfgError(f"copying {printable(str(file))}: {error.strerror}", hint=hint) from error
    return size


def _with_room(runs: Iterator[Run], fd: int, offset: int) -> Iterator[Run]:
    """Have the file system find room for each long run before it is written, which then takes less time.

    Room is not asked for with posix_fallocate(3): where the file system cannot give it, the C library
    writes a byte into every block.
    """
    for run in runs:
        if run.length >= extraction.CHUNK and not isinstance(run, Hole):
            with contextlib.suppress(OSError):  # a file without it is no worse
                kernel.call("fallocate", fd, 0, offset, run.length)
        offset += run.length
        yield run
