"""Files of a guest as disks: GRUB's loopback onto an ISO image, and reading at any offset."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Hole, Inline, Node, Run
from pybootcfg.kind import Kind
from pybootcfg.loopback import NodeSource
from pybootcfg.source import FilePiece, MemorySource

RunCommand = Callable[..., "CompletedProcess[str]"]
CORPUS = Path(__file__).parent / "corpus"
DISK = MemorySource(bytes(range(256)), "disk")


class File(Node):
    """A file of the given runs."""

    key = 0
    kind = Kind.FILE
    size = 0

    def __init__(self, runs: list[Run], size: int | None = None) -> None:
        self._runs = runs
        self.size = sum(run.length for run in runs) if size is None else size

    def runs(self) -> Iterator[Run]:
        return iter(self._runs)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        raise AssertionError

    def lookup(self, name: bytes) -> Node | None:
        raise AssertionError(name)

    def target(self) -> bytes:
        raise AssertionError


def contents(run: Run) -> bytes:
    if isinstance(run, Extent):
        return bytes(range(256))[run.offset : run.offset + run.length]
    return run.data if isinstance(run, Inline) else bytes(run.length)


RUN = st.one_of(
    st.tuples(st.integers(0, 200), st.integers(1, 56)).map(lambda pair: Extent(DISK, *pair)),
    st.integers(1, 50).map(Hole),
    st.binary(min_size=1, max_size=50).map(Inline),
)


def test_a_file_reads_as_an_extent_a_hole_and_bytes() -> None:
    source = NodeSource(File([Extent(DISK, 3, 2), Hole(2), Inline(b"ab")]), "file")
    assert source.read(1, 4) == b"\x04\0\0a"
    assert list(source.pieces(1, 4)) == [b"\x04", b"\0\0", b"a"]


@given(st.lists(RUN, min_size=1, max_size=8), st.data())
def test_a_file_reads_as_its_runs_one_behind_the_other(runs: list[Run], data: st.DataObject) -> None:
    whole = b"".join(map(contents, runs))
    source = NodeSource(File(runs), "file")
    assert source.size == len(whole)
    offset = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - offset))
    assert source.read(offset, length) == whole[offset : offset + length]
    pieces = b"".join(
        piece if isinstance(piece, bytes) else b"?" * piece.length for piece in source.pieces(offset, length)
    )
    assert pieces == whole[offset : offset + length]
    assert not any(
        isinstance(piece, FilePiece) for piece in source.pieces(offset, length)
    )  # DISK is in memory


def test_a_file_that_is_shorter_than_it_says() -> None:
    with pytest.raises(ImageError, match="100 bytes, but only 5"):
        NodeSource(File([Hole(5)], 100), "file")


CONFIG = """\
menuentry Live {
    loopback loop /iso/live.iso
    linux (loop)/boot/hard boot=live
    initrd (loop)/boot/grub.cfg
}
menuentry Broken { loopback loop /iso/no.iso; linux (loop)/boot/hard; }
"""


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
def test_a_kernel_inside_an_iso_image(pybootcfg: RunCommand, pygrub: RunCommand, tmp_path: Path) -> None:
    tree, image, out = tmp_path / "tree", tmp_path / "disk.img", tmp_path / "out"
    (tree / "iso").mkdir(parents=True)
    (tree / "boot/grub").mkdir(parents=True)
    out.mkdir()
    (tree / "boot/grub/grub.cfg").write_text(CONFIG)
    (tree / "iso/live.iso").write_bytes(lzma.decompress((CORPUS / "iso/xorriso-rr.iso.xz").read_bytes()))
    (tree / "iso/no.iso").write_bytes(b"not an image" * 10_000)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "8m"], check=True, capture_output=True
    )
    document = json.loads(pybootcfg("entries", "--json", image).stdout)
    live, broken = document["entries"]
    assert live["kernel"] == "p0:/iso/live.iso:/boot/hard"
    assert live["warnings"] == []
    assert "no.iso" in " ".join(broken["warnings"])
    done = pygrub("-q", "--output-format=simple", f"--output-directory={out}", image)
    assert done.returncode == 0, done.stderr
    kernel = Path(done.stdout.split()[1]).read_bytes()
    manifest = json.loads(lzma.decompress((CORPUS / "iso/xorriso-rr.json.xz").read_bytes()))

    assert len(kernel) == 70_000
    assert hashlib.sha256(kernel).hexdigest().startswith(manifest["files"]["/boot/hard"]["sha256"])
