"""What whole processes use: memory and work grow neither with a disk, directory or kernel, nor with malice.

Measured is the most that any process of a command has had resident, and the processor time of them all.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from guests import KERNEL as SMALL_KERNEL
from guests import grub_guest, make_guest
from test_volumes_hostile import PROTECTIVE, gpt_entries, gpt_header, record

from faults.images import unpack_file

if TYPE_CHECKING:
    from conftest import Corpus

PEAK = 40 << 10  #: KiB, of normal guests
SECONDS = 1.0
HOSTILE_PEAK = 128 << 10  #: KiB, of any input
HOSTILE_SECONDS = 10.0
PYGRUB, PYBOOTCFG = "pybootcfg.cli.pygrub", "pybootcfg.cli.commands"
CORPUS = Path(__file__).parent / "corpus"
IMAGES = sorted(
    str(file.relative_to(CORPUS))
    for file in CORPUS.glob("*/*.xz")
    if ".img" in file.name or ".iso" in file.name
)

pytestmark = pytest.mark.skipif(
    not (shutil.which("mke2fs") and shutil.which("e2fsck")), reason="e2fsprogs makes the images"
)


#: runs a command and reports its usage; a process of its own, since a child starts out with its parent's peak
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Usage(NamedTuple):
    """What a command has used: KiB resident at most, seconds of processor time; and what came of it."""

    peak: int
    seconds: float
    status: int
    digest: str  #: of stdout
    errors: str


def usage_of(module: str, *arguments: str | Path) -> Usage:
    """Run a command and measure it."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    command = [sys.executable, "-S", "-c", LAUNCHER, "-P", "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    digest = hashlib.file_digest(process.stdout, "sha256").hexdigest()  # type: ignore[arg-type]
    _, errors = process.communicate()
    *said, numbers = errors.decode().splitlines()
    peak, seconds = numbers.split()
    return Usage(int(peak), float(seconds), process.returncode, digest, "\n".join(said))


KERNEL = [hashlib.shake_256(bytes([number])).digest(1 << 20) for number in range(48)]
KERNEL_DIGEST = hashlib.sha256(b"".join(KERNEL)).hexdigest()


