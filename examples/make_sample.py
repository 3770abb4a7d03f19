"""Make sample.img.xz: an MBR disk whose active partition is an ext4 root with a grub.cfg.

Needs mke2fs (e2fsprogs) and sfdisk (fdisk); no root, no mounts.  The kernel and the ramdisk are
stand-ins: their contents only have to be recognised again.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path

UUID = "5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90"
SIZE = 8 << 20
START = 1 << 20
CONFIG = f"""\
set default="demo>quiet"
set timeout=5
kopts="ro console=hvc0"

search --no-floppy --fs-uuid --set=root {UUID}

menuentry "Demo Linux" --class gnu-linux --id simple {{
    linux /boot/vmlinuz root=UUID={UUID} $kopts
    initrd /boot/initrd.img
}}
submenu "Advanced options" --id demo {{
    menuentry "Demo Linux, quiet" --id quiet {{
        linux /boot/vmlinuz root=UUID={UUID} ro quiet "title=two words"
        initrd /boot/microcode.img /boot/initrd.img
    }}
    menuentry "Demo Linux, rescue" --id rescue {{
        linux /boot/vmlinuz root=UUID={UUID} ro single
    }}
}}
"""


def stand_in(name: str, size: int) -> bytes:
    """Return `size` bytes that depend on the name alone and do not compress away."""
    data = bytearray()
    block = name.encode()
    while len(data) < size:
        block = hashlib.sha256(block).digest()
        data += block
    return bytes(data[:size])


def main() -> None:
    """Write sample.img.xz beside this file, or to the path given."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("sample.img.xz")
    with tempfile.TemporaryDirectory() as work:
        tree, image = Path(work, "tree"), Path(work, "disk.img")
        (tree / "boot/grub").mkdir(parents=True)
        (tree / "boot/grub/grub.cfg").write_text(CONFIG)
        (tree / "boot/vmlinuz-6.1.0-demo").write_bytes(stand_in("kernel", 20_000))
        (tree / "boot/vmlinuz").symlink_to("vmlinuz-6.1.0-demo")
        (tree / "boot/initrd.img").write_bytes(stand_in("initrd", 9_001))
        (tree / "boot/microcode.img").write_bytes(stand_in("microcode", 1_003))
        image.write_bytes(b"")
        os.truncate(image, SIZE)
        subprocess.run(
            ["sfdisk", "--quiet", image],
            input=f"label: dos\nlabel-id: 0x64656d6f\nstart={START // 512}, type=83, bootable\n",
            text=True,
            check=True,
        )
        options = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            "demo",
            "-U",
            UUID,
            "-E",
            f"offset={START},hash_seed={UUID}",
        ]
        environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1767312245"}
        blocks = f"{(SIZE - START) // 1024}k"
        subprocess.run(["mke2fs", *options, "-d", tree, image, blocks], env=environment, check=True)
        target.write_bytes(lzma.compress(image.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
