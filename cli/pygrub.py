"""pygrub: find a guest's kernel in its disk image and tell the toolstack.

A drop-in for the pygrub of Xen: its options, output formats and exit statuses (0 and 1).  The parent
side (options, files, result) is here; what reads the guest is `_answer`, which touches only
descriptors it is given.
"""

from __future__ import annotations

import contextlib
import getopt
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Self

from pybootcfg import extraction
from pybootcfg.boot import Attempt, Boot, NothingBootableError, Request, find_boot, find_menu
from pybootcfg.cli.listing import config_menu, list_entries
from pybootcfg.errors import BootcfgError, UsageError, printable
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest
from pybootcfg.menu import FileRef
from pybootcfg.results import FORMATS, Answer, dump_json, format_answer

USAGE = """\
usage: pygrub [-q|--quiet] [-i|--interactive] [-l|--list-entries] [-n|--not-really]
              [--output=FILE] [--output-format=sxp|simple|simple0|json] [--output-directory=DIR]
              [--kernel=PATH] [--ramdisk=PATH] [--args=TEXT] [--entry=N|TITLE|ID|SUBMENU>ENTRY]
              [--offset=BYTES] [--runas=UID] [--isconfig] [--debug]
              [--device=IMAGE]... [--sector-size=512|4096|auto] [--no-journal] [--explain] [--json] IMAGE
"""

DEFAULT_DIRECTORY = "/var/run/xen/pygrub"

_SHORT = "qilnh"
_LONG = [
    "quiet",
    "interactive",
    "list-entries",
    "not-really",
    "help",
    "output=",
    "output-format=",
    "output-directory=",
    "offset=",
    "runas=",
    "entry=",
    "kernel=",
    "ramdisk=",
    "args=",
    "isconfig",
    "debug",
]
#: our own, never abbreviated, so that they make no abbreviation of the options above ambiguous
_OWN = ("--device=", "--sector-size=", "--no-journal", "--explain", "--json")


@dataclass
class Command:
    """The command line, as a value."""

    image: str = ""
    quiet: bool = False
    interactive: bool = False
    list_entries: bool = False
    not_really: bool = False
    help: bool = False
    isconfig: bool = False
    debug: bool = False
    explain: bool = False
    json: bool = False
    journal: bool = True
    output: str = "-"
    output_format: str = "sxp"
    output_directory: str = ""
    offset: int | None = None
    sector_size: int | None = None
    runas: int | None = None
    entry: str | None = None
    kernel: str = ""
    ramdisk: str = ""
    args: str = ""
    devices: tuple[str, ...] = ()


def parse(arguments: list[str]) -> Command:
    """Read the command line as GNU getopt does; raise UsageError for what makes no sense."""
    command = Command()
    rest = [argument for argument in arguments if not _own_option(command, argument)]
    try:
        options, images = getopt.gnu_getopt(rest, _SHORT, _LONG)
    except getopt.GetoptError as error:
        raise UsageError(error.msg) from None
    for name, value in options:
        _option(command, name, value)
    if not images:
        raise UsageError("no image given")
    command.image = images[0]
    if command.output_format not in FORMATS:
        raise UsageError(f"unknown output format {command.output_format}")
    if command.runas is not None and not (command.quiet or command.entry is not None):
        raise UsageError("In order to use --runas, you must also set --entry or -q")
    return command


def _own_option(command: Command, argument: str) -> bool:
    name, _, value = argument.partition("=")
    if argument == "--no-journal":
        command.journal = False
    elif argument == "--explain":
        command.explain = True
    elif argument == "--json":
        command.json = True
    elif name == "--device" and value:
        command.devices += (value,)
    elif name == "--sector-size" and value in ("512", "4096", "auto"):
        command.sector_size = None if value == "auto" else int(value)
    else:
        return False
    return True


_FLAGS = {
    "-q": "quiet",
    "-i": "interactive",
    "-l": "list_entries",
    "-n": "not_really",
    "-h": "help",
}


def _option(command: Command, name: str, value: str) -> None:
    attribute = _FLAGS.get(name) or name.removeprefix("--").replace("-", "_")
    if attribute in ("offset", "runas"):
        try:
            setattr(command, attribute, int(value))
        except ValueError:
            kind = "an integer" if attribute == "offset" else "an integer user id"
            raise UsageError(f"{attribute} value must be {kind}") from None
    else:
        setattr(command, attribute, True if isinstance(getattr(command, attribute), bool) else value)


def main() -> int:
    """Run the command; return its exit status, 0 or 1."""
    try:
        command = parse(sys.argv[1:])
    except UsageError as error:
        print(f"{error}\n{USAGE}", end="", file=sys.stderr)
        return 1
    if command.help:
        print(USAGE, end="", file=sys.stderr)
        return 0
    try:
        with _signals_unwind():
            _run(command)
    except NothingBootableError as error:
        _report_attempts(error.attempts)
        return _fail(command, error)
    except (BootcfgError, OSError) as error:
        return _fail(command, error)
    return 0


def _fail(command: Command, error: Exception) -> int:
    if command.debug:
        import traceback

        traceback.print_exc()
    # xenopsd shows its user what follows "RuntimeError: " on stderr.
    print(f"RuntimeError: {printable(str(error))}", file=sys.stderr)
    return 1


