"""From a guest to what it boots: the volumes in order, their configurations, the choice.

Every place that was tried and left stays in the record, with the reason, so that a failure explains
itself and a success can be explained.
"""

from __future__ import annotations

from pybootcfg import choose, dialects
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import (
    BootcfgError,
    GuestFileMissing,
    ImageError,
    LimitExceeded,
    UnsupportedFeature,
    printable,
)
from pybootcfg.filesystems import is_unified
from pybootcfg.guest import Configuration, Guest, GuestVolume
from pybootcfg.kind import Kind
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Module
from pybootcfg.values import NamedTuple, Protocol

SOLARIS = "/platform/i86xpv/kernel/unix"
SOLARIS_64 = "/platform/i86xpv/kernel/amd64/unix"
NETWARE = "/nwserver/xnloader.sys"
FREEBSD = "/boot/kernel/kernel"
ZFS_BOOTFS = "zfs-bootfs="


class Request(NamedTuple):
    """What the caller fixes beforehand: guest paths of kernel and ramdisk, further arguments, an entry."""

    kernel: str = ""
    ramdisk: str = ""
    args: str = ""
    entry: str | None = None
    settings: Settings = Settings()


class Attempt(NamedTuple):
    """A place that was looked at and left: a volume (and perhaps a file on it), and why.

    `status` is the exit status of `pybootcfg` for this reason alone.
    """

    volume: GuestVolume
    why: str
    status: int = 1

    @classmethod
    def of(cls, volume: GuestVolume, error: BootcfgError | OSError, path: str = "") -> Attempt:
        """Return the attempt that ended in an error, over the file `path` if that is given."""
        status = error.exit_status if isinstance(error, BootcfgError) else 1
        return cls(volume, f"{path}: {error}" if path else str(error), status)


class Boot(NamedTuple):
    """What boots: kernel and initial ramdisks in the guest, and the kernel's command line."""

    kernel: FileRef
    initrds: tuple[FileRef, ...]
    args: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class NothingBootableError(BootcfgError):
    """No volume of the guest holds something that boots; `attempts` says why for each."""

    def __init__(self, message: str, attempts: list[Attempt]) -> None:
        super().__init__(message)
        self.attempts = attempts
        # Of several reasons the gravest tells; what is on no file system (swap, say) tells only by itself.
        self.exit_status = max((attempt.status for attempt in _telling(attempts)), default=1)


class Abandoned(BootcfgError):
    """Whoever was asked wants nothing to be booted, so that no other place is tried either."""


class Choose(Protocol):
    """Makes a menu into what boots, by itself or by asking somebody."""

    def __call__(self, guest: Guest, menu: Menu, request: Request, /) -> Boot:
        """Return what boots; raises BootcfgError, and Abandoned when nothing is to."""


def find_boot(guest: Guest, request: Request, choose_from: Choose | None = None) -> Boot:
    """Return what the guest boots, or raise NothingBootableError with every place that was tried.

    `choose_from` takes the place of `boot_menu`.
    """
    attempts: list[Attempt] = []
    unread: list[str] = []  # what may have been meant to boot instead
    for listed in guest.tried():
        volume = _with_dataset(listed, request)
        try:
            boot = _boot_volume(guest, volume, request, choose_from, attempts)
        except Abandoned:
            raise
        except (BootcfgError, OSError) as error:
            attempts.append(Attempt.of(volume, error))
            if isinstance(error, ImageError | OSError):
                unread.append(f"{volume.name} was passed over: {error}")
            continue
        if boot:
            return boot._replace(warnings=(*unread, *boot.warnings))
    raise NothingBootableError(_summary(guest, attempts), attempts)


def _with_dataset(volume: GuestVolume, request: Request) -> GuestVolume:
    """Return a ZFS volume seen from the dataset that `zfs-bootfs=` in the arguments names, if it does."""
    wanted = [word for word in request.args.replace(",", " ").split() if word.startswith(ZFS_BOOTFS)]
    if not wanted or volume.mountable is None or volume.mountable.family != "zfs":
        return volume
    return volume.subvolume(wanted[0].removeprefix(ZFS_BOOTFS))


def find_menu(guest: Guest, settings: Settings) -> Menu:
    """Return the first menu with entries, as `find_boot` would meet it; else raise NothingBootableError."""
    attempts: list[Attempt] = []
    for volume in guest.tried():
        try:
            for configuration in _configurations(guest, volume):
                menu = _menu(guest, configuration, settings, attempts)
                if menu:
                    return menu
        except (BootcfgError, OSError) as error:
            attempts.append(Attempt.of(volume, error))
    raise NothingBootableError(_summary(guest, attempts), attempts)


def _menu(
    guest: Guest, configuration: Configuration, settings: Settings, attempts: list[Attempt]
) -> Menu | None:
    """Return the menu of one configuration if it has entries; else add why not to `attempts`."""
    volume, path = guest.volume(configuration.file.volume), printable(configuration.file.path)
    try:
        menu = guest.interpret(configuration, settings)
    except BootcfgError as error:
        attempts.append(Attempt.of(volume, error, path))
        return None
    if not menu.items:
        why = f"{path}: no entries"
        attempts.append(Attempt(volume, f"{why}; {menu.warnings[0]}" if menu.warnings else why))
        return None
    return menu


