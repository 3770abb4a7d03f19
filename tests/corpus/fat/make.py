"""Make the images of this folder with mkfs.fat and mtools (exFAT: mkfs.exfat and tests/exfat_image.py).

    python tests/corpus/fat/make.py

The manifests come from the files that were put in, not from any reader.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import random
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import exfat_image  # noqa: E402

IMAGES = {
    "fat12": [
        "-F",
        "12",
        "-S",
        "1024",
        "-s",
        "1",
        "-f",
        "3",
        "-r",
        "64",
        "-n",
        "DOS VOL",
        "-i",
        "0012F12A",
        "-C",
    ],
    "fat16": ["-F", "16", "-s", "1", "-f", "1", "-n", "SIXTEEN", "-i", "1616BEEF", "-C"],
    "fat32": ["-F", "32", "-s", "1", "-n", "ESP", "-i", "3232CAFE", "-C"],
}
BLOCKS = {"fat12": "700", "fat16": "3000", "fat32": "34000"}


def tree(seed: str) -> dict[str, bytes]:
    """Return the files by path: sizes around the cluster's, names of every kind, a large directory."""
    chance = random.Random(seed)  # noqa: S311
    return {
        "BOOT/GRUB/GRUB.CFG": b"menuentry 'x' { linux /vmlinuz-6.1.0-test }\n",
        "vmlinuz-6.1.0-test": chance.randbytes(20011),
        "lower.txt": b"lower\n",
        "MIXED.txt": b"mixed\n",
        "a.b.c.d": b"dots\n",
        "Überlänge-名前-Ж.txt": b"unicode\n",
        "x" * 130 + ".bin": b"long\n",
        "empty": b"",
        **{f"size-{n}": bytes([n % 251]) * n for n in (511, 512, 513, 1024, 1025)},
        **{f"many/entry number {n:03}": b"%d\n" % n for n in range(60)},
    }


def put(image: Path, files: dict[str, bytes], folder: Path) -> None:
    """Copy the files in with mtools; one of them is fragmented, and some are deleted again."""
    for path, data in files.items():
        source = folder / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(data)
    fillers = [f"fill{n}" for n in range(30)]
    for name in fillers:
        (folder / name).write_bytes(b"f" * 1000)
        run("mcopy", "-i", image, folder / name, f"::/{name}")
    for name in fillers[::2]:
        run("mdel", "-i", image, f"::/{name}")
        (folder / name).unlink()
    run(
        "mcopy", "-i", image, "-s", "-m", *sorted(p for p in folder.iterdir() if p.name not in fillers), "::/"
    )
    for name in fillers[1::2]:
        run("mdel", "-i", image, f"::/{name}")


def run(*command: str | Path) -> None:
    """Run a tool; its failure ends the run."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def manifest(files: dict[str, bytes], **facts: str) -> None:
    """Write NAME.json: facts, and size and sha256 of each file."""
    listed = {
        f"/{path}": [len(data), hashlib.sha256(data).hexdigest()] for path, data in sorted(files.items())
    }
    text = json.dumps({**facts, "files": listed}, ensure_ascii=False, indent=0)
    (HERE / f"{facts['name']}.json").write_text(text + "\n")


def main() -> None:
    """Make all images."""
    for name, options in IMAGES.items():
        with tempfile.TemporaryDirectory() as work:
            image = Path(work, "image")
            run("mkfs.fat", *options, str(image), BLOCKS[name])
            files = tree(name)
            put(image, files, Path(work, "tree"))
            (HERE / f"{name}.img.xz").write_bytes(lzma.compress(image.read_bytes(), preset=9))
            serial = options[options.index("-i") + 1]
            label = options[options.index("-n") + 1]
            manifest(files, name=name, label=label, uuid=f"{serial[:4]}-{serial[4:]}")
    make_exfat()


def make_exfat() -> None:
    """Make the exFAT image."""
    chance = random.Random("exfat")  # noqa: S311
    files = {
        "vmlinuz": chance.randbytes(30000),
        "Fragmented, with a name of more than fifteen units.bin": chance.randbytes(40000),
        "boot/grub/grub.cfg": b"menuentry x {}\n",
        "Übergröße-名前-😀.txt": b"unicode\n",
        "empty": b"",
        "valid.bin": b"\1" * 5000 + bytes(15000),
        **{f"boot/entry number {n:03}": b"%d" % n for n in range(40)},
    }
    options = {
        "Fragmented, with a name of more than fifteen units.bin": ["chain"],
        "valid.bin": [("valid", 5000)],
    }
    nested: dict[str, object] = {}
    for path, data in files.items():
        *above, leaf = path.split("/")
        place = nested
        for name in above:
            place = place.setdefault(name, {})  # type: ignore[assignment]
        place[leaf] = (data, *options.get(path, []))
    with tempfile.TemporaryDirectory() as work:
        image = Path(work, "image")
        image.write_bytes(bytes(8 << 20))
        run("mkfs.exfat", "-L", "Mein Stick", image)
        volume = exfat_image.Volume(image.read_bytes())
        volume.fill(nested)
        blkid = ["blkid", "-p", "-o", "value", "-s", "UUID", str(image)]
        uuid = subprocess.run(blkid, check=True, capture_output=True, text=True).stdout.strip()
        (HERE / "exfat.img.xz").write_bytes(lzma.compress(bytes(volume.image), preset=9))
    manifest(files, name="exfat", label="Mein Stick", uuid=uuid)


if __name__ == "__main__":
    main()
