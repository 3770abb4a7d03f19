"""ISO 9660 images by the tools that make real ones, and what must be in them.

`make_tree` makes a source tree, `RECIPES` turn it into images; the expected contents come from the tree
itself, or from isoinfo where the names on the disc are not those of the tree.

    python tests/iso9660_tools.py tests/corpus/iso

makes the images that are carried in the tree, with their manifests, anew.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT = {**os.environ, "TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "1768000000"}

Manifest = dict[str, dict[str, Any]]


class Recipe(NamedTuple):
    """How one image is made: `script` with $TREE and $IMG; how its names compare with the tree's.

    `names`: `tree` as in the tree, `plain` as isoinfo lists them, lower-case and without versions.
    """

    script: str
    names: str = "tree"
    tree: str = "full"  #: full, short (no long link targets) or files (all that plain ISO 9660 can hold)
    carried: bool = True

    def tools(self) -> list[str]:
        """Return the programs that the recipe needs."""
        wanted = {"xorriso", "genisoimage", "makefs", "mkzftree"}
        return sorted(wanted & set(self.script.split()) | ({"isoinfo"} if self.names == "plain" else set()))


XORRISO = "xorriso -report_about SORRY -as mkisofs -quiet"
GENISO = "genisoimage -quiet -input-charset utf-8"
GENISO_8_BIT = "genisoimage -quiet -input-charset iso8859-1"  # level 4 knows no other
SECOND = "echo second > $TREE/boot/second; echo changed > $TREE/boot/grub.cfg; rm $TREE/edge/one"

RECIPES = {
    "xorriso-rr": Recipe(f"{XORRISO} -R -iso-level 3 -V 'RR only' -o $IMG $TREE"),
    "xorriso-rr-level1": Recipe(f"{XORRISO} -R -iso-level 1 -o $IMG $TREE", carried=False),
    "xorriso-rr-level4": Recipe(f"{XORRISO} -R -iso-level 4 -o $IMG $TREE"),
    "xorriso-rr-joliet": Recipe(
        f"{XORRISO} -R -J -joliet-long -V Größe_und_mehr_als_16 -b boot/vmlinuz -c boot.cat -no-emul-boot"
        " -eltorito-alt-boot -e boot/initrd -no-emul-boot -o $IMG $TREE"
    ),
    "xorriso-rr-112": Recipe(
        "xorriso -report_about SORRY -compliance new_rr:aaip_susp_1_10 -hardlinks on -outdev $IMG"
        " -map $TREE / -commit"
    ),
    "xorriso-rr-deep": Recipe(
        "xorriso -report_about SORRY -compliance deep_paths_off:long_paths_off -outdev $IMG -map $TREE /"
        " -commit",
        carried=False,
    ),
    "xorriso-joliet": Recipe(f"{XORRISO} -J -joliet-long -o $IMG $TREE", tree="files", carried=False),
    "xorriso-plain": Recipe(f"{XORRISO} --norock -iso-level 3 -o $IMG $TREE", "plain", "files"),
    "xorriso-lowercase": Recipe(
        f"{XORRISO} --norock -iso-level 3 -allow-lowercase -full-iso9660-filenames -o $IMG $TREE",
        "plain",
        "files",
        carried=False,
    ),
    "xorriso-hybrid": Recipe(
        f"{XORRISO} -R -partition_offset 16 -appended_part_as_gpt -o $IMG $TREE", carried=False
    ),
    "xorriso-multisession": Recipe(
        "xorriso -report_about SORRY -outdev $IMG -volid FIRST -padding 0 -map $TREE / -commit;"
        f" {SECOND}; xorriso -report_about SORRY -dev $IMG -volid SECOND -update_r $TREE / -commit"
    ),
    "xorriso-zisofs": Recipe(
        "xorriso -report_about SORRY -outdev $IMG -zisofs level=6:block_size=64k -map $TREE /"
        " -set_filter_r --zisofs / -- -commit"
    ),
    "xorriso-zisofs2": Recipe(
        "xorriso -report_about SORRY -outdev $IMG"
        " -zisofs level=6:version_2=on:block_size_v2=32k:bpt_target=-1 -map $TREE /"
        " -set_filter_r --zisofs / -- -commit"
    ),
    "genisoimage-rr": Recipe(f"{GENISO} -R -l -iso-level 2 -o $IMG $TREE", tree="short"),
    "genisoimage-rr-not-moved": Recipe(f"{GENISO} -R -D -o $IMG $TREE", tree="short", carried=False),
    "genisoimage-rr-level4": Recipe(
        f"{GENISO_8_BIT} -R -iso-level 4 -allow-lowercase -o $IMG $TREE", tree="files", carried=False
    ),
    "genisoimage-rr-joliet-udf": Recipe(
        f"{GENISO} -R -J -joliet-long -udf -o $IMG $TREE", tree="files", carried=False
    ),
    "genisoimage-zisofs": Recipe(
        f"mkzftree $TREE $TREE.z && {GENISO} -R -z -o $IMG $TREE.z", tree="short", carried=False
    ),
    "genisoimage-joliet": Recipe(f"{GENISO} -J -joliet-long -o $IMG $TREE", tree="files"),
    "genisoimage-level1": Recipe(f"{GENISO} -iso-level 1 -o $IMG $TREE", "plain", "files"),
    "genisoimage-level2-versionless": Recipe(
        f"{GENISO} -iso-level 2 -l -N -d -o $IMG $TREE", "plain", "files", carried=False
    ),
    "genisoimage-level4": Recipe(f"{GENISO_8_BIT} -iso-level 4 -o $IMG $TREE", "plain", "files"),
    "genisoimage-untranslated": Recipe(f"{GENISO} -U -o $IMG $TREE", "plain", "files", carried=False),
    "makefs-rr": Recipe("makefs -t cd9660 -o rockridge,label=MAKEFS $IMG $TREE", tree="short"),
}


def pattern(length: int) -> bytes:
    """Return bytes that differ from block to block and pack well."""
    return b"".join(b"%08d line of a file\n" % i for i in range(length // 24 + 1))[:length]


def make_tree(folder: Path, kind: str) -> None:
    """Make the source tree; see Recipe.tree for `kind`."""
    files = {
        "boot/vmlinuz": pattern(70_000),
        "boot/initrd": pattern(30_000) + bytes(150_000) + pattern(777),
        "boot/grub.cfg": b"menuentry test { linux /boot/vmlinuz }\n",
        "edge/empty": b"",
        "edge/one": b"1",
        **{f"edge/size{n}": pattern(n) for n in (2047, 2048, 2049, 32768, 65537)},
        "UPPER.TXT": b"upper",
        "many.dots.in.it": b"dots",
        "noext": b"no extension",
        **{f"many/f{n:03}": b"%d" % n for n in range(150)},
        "d1/d2/d3/d4/d5/d6/side": b"side",
        "é and spaces": b"latin",
    }
    if kind != "files":
        files |= {f"long/{'n' * n}": b"%d" % n for n in (64, 100, 180, 230, 250)}
        files["d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/deep"] = b"deep"
        files["case/README"] = b"upper"
        files["case/readme"] = b"lower"
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600 if len(data) % 2 else 0o755)
    if kind != "files":
        make_specials(folder, long_links=kind == "full")
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, (1_700_000_000 + 3601 * number,) * 2, follow_symlinks=False)


def make_specials(folder: Path, *, long_links: bool) -> None:
    """Add links and special files."""
    links = {
        "relative": "boot/vmlinuz",
        "absolute": "/boot/vmlinuz",
        "d1/up": "../../boot/./vmlinuz",
        "dot": ".",
        "dangling": "no/such/file",
        "len200": "/".join(["component"] * 20),
    }
    if long_links:
        links["len250"] = "c" * 250
        links["len1000"] = "/".join(["component-and-more"] * 52)
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo", 0o640)
    os.link(folder / "boot/vmlinuz", folder / "boot/hard")


def expected(folder: Path) -> Manifest:
    """Return what a tree holds, by path from the root."""
    manifest: Manifest = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        row: dict[str, Any] = {"mtime": int(facts.st_mtime), "mode": f"{stat.S_IMODE(facts.st_mode):o}"}
        if path.is_symlink():
            row = {"type": "symlink", "target": os.readlink(path)}
        elif path.is_dir():
            row |= {"type": "dir"}
            del row["mtime"]  # of a directory changes as it is filled
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            row |= {"type": "file", "size": facts.st_size, "sha256": digest}
        else:
            row |= {"type": "fifo"}
        manifest["/" + str(path.relative_to(folder))] = row
    return manifest


def listed_by_isoinfo(image: Path) -> Manifest:
    """Return the files that isoinfo lists, their names as Linux shows them."""
    manifest: Manifest = {}
    text = subprocess.run(["isoinfo", "-i", image, "-f"], capture_output=True, check=True).stdout
    for name in text.decode("utf-8", "surrogateescape").splitlines():
        data = subprocess.run(["isoinfo", "-i", image, "-x", name], capture_output=True, check=True).stdout
        shown = name.lower().removesuffix(";1")
        if name.endswith(".;1"):
            shown = shown.removesuffix(".")
        manifest[shown] = {
            "type": "file",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest()[:16],
        }
    for name in list(manifest):
        for parent in list(Path(name).parents)[:-1]:
            manifest[str(parent)] = {"type": "dir"}
    return manifest


def build(recipe: Recipe, folder: Path) -> tuple[Path, Manifest]:
    """Make the image of a recipe in `folder`; return it and what must be in it."""
    tree, image = folder / "tree", folder / "image.iso"
    tree.mkdir()
    make_tree(tree, recipe.tree)
    script = recipe.script.replace("$TREE", str(tree)).replace("$IMG", str(image))
    done = subprocess.run(
        ["sh", "-c", "set -e; " + script], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return image, expected(tree) if recipe.names == "tree" else listed_by_isoinfo(image)


def blkid(image: Path, tag: str) -> str:
    """Return what blkid says of an image."""
    command = ["blkid", "-p", "-s", tag, "-o", "value", image]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.removesuffix("\n")


def main(target: Path) -> None:
    """Make the carried images and their manifests."""
    target.mkdir(parents=True, exist_ok=True)
    for name, recipe in RECIPES.items():
        if not recipe.carried:
            continue
        with tempfile.TemporaryDirectory() as work:
            image, manifest = build(recipe, Path(work))
            document = {
                "label": blkid(image, "LABEL"),
                "uuid": blkid(image, "UUID"),
                "script": recipe.script,
                "files": manifest,
            }
            packed = lzma.compress(image.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
            (target / f"{name}.iso.xz").write_bytes(packed)
            with lzma.open(target / f"{name}.json.xz", "wt", preset=9) as file:
                json.dump(document, file)


def missing(recipe: Recipe) -> list[str]:
    """Return the programs that a recipe needs and that are not installed."""
    return [tool for tool in recipe.tools() if shutil.which(tool) is None]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
