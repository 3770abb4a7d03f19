"""The guest whose kernel every program fetches: made here, the same each time, from nothing but a seed.

The kernel and the ramdisk are as large as a distribution's (12 and 60 MiB by default) and do not
compress; the configuration has the shape that grub-mkconfig gives it: functions, tests, `search`, a
first entry and a submenu.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
UUID = "5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90"

_HEAD = """\
# made for measuring
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function remember {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
function graphics {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod vbe
  fi
}
if [ x$feature_timeout_style = xy ] ; then
  set timeout_style=menu
  set timeout=5
else
  set timeout=5
fi
"""

_ENTRY = """\
menuentry '{title}' --class gnu-linux --class os $menuentry_id_option '{id}' {{
  remember
  graphics
  set gfxpayload=keep
  insmod gzio
  if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
  insmod part_msdos
  insmod ext2
  if [ x$feature_platform_search_hint = xy ]; then
    search --no-floppy --fs-uuid --set=root {uuid}
  else
    search --no-floppy --fs-uuid --set=root {uuid}
  fi
  echo 'Loading Linux {version} ...'
  linux /boot/vmlinuz root=UUID={uuid} ro console=hvc0 quiet
  echo 'Loading initial ramdisk ...'
  initrd /boot/initrd.img
}}
"""


def configuration(entries: int) -> str:
    """Return a grub.cfg with a first entry and so many more in a submenu."""
    text = _HEAD + _ENTRY.format(title="Linux", id="simple", uuid=UUID, version="6.1.0-40")
    if entries:
        below = "".join(
            _ENTRY.format(
                title=f"Linux 6.1.0-{number}", id=f"advanced-{number}", uuid=UUID, version=f"6.1.0-{number}"
            )
            for number in range(entries)
        )
        text += f"submenu 'Advanced options' $menuentry_id_option 'advanced' {{\n{below}}}\n"
    return text


class Guest(NamedTuple):
    """The directory that images are made from, and the SHA-256 digests of what must come out of them."""

    tree: Path
    kernel: str
    ramdisk: str

    @property
    def files(self) -> list[Path]:
        """The kernel and the ramdisk as they lie in the tree."""
        return [self.tree / "boot/vmlinuz", self.tree / "boot/initrd.img"]


def make(tree: Path, *, kernel: int, ramdisk: int, entries: int = 8) -> Guest:
    """Make the guest's files below `tree`; sizes in bytes."""
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(configuration(entries))
    digests = [
        _make_file(tree / "boot/vmlinuz", kernel, seed=1),
        _make_file(tree / "boot/initrd.img", ramdisk, seed=2),
    ]
    return Guest(tree, *digests)


def _make_file(path: Path, size: int, *, seed: int) -> str:
    chance = random.Random(seed)  # noqa: S311  it must only not compress
    digest = hashlib.sha256()
    with path.open("wb") as out:
        while size > 0:
            chunk = chance.randbytes(min(size, MIB))
            out.write(chunk)
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
