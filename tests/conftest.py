"""Fixtures that several tests share."""

from __future__ import annotations

import functools
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.amber import AmberSnapshotExtension

import pybootcfg as package
from pybootcfg import limits

sys.path.append(str(Path(__file__).parent.parent))  # last: pybootcfg is what is installed

from faults.images import unpack_file

# Every process that a test starts imports the installed package, not the folder of its name in the checkout.
os.environ["PYTHONSAFEPATH"] = "1"

#: for Python programs that look for modules beside themselves, such as the real pygrub
PLAIN_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}

HERE = Path(__file__).parent
ROOT = HERE.parent


class Corpus:
    """The folder of images that PYBOOTCFG_CORPUS names, unpacked as they are asked for."""

    def __init__(self, folder: Path, unpacked: Path) -> None:
        self.folder = folder
        self.unpacked = unpacked

    @functools.cache  # noqa: B019  one corpus lives as long as the session
    def manifest(self, name: str) -> dict[str, Any]:
        """Return what the reference tools say of an image."""
        manifest: dict[str, Any] = json.loads((self.folder / "manifests" / f"{name}.json").read_text())
        return manifest

    def names(self, *families: str) -> list[str]:
        """Return the images of the families, by the name of the file system in the manifest."""
        return [
            p.stem
            for p in sorted((self.folder / "manifests").glob("*.json"))
            if self.family(p.stem) in families
        ]

    def family(self, name: str) -> str:
        """Return the file system in the manifest."""
        return str(self.manifest(name)["fs"])

    def disks(self, name: str) -> list[Path]:
        """Return the image's disks, in device order."""
        return [self._unpack(disk["file"]) for disk in self.manifest(name)["disks"]]

    def _unpack(self, file: str) -> Path:
        """Unpack a disk, sparse, to where all processes of this run of the tests look for it."""
        target = self.unpacked / file.removesuffix(".xz")
        if not target.exists():
            unpack_file(self.folder / file, target)
        return target


def pytest_collection_finish() -> None:
    """Import what is measured, so that no module is imported only where no lines are followed."""
    for module in pkgutil.walk_packages(package.__path__, "pybootcfg."):
        if not module.name.startswith(("pybootcfg.cli", "pybootcfg.prepared")):
            importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Follow no lines in a test that is marked `no_cover`.

    A worker of pytest-xdist has two measurements, one around the other; pytest-cov pauses the inner one.
    """
    if item.get_closest_marker("no_cover") is None:
        return (yield)
    follower = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(follower)


@pytest.fixture(autouse=True)
def _a_run_of_its_own() -> None:
    """Nothing of the totals of a run is used when a test begins."""
    limits.begin(1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = os.environ.get("PYBOOTCFG_CORPUS")
    if not folder:
        pytest.skip("PYBOOTCFG_CORPUS names no folder of images")
    base = tmp_path_factory.getbasetemp()
    unpacked = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "corpus"
    unpacked.mkdir(exist_ok=True)
    return Corpus(Path(folder), unpacked)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of examples/: MBR, ext4, grub.cfg."""
    image = tmp_path_factory.mktemp("sample") / "sample.img"
    unpack_file(ROOT / "examples/sample.img.xz", image)
    return image


@pytest.fixture
def volume(sample: Path, tmp_path: Path) -> Path:
    """The only volume of the sample, which begins at 1 MiB, as a file of its own."""
    image = tmp_path / "volume.img"
    image.write_bytes(sample.read_bytes()[1 << 20 :])
    return image


class SnapshotsFolder(AmberSnapshotExtension):
    """Keeps snapshots in tests/snapshots/."""

    snapshot_dirname = "snapshots"


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """The snapshot that belongs to a test."""
    return snapshot.use_extension(SnapshotsFolder)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _runner(module: str) -> Run:
    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]
        options = {"capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run([*command, *map(str, arguments)], check=False, **options)

    return run


@pytest.fixture(scope="session")
def pygrub() -> Run:
    """Run pygrub as a process."""
    return _runner("pybootcfg.cli.pygrub")


@pytest.fixture(scope="session")
def pybootcfg() -> Run:
    """Run pybootcfg as a process."""
    return _runner("pybootcfg.cli.commands")


@pytest.fixture
def disk(tmp_path: Path) -> Callable[[str], Path]:
    """Unpack an image that the project carries to disk.img."""

    def unpack(name: str) -> Path:
        image = tmp_path / "disk.img"
        unpack_file(HERE / "corpus" / f"{name}.xz", image)
        return image

    return unpack


@pytest.fixture
def inside(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run inspect in this process, which saves its start: (exit status, stdout)."""
    from pybootcfg.cli import commands, inspection

    def run(*arguments: str) -> tuple[int, str]:
        status = inspection.inspect(commands._parser().parse_args(["inspect", *arguments]))
        return status, capsys.readouterr().out

    return run