@pytest.fixture(scope="module")
def large_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 4 GiB: a kernel of 48 MiB, and 8,000 names in the directory of its configuration."""
    folder = tmp_path_factory.mktemp("large")
    tree, image = folder / "tree", folder / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("menuentry A { linux /boot/kernel a=1; }\n")
    with (tree / "boot/kernel").open("wb") as kernel:
        kernel.writelines(KERNEL)
    for number in range(8_000):
        (tree / f"boot/{number:040}").touch()
    image.touch()
    os.truncate(image, 4 << 30)
    options = ["-t", "ext4", "-N", "10000", "-E", "lazy_itable_init=1"]
    subprocess.run(["mke2fs", "-q", "-F", *options, "-d", tree, image], check=True)
    subprocess.run(["e2fsck", "-fyD", image], check=False, capture_output=True)
    shutil.rmtree(tree)
    return image


def test_peak_memory_of_pygrub(large_guest: Path, tmp_path: Path) -> None:
    used = usage_of(PYGRUB, "-q", f"--output-directory={tmp_path}", large_guest)
    assert used.status == 0, used.errors
    (kernel,) = tmp_path.iterdir()
    with kernel.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == KERNEL_DIGEST
    assert used.peak < PEAK


def test_peak_memory_of_cat(large_guest: Path) -> None:
    used = usage_of(PYBOOTCFG, "cat", large_guest, "p0:/boot/kernel")
    assert (used.status, used.digest) == (0, KERNEL_DIGEST)
    assert used.peak < PEAK


# --- normal guests -----------------------------------------------------------------------------------------


def check_normal(image: Path, *devices: Path) -> None:
    more = [f"--device={device}" for device in devices]
    for module, command in ((PYGRUB, ["-n", "-q"]), (PYBOOTCFG, ["entries"])):
        used = usage_of(module, *command, *more, image)
        assert used.status in range(6), used.errors
        assert used.peak < PEAK, command
        assert used.seconds < SECONDS, command


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_the_project(name: str, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    unpack_file(CORPUS / name, image)
    check_normal(image)


def test_images_of_the_corpus(corpus: Corpus) -> None:
    for manifest in sorted((corpus.folder / "manifests").glob("*.json")):
        check_normal(*corpus.disks(manifest.stem))


# --- hostile ones ------------------------------------------------------------------------------------------


def check_hostile(image: Path, *commands: str) -> list[Usage]:
    """Measure pygrub, and command lines of `pybootcfg`, over an IMAGE; what it boots does not matter."""
    found = [usage_of(PYGRUB, "-n", "-q", image)]
    found += [usage_of(PYBOOTCFG, *command.replace("IMAGE", str(image)).split()) for command in commands]
    for used in found:
        assert used.status in range(6), used.errors
        assert "Traceback" not in used.errors
        assert "internal error" not in used.errors
        assert used.peak < HOSTILE_PEAK, used
        assert used.seconds < HOSTILE_SECONDS, used
    return found


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("seed", range(1))
def test_images_with_bytes_changed(name: str, seed: int, tmp_path: Path) -> None:
    """Some bytes near where bytes are that are not zero: with them lies what describes the rest."""
    chance = random.Random(f"{name} {seed}")  # noqa: S311
    data = bytearray(lzma.decompress((CORPUS / name).read_bytes()))
    used = [place for place in range(0, len(data) - 16, 16) if any(data[place : place + 16])]
    for place in chance.sample(used, min(len(used), 40)):
        data[place + chance.randrange(16)] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    image = tmp_path / "disk.img"
    image.write_bytes(data)
    commands = "entries IMAGE", "ls -R IMAGE", "inspect IMAGE", f"extract -o {tmp_path}/out IMAGE /"
    check_hostile(image, *commands)


LOOP = "while true; do x=1; done\n"
CONFIGURATIONS = {
    "loop": LOOP,
    "loop that makes entries": "while true; do menuentry a { linux /k; }; done\n",
    "loop that looks for files": "while true; do if [ -f /k$x ]; then true; fi; x=1$x; done\n",
    "doubling": "a=aaaaaaaa\n" + "a=$a$a\n" * 60 + "menuentry $a { linux /k $a; }\n",
    "many variables": "".join(f"v{number}={'x' * 3000}\n" for number in range(1300)),
    "functions": "function f { f; f; }\nf\n",
    "nested": "if true; then " * 20_000,
    "long line": "x" * (4 << 20),
    "long word in quotes": f"'{'x' * (4 << 20)}",
    "many lines": "x=1\n" * 1_000_000,
    "many entries": "menuentry a { linux /k; }\n" * 150_000,
    "too large": "#\n" * (9 << 20),
    "sources itself": "source /boot/grub/grub.cfg\nsource /boot/grub/grub.cfg\n",
    "globs": "echo /*/*/*/* /*/*/*/*\n" * 20_000,
    "expressions": f"while true; do if regexp '(a*)*(a*)*(a*)*b' {'a' * 30}; then x=1; fi; done\n",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations(name: str, tmp_path: Path) -> None:
    config = CONFIGURATIONS[name].encode()
    files = {"boot/grub/grub.cfg": config, "k": SMALL_KERNEL}
    check_hostile(make_guest(tmp_path, files, size="40m"), "entries IMAGE", "inspect IMAGE")


def test_a_limit_for_each_volume_is_none_for_all(tmp_path: Path) -> None:
    """120 partitions, all of them one file system whose configuration never ends."""
    inner = grub_guest(tmp_path, LOOP).read_bytes()
    start, size = 2048, len(inner) // 512
    entries = gpt_entries(*[(start, start + size - 1)] * 120)
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        for place, data in (
            (0, record(PROTECTIVE)),
            (512, gpt_header(entries)),
            (1024, entries),
            (start * 512, inner),
        ):
            file.seek(place)
            file.write(data)
        file.truncate((start + size + 100) * 512)
    for used in check_hostile(image, "entries IMAGE"):
        assert used.status in (1, 5)
        assert "total-" in used.errors


def test_a_kernel_of_many_terabytes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("menuentry A { linux /k; }\n")
    (tree / "k").touch()
    os.truncate(tree / "k", 10 << 40)
    image = tmp_path / "disk.img"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "8m"], check=True)
    used = usage_of(PYGRUB, "-q", f"--output-directory={tmp_path}", image)
    assert (used.status, "file-size" in used.errors) == (1, True)
    assert used.peak < HOSTILE_PEAK
    assert used.seconds < SECONDS
    assert {file.name for file in tmp_path.iterdir()} == {"tree", "disk.img"}


# --- nothing is left ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of 32 KiB, of this machine's memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_nothing(small_disk: Path, tmp_path: Path) -> None:
    """The kernel of 35 KiB does not fit."""
    image = grub_guest(tmp_path, "menuentry A { linux /k; }\n")
    used = usage_of(PYGRUB, "-q", f"--output-directory={small_disk}", image)
    assert (used.status, "No space left on device" in used.errors) == (1, True)
    assert list(small_disk.iterdir()) == []
    used = usage_of(PYBOOTCFG, "extract", "-o", small_disk, image, "p0:/k")
    assert (used.status, "No space left on device" in used.errors) == (1, True)
    assert list(small_disk.iterdir()) == []


def test_a_limit_on_the_size_of_files_keeps_nothing(tmp_path: Path) -> None:
    """EFBIG: SIGXFSZ, which comes first, is ignored by Python."""
    image, out = grub_guest(tmp_path, "menuentry A { linux /k; }\n"), tmp_path / "out"
    out.mkdir()
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    for module, *arguments in (
        (PYGRUB, "-q", f"--output-directory={out}", image),
        (PYBOOTCFG, "extract", "-o", out, image, "p0:/k"),
    ):
        code = f"{limit}; from {module} import main; sys.exit(main())"
        command = [sys.executable, "-P", "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, "File too large" in done.stderr) == (1, True), done.stderr
        assert list(out.iterdir()) == []