def find_configuration(guest: Guest) -> Configuration | None:
    """Return the first configuration of the guest, without running it."""
    for volume in guest.tried():
        if volume.mountable:
            for configuration in guest.configurations(volume):
                return configuration
    return None


def _telling(attempts: list[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.volume.mountable] or attempts


def _summary(guest: Guest, attempts: list[Attempt]) -> str:
    image = guest.disks[0].source.name
    text = f"no bootable entry found on {printable(image)}"
    telling = _telling(attempts)
    if len(telling) == 1:
        text += f": {telling[0].volume.name}: {telling[0].why}"
    return text


def _configurations(guest: Guest, volume: GuestVolume) -> list[Configuration]:
    for _ in volume.root.entries():  # raises why it cannot be read
        break
    found = list(guest.configurations(volume))
    if not found and guest.kind(FileRef(FREEBSD, volume.name)) is Kind.FILE:
        # loader.conf is no menu, and what a FreeBSD kernel needs of it is passed in a way that Xen has not.
        raise UnsupportedFeature(
            "FreeBSD loader",
            f"{FREEBSD} is there, but FreeBSD's loader is not acted out",
            hint=f"--kernel={FREEBSD} names the kernel, --args=vfs.root.mountfrom=... its root",
        )
    if not found:
        paths = (path for dialect in dialects.DIALECTS for path in dialect.paths)
        looked_for = ", ".join(dict.fromkeys(path.rstrip("/").rpartition("/")[2] for path in paths))
        why = f"no boot configuration (looked for {looked_for})"
        raise GuestFileMissing(volume.name, why, hint=printable(guest.damaged.get(volume.name, "")))
    return found


def _boot_volume(
    guest: Guest, volume: GuestVolume, request: Request, choose_from: Choose | None, attempts: list[Attempt]
) -> Boot | None:
    """Return what one volume boots; add to `attempts` what was tried on it."""
    if request.kernel:
        return _given(guest, volume, request)
    sniffed = _solaris(guest, volume, request) or _netware(guest, volume, request)
    if sniffed:
        return sniffed
    for configuration in _configurations(guest, volume):
        try:
            boot = _default(guest, configuration, request) if choose_from is None else None
            if boot is None:
                menu = guest.interpret(configuration, request.settings)
                boot = (choose_from or boot_menu)(guest, menu, request)
            return boot
        except Abandoned:
            raise
        except BootcfgError as error:
            attempts.append(Attempt.of(volume, error, printable(configuration.file.path)))
    return None


def _default(guest: Guest, configuration: Configuration, request: Request) -> Boot | None:
    """Return what the default entry of a configuration boots, without a look at what the others do.

    None when another one is asked for, or takes its place: then every entry has to be known.
    """
    if request.entry is not None or configuration.dialect not in dialects.LAZY:
        return None
    menu = guest.interpret(configuration, request.settings._replace(default_only=True))
    try:
        return boot_menu(guest, menu, request)
    except LimitExceeded:
        raise  # all the more so for every entry
    except BootcfgError:
        return None


def _given(guest: Guest, volume: GuestVolume, request: Request) -> Boot:
    """Boot the files that the caller named; a leading slash may be missing."""
    kernel = FileRef("/" + request.kernel.lstrip("/"), volume.name)
    initrds = (FileRef("/" + request.ramdisk.lstrip("/"), volume.name),) if request.ramdisk else ()
    _ = volume.filesystem
    for file in (kernel, *initrds):
        require_file(guest, file)
    return Boot(
        kernel,
        initrds,
        _with_more("", request.args),
        (f"the caller named the kernel, found on {volume.name}",),
    )


def _solaris(guest: Guest, volume: GuestVolume, request: Request) -> Boot | None:
    """Recognise a Solaris guest, whose kernel wants its own name among its arguments.

    `root=` and `ip=` come before the kernel's path, everything else after it.
    """
    for unix, archive in (
        (SOLARIS_64, "/platform/i86pc/amd64/boot_archive"),
        (SOLARIS, "/platform/i86pc/boot_archive"),
    ):
        if guest.kind(FileRef(unix, volume.name)) is not Kind.FILE:
            continue
        words = _with_boot_pool(volume, request.args).split()
        first = [word for word in words if word.startswith(("root=", "ip="))]
        rest = [word for word in words if word not in first and word != unix]
        args = " ".join([*first, unix, *rest])
        initrd = FileRef(archive, volume.name)
        require_file(guest, initrd)
        return Boot(FileRef(unix, volume.name), (initrd,), args, (f"{volume.name} holds Solaris",))
    return None


def _with_boot_pool(volume: GuestVolume, args: str) -> str:
    """Return the arguments with the `zfs-bootfs` by which a Solaris kernel finds its root on ZFS."""
    filesystem = volume.mountable
    properties = filesystem.boot_properties if filesystem else ""
    if not properties:
        return args
    words = args.split()
    named = [index for index, word in enumerate(words) if word.startswith(ZFS_BOOTFS)]
    if not named:
        return " ".join([*words, "-B", properties])
    words[named[0]] = properties
    return " ".join(words)


def _netware(guest: Guest, volume: GuestVolume, request: Request) -> Boot | None:
    """Recognise a NetWare guest by its Xen loader."""
    kernel = FileRef(NETWARE, volume.name)
    if guest.kind(kernel) is not Kind.FILE:
        return None
    return Boot(kernel, (), request.args, (f"{volume.name} holds NetWare",))


def boot_menu(guest: Guest, menu: Menu, request: Request, reasons: tuple[str, ...] = ()) -> Boot:
    """Return what a menu boots: the entry asked for, else its default, else its fallbacks in turn."""
    choice = choose.choose(menu, request.entry)
    reasons += choice.reasons
    try:
        boot = boot_entry(guest, choice.entry, request.args, reasons)
        return boot._replace(warnings=(*menu.warnings, *boot.warnings))
    except GuestFileMissing as error:
        if request.entry is not None or len(menu.defaults) < 2:
            raise
        # As the boot loader does when an entry fails: on to what the configuration names as fallbacks.
        rest = menu._replace(defaults=menu.defaults[1:])
        return boot_menu(guest, rest, request, (*reasons, f"{error}, so the fallback is tried"))


def boot_entry(guest: Guest, entry: Entry, more_args: str, reasons: tuple[str, ...]) -> Boot:
    """Return what one entry boots; raise GuestFileMissing when a file of it is not there."""
    kernel, initrds, args = entry.kernel, entry.initrds, entry.args
    if entry.kind is EntryKind.MULTIBOOT and kernel:
        images = [Module(kernel, args), *entry.modules]
        while len(images) > 1 and _is_hypervisor(images[0].file):
            # The guest runs under the host's hypervisor and brings none: its Linux comes behind it.
            hypervisor = printable(images.pop(0).file.path)
            reasons = (*reasons, f"{hypervisor} is a hypervisor: what comes behind it is what a guest boots")
        kernel, args = images[0].file, images[0].args
        initrds = tuple(module.file for module in images[1:])
    if kernel is None:
        raise GuestFileMissing(printable(entry.title), "the entry names no kernel")
    home = entry.source.file.volume
    kernel, reasons = _at_hand(guest, kernel, home, reasons)
    sections = _unified(guest, kernel, entry.profile)
    if sections:
        reasons = (*reasons, f"{printable(kernel.path)} is a unified kernel image: its sections are booted")
        kernel, own_initrds, command_line = sections
        initrds, args = (*own_initrds, *initrds), args or command_line
    found = []
    for file in initrds:
        ramdisk, reasons = _at_hand(guest, file, home, reasons)
        found.append(ramdisk)
    return Boot(kernel, tuple(found), _with_more(args, more_args), reasons, entry.warnings)


def _is_hypervisor(image: FileRef) -> bool:
    name = image.path.rpartition("/")[2]
    return "xen" in name or name.startswith("tboot")


def _at_hand(
    guest: Guest, file: FileRef, home: str, reasons: tuple[str, ...]
) -> tuple[FileRef, tuple[str, ...]]:
    """Return the file, or its namesake on the volume of the configuration when it is not where it should be.

    Disks move: a configuration often names the partition that its own was on another machine, and the
    real pygrub never looks elsewhere.
    """
    try:
        require_file(guest, file)
    except GuestFileMissing:
        namesake = FileRef(file.path, home)
        if namesake == file or guest.kind(namesake) is not Kind.FILE:
            raise
        return namesake, (*reasons, f"{printable(str(file))} is not there, but {printable(str(namesake))} is")
    return file, reasons


def _unified(guest: Guest, image: FileRef, profile: int) -> tuple[FileRef, tuple[FileRef, ...], str] | None:
    """Return kernel, initial ramdisks and command line in a unified kernel image; None for another kernel.

    UAPI Group, "Unified Kernel Image": `.ucode` comes before `.initrd`.  Raises GuestFileMissing for a
    profile without a kernel, and what stands in the way of reading the image, which as it is boots nothing.
    """
    if not is_unified(guest.node(image)):
        return None
    from pybootcfg.dialects.bls import type2

    volume = guest.loopback(image)
    folder = f"/@{profile}" if profile else ""
    kernel = FileRef(f"{folder}/.linux", volume)
    require_file(guest, kernel)
    ramdisks = (FileRef(f"{folder}/{name}", volume) for name in (".ucode", ".initrd"))
    found = tuple(file for file in ramdisks if guest.kind(file) is not None)
    return kernel, found, type2.command_line(guest, volume, folder)


def require_file(guest: Guest, file: FileRef) -> None:
    """Raise GuestFileMissing unless `file` is there, is a file, and is not empty where that matters."""
    node = guest.node(file)
    if node.kind is not Kind.FILE:
        raise ImageError(f"{printable(str(file))} is a {node.kind}, not a file")


def _with_more(args: str, more: str) -> str:
    # The blank is there even when the entry has no arguments of its own: so does the real pygrub.
    return f"{args} {more}" if more else args
