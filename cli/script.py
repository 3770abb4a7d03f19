"""`pybootcfg script`: run a GRUB 2 script, or judge its syntax."""

from __future__ import annotations

import sys

from pybootcfg import limits
from pybootcfg.cli.commands import open_guest, report, settings_of
from pybootcfg.dialects import grub2
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import ConfigError, UsageError
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest
from pybootcfg.results import dump_json
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def script(options: argparse.Namespace) -> int:
    """Run the script on an image, a tree, or a guest without any disk; return the script's status."""
    if options.image and options.tree:
        raise UsageError("an image or --tree, not both")
    text = _read(options.file)
    if options.check:
        return _check(options, text)
    if options.image:
        guest = open_guest(options)
    elif options.tree:
        guest = Guest.of_directory(options.tree, "")
    else:
        guest = Guest([], Options())
    settings = Settings(settings_of(options))
    if not options.json:
        return grub2.run_script(guest, text, settings, _output, _error, name=options.file)
    output: list[str] = []
    errors: list[str] = []
    status = grub2.run_script(guest, text, settings, output.append, errors.append, name=options.file)
    document = {"schema": 1, "status": status, "output": "".join(output), "errors": "".join(errors)}
    sys.stdout.write(dump_json(document).decode())
    return status


def _check(options: argparse.Namespace, text: bytes) -> int:
    errors = grub2.check(text, options.file)
    if options.json:
        rows = [
            {"file": error.file, "line": error.line, "column": error.column, "message": error.message}
            for error in errors
        ]
        sys.stdout.write(dump_json({"schema": 1, "errors": rows}).decode())
    else:
        for error in errors:
            report(error)
    return ConfigError.exit_status if errors else 0


def _read(file: str) -> bytes:
    if file == "-":
        text = sys.stdin.buffer.read(limits.CONFIG_SIZE.value + 1)
    else:
        with open(file, "rb") as stream:
            text = stream.read(limits.CONFIG_SIZE.value + 1)
    limits.CONFIG_SIZE.check(len(text), file)
    return text


def _output(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def _error(text: str) -> None:
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()
