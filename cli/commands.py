"""pybootcfg: look at what a guest would boot, and at everything on its disk that leads there."""

from __future__ import annotations

import argparse
import signal
import sys

from pybootcfg import __version__, limits
from pybootcfg.boot import NothingBootableError
from pybootcfg.cli import totals
from pybootcfg.errors import BootcfgError, ConfigError, GuestFileMissing, UsageError, printable
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = """\
examples:
  pybootcfg entries disk.img                       the boot menu, the default marked
  pybootcfg entries --config grub.cfg --json       the same for a loose configuration
  pybootcfg volumes disk.img                       partitions and their file systems
  pybootcfg ls -R disk.img p1:/boot                what lies below /boot of the first volume
  pybootcfg cat disk.img p1:/boot/grub/grub.cfg
  pybootcfg extract disk.img p1:/boot -o out
  pybootcfg inspect disk.img                       one screen: volumes, configurations, what boots and why
  pybootcfg inspect disk.img p1.superblock         a structure, field by field
  pybootcfg script --check grub.cfg
  pybootcfg scan *.img                             what each of many images would boot, as JSON lines

exit status: 0 fine; 1 nothing bootable, or not found; 2 usage; 3 unsupported; 4 damaged;
             5 a limit was hit; 130, 143 signals
"""


def main() -> int:
    """Run the command; return its exit status as CLI.md lists them."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `pybootcfg ls ... | head` ends quietly
    signal.signal(signal.SIGTERM, _terminated)
    options = _parse(sys.argv[1:])
    try:
        for text in options.limit:
            limits.allow(text)
        totals.keep(options)
        return _COMMANDS[options.command](options)
    except (BootcfgError, OSError) as error:
        if options.debug:
            raise
        return report(error)
    except MemoryError:
        if options.debug:
            raise
        return report(limits.expire(limits.TOTAL_MEMORY))
    except KeyboardInterrupt:
        return 130


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; options may stand between a command's places, which argparse alone refuses."""
    parser = _parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    command: argparse.ArgumentParser | None = commands.choices.get(arguments[0]) if arguments else None
    if command is None:
        return parser.parse_args(arguments)
    return command.parse_intermixed_args(arguments[1:], argparse.Namespace(command=arguments[0]))


def _terminated(_number: int, _frame: object) -> None:
    raise SystemExit(143)


def report(error: BootcfgError | OSError) -> int:
    """Print an error as a person wants it; return the exit status that belongs to it."""
    if isinstance(error, NothingBootableError):
        for volume, why, _ in error.attempts:
            print(f"  {volume.name}: {printable(why)}", file=sys.stderr)
    print(f"pybootcfg: {printable(str(error))}", file=sys.stderr)
    if isinstance(error, ConfigError) and error.excerpt:
        for line in error.excerpt.splitlines():
            print(f"    {printable(line)}", file=sys.stderr)
    if isinstance(error, BootcfgError):
        return error.exit_status
    return GuestFileMissing.exit_status


def open_guest(options: argparse.Namespace) -> Guest:
    """Open the guest that the command line names."""
    size = None if options.sector_size == "auto" else int(options.sector_size)
    return Guest.open(
        [options.image, *options.device],
        offset=options.offset,
        sector_size=size,
        options=Options(replay_journal=not options.no_journal),
    )


def _entries(options: argparse.Namespace) -> int:
    from pybootcfg.cli import show

    return show.entries(options)


def _volumes(options: argparse.Namespace) -> int:
    from pybootcfg.cli import show

    return show.volumes(options)


def _inspect(options: argparse.Namespace) -> int:
    from pybootcfg.cli import inspection

    return inspection.inspect(options)


def _ls(options: argparse.Namespace) -> int:
    from pybootcfg.cli import files

    return files.ls(options)


def _cat(options: argparse.Namespace) -> int:
    from pybootcfg.cli import files

    return files.cat(options)


def _extract(options: argparse.Namespace) -> int:
    from pybootcfg.cli import files

    return files.extract(options)


def _script(options: argparse.Namespace) -> int:
    from pybootcfg.cli import script

    return script.script(options)


def _scan(options: argparse.Namespace) -> int:
    from pybootcfg.cli import scan

    return scan.scan(options)


