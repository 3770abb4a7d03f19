"""What the tests of inspect share: its documents, and what other programs say."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from pybootcfg.cli import inspection

Run = Callable[..., "CompletedProcess[str]"]
Disk = Callable[[str], Path]
Inside = Callable[..., tuple[int, str]]

SCHEMA = json.loads((Path(inspection.__file__).parent / "inspect.schema.json").read_text())


def document(done: CompletedProcess[str]) -> Any:
    """Return the JSON that a program printed; it must have ended well."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def structures(done: CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return the structures of a document by their names."""
    return {node["name"]: node for node in document(done)["structures"]}


def values(node: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a structure by their names."""
    return {child["name"]: child for child in node["children"]}


def numbers(node: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the fields of a structure; numbers of 2^53 and more as numbers, too."""
    return {
        child["name"]: int(child["value"])
        if isinstance(child["value"], str) and child["type"].startswith("u64")
        else child["value"]
        for child in node["children"]
    }


def needs(program: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def output(*command: str | Path, status: tuple[int, ...] = (0,)) -> str:
    """Return what a program prints."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # sgdisk cuts characters in two
        check=False,
        timeout=60,
        env={"TZ": "UTC", "PATH": os.environ["PATH"]},
    )
    assert done.returncode in status, done.stderr
    return done.stdout


def screen(columns: int, *arguments: str | Path, cwd: Path | None = None, **more: str) -> str:
    """Return what `pybootcfg` prints on a terminal of that many columns, without colours unless asked for."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, columns))
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8", **more}
    for name in ("COLUMNS", "FORCE_COLOR", "CLICOLOR_FORCE"):
        if name not in more:
            environment.pop(name, None)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=writer, stderr=writer, env=environment, cwd=cwd) as process:
        os.close(writer)
        pieces = []
        with contextlib.suppress(OSError):  # the terminal hangs up when the program ends
            while piece := os.read(reader, 65536):
                pieces.append(piece)
        process.wait(timeout=60)
    os.close(reader)
    return b"".join(pieces).decode().replace("\r\n", "\n")
