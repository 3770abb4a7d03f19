"""The same image gives the same bytes: run after run, in any locale, time zone and order of hashing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.images import unpack_file

HERE = Path(__file__).parent

CODE = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"

#: images of tests/corpus, and one of examples/, of different kinds
IMAGES = (
    "examples/sample.img.xz",
    "tests/corpus/fat/fat16.img.xz",
    "tests/corpus/iso/xorriso-rr-joliet.iso.xz",
    "tests/corpus/zfs/datasets-v15.d0.img.xz",
    "tests/corpus/partitions/mbr-4096.img.xz",
)

COMMANDS = (
    ("entries", "--json"),
    ("volumes", "--json"),
    ("inspect", "--json"),
    ("ls", "-R", "--json", "--sha256"),
    ("scan",),
)

#: what a run may be started with; the first is what the others are compared with
ENVIRONMENTS = (
    {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0"},
    {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"},
    {"LC_ALL": "C.UTF-8", "TZ": "America/St_Johns", "PYTHONHASHSEED": "random"},
    {"LC_ALL": "tr_TR.UTF-8", "TZ": "Antarctica/Troll", "PYTHONHASHSEED": "random", "PYTHONUTF8": "0"},
    {"LC_ALL": "tr_TR.ISO-8859-9", "TZ": "", "PYTHONHASHSEED": "random", "PYTHONUTF8": "0"},
)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The images unpacked, by their names."""
    folder = tmp_path_factory.mktemp("images")
    unpacked = {}
    for name in IMAGES:
        unpacked[name] = folder / Path(name).stem
        unpack_file(HERE.parent / name, unpacked[name])
    return unpacked


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that let programs find a Turkish locale, made here where localedef and its sources are."""
    folder = tmp_path_factory.mktemp("locales")
    if not shutil.which("localedef"):
        return {}
    for charmap in ("UTF-8", "ISO-8859-9"):
        command = ["localedef", "-i", "tr_TR", "-f", charmap, folder / f"tr_TR.{charmap}"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return {}
    return {"LOCPATH": str(folder)}


def output(arguments: Sequence[str | Path], environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, *map(str, arguments)],
        env={**clean, **environment},
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("name", IMAGES, ids=lambda name: Path(name).name.split(".")[0])
def test_output_is_the_same_in_all_circumstances(
    images: dict[str, Path], locales: dict[str, str], name: str, command: tuple[str, ...]
) -> None:
    image = images[name]
    arguments = (*command, image)
    first = output(arguments, ENVIRONMENTS[0])
    assert first[1].isascii()
    for document in first[1].splitlines() if command[0] == "scan" else filter(None, [first[1]]):
        json.loads(document)
    assert first[1] or (first[0] == 1 and first[2])  # nothing to boot
    for environment in ENVIRONMENTS[1:]:
        assert output(arguments, {**locales, **environment}) == first, environment


def test_lines_about_many_images_are_the_same(images: dict[str, Path], locales: dict[str, str]) -> None:
    """They come as they are done, so that only their order is left to chance."""
    arguments = ("scan", *images.values())
    outputs = [output(arguments, {**locales, **environment}) for environment in ENVIRONMENTS]
    assert len({(status, tuple(sorted(out.splitlines()))) for status, out, _ in outputs}) == 1