def _report_attempts(attempts: list[Attempt]) -> None:
    for volume, why in attempts:
        filesystem = volume.mountable.name if volume.mountable else "-"
        start, size = volume.volume.start, volume.volume.size
        print(f"  {volume.name}  at {start}, {size} bytes  {filesystem}  {printable(why)}", file=sys.stderr)


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Turn the signals that end a process into an exception, so that files are removed on the way out."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, unwind) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _run(command: Command) -> None:
    if command.runas:
        print("pygrub: warning: --runas is not acted on yet; privileges are kept", file=sys.stderr)
    request = Request(command.kernel, command.ramdisk, command.args, command.entry)
    if command.isconfig:
        print(list_config(command), end="")
        return
    with _output(command.output) as out:
        guest = Guest.open(
            [command.image, *command.devices],
            offset=command.offset,
            sector_size=command.sector_size,
            options=Options(replay_journal=command.journal),
        )
        if command.list_entries:
            _write(out, _listing(command, guest, request))
            return
        if not (command.quiet or command.entry is not None or command.not_really):
            print("pygrub: there is no menu yet; booting the default entry", file=sys.stderr)
        if command.not_really:
            boot = find_boot(guest, request)
            initrd = " ".join(file.path for file in boot.initrds) or None
            _explain(command, guest, boot)
            _write(
                out, format_answer(Answer(boot.kernel.path, initrd, boot.args or None), command.output_format)
            )
            return
        with Outputs(command.output_directory) as outputs:
            boot = find_boot(guest, request)
            _explain(command, guest, boot)
            answer = _answer(guest, boot, outputs)
            _write(out, format_answer(answer, command.output_format))
            outputs.keep = True


def list_config(command: Command) -> str:
    """Return what --isconfig prints: the chosen entry of a loose configuration, or all with -l."""
    from pybootcfg.choose import choose

    menu = config_menu(command.image)
    if command.list_entries:
        return list_entries(menu)
    entry = choose(menu, command.entry).entry
    lines = [f"  kernel: {printable(entry.kernel.path if entry.kernel else 'None')}"]
    if entry.initrds:
        lines.append("  initrd: " + printable(" ".join(file.path for file in entry.initrds)))
    args = f"{entry.args} {command.args}" if command.args else entry.args
    return "\n".join([*lines, f"  args: {printable(args)}", ""])


def _listing(command: Command, guest: Guest, request: Request) -> bytes:
    from pybootcfg.cli.listing import menu_json

    menu = find_menu(guest, request.settings)
    return dump_json(menu_json(menu)) if command.json else list_entries(menu).encode()


def _explain(command: Command, guest: Guest, boot: Boot) -> None:
    for warning in (*boot.warnings, *(w for v in guest.listed if v.mountable for w in v.mountable.warnings)):
        print(f"warning: {printable(warning)}", file=sys.stderr)
    if command.explain or command.not_really:
        for reason in boot.reasons:
            print(f"because {printable(reason)}", file=sys.stderr)
        for what, file in [("kernel", boot.kernel), *(("ramdisk", file) for file in boot.initrds)]:
            print(f"{what} {printable(str(file))}, {guest.node(file).size} bytes", file=sys.stderr)


class Outputs:
    """The files that the toolstack is to have: made first, removed again unless `keep` is set."""

    def __init__(self, directory: str) -> None:
        self.directory = directory or DEFAULT_DIRECTORY
        self.paths: list[str] = []
        self.keep = False
        if not directory:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        elif not os.path.isdir(directory):
            raise UsageError(f"{directory} is not an existing directory")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            for path in self.paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def create(self, prefix: str) -> tuple[str, int]:
        """Make an empty file, mode 0600, with a name nobody can foresee; return path and descriptor."""
        path = os.path.join(self.directory, f"{prefix}.{os.urandom(4).hex()}")
        self.paths.append(path)  # before it exists, so that a signal in between leaves nothing behind
        try:
            return path, os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except FileExistsError:
            self.paths.remove(path)
            raise


def _answer(guest: Guest, boot: Boot, outputs: Outputs) -> Answer:
    """Copy kernel and ramdisk out; return what to tell the toolstack."""
    kernel = _copy_out(guest, (boot.kernel,), outputs, "boot_kernel")
    if kernel is None:
        raise BootcfgError(f"{printable(str(boot.kernel))} is empty")
    ramdisk = _copy_out(guest, boot.initrds, outputs, "boot_ramdisk") if boot.initrds else None
    return Answer(kernel, ramdisk, boot.args or None)


def _copy_out(guest: Guest, files: tuple[FileRef, ...], outputs: Outputs, prefix: str) -> str | None:
    """Copy files one behind the other, each but the last padded to 4 bytes, as GRUB loads initrds.

    Returns the path, or None (and no file) when there was nothing in them.
    """
    path, fd = outputs.create(prefix)
    try:
        size = 0
        for file in files:
            padding = -size % 4
            os.ftruncate(fd, size + padding)
            os.lseek(fd, 0, os.SEEK_END)
            size += padding + extraction.copy_file(guest.node(file), fd)
    finally:
        os.close(fd)
    if size == 0:
        os.unlink(path)
        outputs.paths.remove(path)
        return None
    return path


@contextlib.contextmanager
def _output(name: str) -> Iterator[int]:
    """Yield the descriptor for the result: stdout, or a file or FIFO that is there already."""
    if name == "-":
        yield sys.stdout.fileno()
        return
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]


if __name__ == "__main__":
    sys.exit(main())