def _limits(options: argparse.Namespace) -> int:
    from pybootcfg.cli import show

    return show.limits_table(options)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "entries": _entries,
    "volumes": _volumes,
    "inspect": _inspect,
    "ls": _ls,
    "cat": _cat,
    "extract": _extract,
    "script": _script,
    "scan": _scan,
    "limits": _limits,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybootcfg",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pybootcfg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON document on stdout")
    common.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace a limit against hostile images (repeatable); pybootcfg limits lists them",
    )
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    common.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours (default: on a terminal)",
    )
    disk = argparse.ArgumentParser(add_help=False)
    disk.add_argument(
        "--device", action="append", default=[], metavar="IMAGE", help="a further disk of the same guest"
    )
    disk.add_argument("--offset", type=int, metavar="BYTES", help="treat this offset as the only volume")
    disk.add_argument("--sector-size", choices=("512", "4096", "auto"), default="auto")
    disk.add_argument("--no-journal", action="store_true", help="read what is on the disk, without replay")

    entries = commands.add_parser("entries", parents=[common, disk], help="the boot menu")
    entries.add_argument("image", nargs="?", metavar="IMAGE")
    entries.add_argument("--config", metavar="FILE", help="a loose configuration instead of an image")
    entries.add_argument("--dialect", default="", help="its dialect, where its name does not tell")
    entries.add_argument(
        "--tree", default="", metavar="DIR", help="the directory that stands for the guest's root"
    )
    _settings(entries)

    volumes = commands.add_parser("volumes", parents=[common, disk], help="partitions and file systems")
    volumes.add_argument("image", metavar="IMAGE")

    inspect = commands.add_parser("inspect", parents=[common, disk], help="parsed structures")
    inspect.add_argument("image", nargs="?", metavar="IMAGE")
    inspect.add_argument(
        "place", nargs="?", default="", metavar="PLACE", help="such as gpt.entries[2], p1.inode[12], p1:/boot"
    )
    inspect.add_argument("--structures", action="store_true", help="partition tables and superblocks")
    inspect.add_argument("--all", action="store_true", help="all structures, those of all files among them")
    inspect.add_argument(
        "--at", type=_address, metavar="OFFSET", help="what owns this byte of the disk, such as 0x100438"
    )
    inspect.add_argument("--range", metavar="START:STOP", help="the structures and gaps between two offsets")
    inspect.add_argument(
        "--diff", metavar="IMAGE", help="compare with the same of another image, or a PLACE with another one"
    )
    inspect.add_argument("--depth", type=_count, default=0, metavar="N", help="fold what is nested deeper")
    inspect.add_argument("--array", type=_count, default=0, metavar="N", help="only N elements of each array")
    inspect.add_argument("--jsonl", action="store_true", help="one node of JSON on each line")
    inspect.add_argument("--svg", metavar="FILE", help="draw it into a picture")
    inspect.add_argument("--html", metavar="FILE", help="draw it into a page")
    inspect.add_argument("--config", metavar="FILE", help="the syntax tree and the menu of a configuration")
    inspect.add_argument("--dialect", default="", help="its dialect, where its name does not tell")
    inspect.add_argument("--formats", action="store_true", help="what is supported")
    inspect.add_argument("--help-format", metavar="NAME", help="about one format, such as ext4")
    inspect.add_argument("--complete", action="store_true", help=argparse.SUPPRESS)  # for the shells

    ls = commands.add_parser("ls", parents=[common, disk], help="list a directory")
    ls.add_argument("-R", "--recursive", action="store_true", help="with all that lies below it")
    ls.add_argument("--sha256", action="store_true", help="with the digest of each file")
    ls.add_argument("image", metavar="IMAGE")
    ls.add_argument("place", nargs="?", default="", metavar="PLACE", help="such as p1:/boot")

    cat = commands.add_parser("cat", parents=[common, disk], help="a file's bytes")
    cat.add_argument("image", metavar="IMAGE")
    cat.add_argument("place", metavar="PLACE")

    extract = commands.add_parser("extract", parents=[common, disk], help="copy files or trees out")
    extract.add_argument("image", metavar="IMAGE")
    extract.add_argument("places", nargs="+", metavar="PLACE")
    extract.add_argument("-o", "--output", required=True, metavar="DIR", help="where to; made if need be")

    script = commands.add_parser("script", parents=[common, disk], help="run a GRUB 2 script")
    script.add_argument("file", metavar="FILE")
    script.add_argument("image", nargs="?", metavar="IMAGE")
    script.add_argument("--tree", default="", metavar="DIR")
    script.add_argument("--check", action="store_true", help="judge the syntax alone")
    _settings(script)

    scan = commands.add_parser("scan", parents=[common], help="many images, a line of JSON for each")
    scan.add_argument("images", nargs="+", metavar="IMAGE")
    scan.add_argument(
        "--jobs", type=_positive, default=0, metavar="N", help="how many at once (default: by the processors)"
    )
    scan.add_argument(
        "--timeout", type=_positive, default=60, metavar="SECONDS", help="for each image (default: 60)"
    )

    commands.add_parser("limits", parents=[common], help="the limits against hostile images, for --limit")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


def _address(text: str) -> int:
    number = int(text, 0)
    if number < 0:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="preset a GRUB variable (repeatable)"
    )


def settings_of(options: argparse.Namespace) -> dict[str, str]:
    """Return the presets of --set; raise UsageError for one without `=`."""
    for text in options.set:
        if "=" not in text:
            raise UsageError(f"--set {text}: NAME=VALUE wanted")
    return dict(text.split("=", 1) for text in options.set)


if __name__ == "__main__":
    sys.exit(main())
