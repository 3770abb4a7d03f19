"""What `make demo` shows: pygrub on a sample disk, the boot menu, and the superblock it all came from."""

from __future__ import annotations

import lzma
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*command: str | Path) -> None:
    """Print a command and run it from the environment that this Python belongs to."""
    print("\n$", *(Path(word).name if isinstance(word, Path) else word for word in command), flush=True)
    program = Path(sys.executable).with_name(str(command[0]))
    subprocess.run([program, *command[1:]], check=True)


def main() -> None:
    """Unpack the sample and look at it from both ends."""
    with tempfile.TemporaryDirectory() as work:
        image, out = Path(work, "sample.img"), Path(work, "OUT")
        image.write_bytes(lzma.decompress(Path(__file__).with_name("sample.img.xz").read_bytes()))
        out.mkdir()
        run("pygrub", "-q", "--output-directory", out, image)
        print()
        for file in sorted(out.iterdir()):
            print(f"  {file.name}: {file.stat().st_size} bytes")
        run("pybootcfg", "volumes", image)
        run("pybootcfg", "entries", image)
        run("pybootcfg", "inspect", image, "p1.superblock")


if __name__ == "__main__":
    main()
