"""`zfs-bootfs`: in --args it picks a dataset, and a Solaris kernel is told of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest

from faults.images import unpack_file
from pybootcfg import boot

Run = Callable[..., "CompletedProcess[str]"]
CORPUS = Path(__file__).parent / "corpus" / "zfs"


@pytest.mark.parametrize(
    ("args", "properties", "wanted"),
    [
        ("-k", "zfs-bootfs=rpool/57", "-k -B zfs-bootfs=rpool/57"),
        ("", 'zfs-bootfs=rpool/57,bootpath="/pci@0,0"', '-B zfs-bootfs=rpool/57,bootpath="/pci@0,0"'),
        ("-B zfs-bootfs=rpool/ROOT/x -v", "zfs-bootfs=rpool/57", "-B zfs-bootfs=rpool/57 -v"),
        ("-k", "", "-k"),
    ],
)
def test_what_a_solaris_kernel_is_told(args: str, properties: str, wanted: str) -> None:
    volume: Any = SimpleNamespace(mountable=SimpleNamespace(boot_properties=properties))
    assert boot._with_boot_pool(volume, args) == wanted


def test_a_dataset_is_picked_by_the_arguments(pygrub: Run, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    unpack_file(CORPUS / "datasets-v15.d0.img.xz", image)
    arguments = ["-n", "-q", "--kernel=/boot/vmlinuz", "--output-format=simple", image]
    for dataset, status in (("rpool/ROOT/be", 0), ("rpool/ROOT", 1), ("rpool/none", 1)):
        done = pygrub(f"--args=zfs-bootfs={dataset}", *arguments)
        assert done.returncode == status, done.stderr
        assert done.stdout == ("" if status else f"kernel /boot/vmlinuz\nargs  zfs-bootfs={dataset}\n\n")
