"""Runs of pygrub in which an attacker has taken over what reads the guest, from its first line on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from guests import grub_guest
from toolstacks import is_root

USER = 54321  #: an ordinary user, who need not exist

#: runs pygrub with `attack` in place of what reads the guest; it answers with a failure that is JSON
HIJACKED = """
import ctypes, errno, json, os, resource, signal, socket, sys
from pybootcfg.cli import reader
from pybootcfg.cli.sandbox import landlock, layers, seccomp
from pybootcfg.cli import pygrub
from pybootcfg.errors import BootcfgError

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def tell(value):
    raise BootcfgError(json.dumps(value))

without = {without!r}
layers.LAYERS = tuple(layer for layer in layers.LAYERS if layer.name not in without)

{attack}

reader.read = attack
sys.exit(pygrub.main())
"""


def make_readable_tree(place: Path) -> tuple[str, Path]:
    """An interpreter and a copy of the package that any user may read, for runs as another user."""
    import construct

    import pybootcfg

    shutil.copytree(Path(pybootcfg.__file__).parent, place / "pybootcfg")
    packages = Path(construct.__file__).parent.parent
    for name in ("construct", "lark", "interegular"):
        shutil.copytree(packages / name, place / name)
    subprocess.run(["chmod", "-R", "a+rX", place], check=True)
    for folder in (place, *place.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for python in (sys.executable, "/usr/bin/python3"):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        try:
            if (
                subprocess.run(
                    [python, "-c", check], user=USER, group=USER, extra_groups=[], check=False
                ).returncode
                == 0
            ):
                return python, place
        except OSError:
            continue
    pytest.skip("no interpreter that another user may run")


def make_stage(tmp_path: Path) -> Path:
    """A folder that every user may use, with a guest, and something to attack."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    if shutil.which("mke2fs"):
        image = grub_guest(tmp_path, "menuentry A { linux /k a=1; initrd /i; }\n")
    else:
        image = tmp_path / "guest.img"
        image.write_bytes(bytes(1 << 20))
    image.chmod(0o644)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "canary").write_text("canary")
    (tmp_path / "out").mkdir()
    if is_root():
        os.chown(tmp_path / "out", USER, USER)
    return tmp_path


def hijacked(
    stage: Path,
    attack: str,
    *arguments: str,
    without: tuple[str, ...] = (),
    user: tuple[str, Path] | None = None,
    more: dict[str, str] | None = None,
    **options: object,
) -> subprocess.CompletedProcess[str]:
    """Run pygrub with an attack in place of the reader, as this user or as an ordinary one."""
    command, environment, options = prepared(stage, attack, *arguments, without=without, user=user, **options)
    environment |= more or {}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd="/", **options
    )


def prepared(
    stage: Path,
    attack: str,
    *arguments: str,
    without: tuple[str, ...] = (),
    user: tuple[str, Path] | None = None,
    **options: object,
) -> tuple[list[str], dict[str, str], dict[str, object]]:
    """What `hijacked` runs: the command, its environment, and options for subprocess."""
    code = HIJACKED.format(without=without, attack=attack)
    command = [user[0] if user else sys.executable, "-P", "-c", code]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if user:
        environment["PYTHONPATH"] = str(user[1])
        options |= {"user": USER, "group": USER, "extra_groups": []}
    elif is_root():
        options |= {"extra_groups": [USER]}  # to be given up
    command += ["-q", f"--output-directory={stage / 'out'}", *arguments, str(stage / "guest.img")]
    return command, environment, options


def told(done: subprocess.CompletedProcess[str]) -> Any:
    """Return what the attack has to say."""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("RuntimeError: {", "RuntimeError: [")), done.stderr
    return json.loads(last.removeprefix("RuntimeError: "))
