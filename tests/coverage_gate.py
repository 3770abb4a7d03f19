"""Judges a measurement of coverage: python tests/coverage_gate.py REPORT.json LINES BRANCHES.

LINES and BRANCHES are percentages of all that can be run; what is missing is printed, file by file.
Tests are skipped that lack a tool to compare with, or images, so that nothing is judged where one is lacking.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

FOLDERS = ("PYBOOTCFG_CORPUS", "PYBOOTCFG_BOOTCFG")

#: the packages of `make judges`, and a program that tells whether each is there
JUDGES = {
    "binutils": "objcopy",
    "dosfstools": "mkfs.fat",
    "e2fsprogs": "mke2fs",
    "exfatprogs": "mkfs.exfat",
    "fdisk": "sfdisk",
    "fish": "fish",
    "gdisk": "sgdisk",
    "genisoimage": "genisoimage",
    "groff": "groff",
    "grub-common": "grub-script-check",
    "grub-emu": "grub-emu",
    "makefs": "makefs",
    "mandoc": "mandoc",
    "mtools": "mcopy",
    "openssl": "openssl",
    "reiserfsprogs": "mkreiserfs",
    "sleuthkit": "fsstat",
    "tmux": "tmux",
    "whois": "mkpasswd",
    "xen-utils-4.17": "/usr/lib/xen-4.17/bin/pygrub",
    "xorriso": "xorriso",
    "zsh": "zsh",
}


def lacking() -> list[str]:
    """Return what is not here, so that tests were skipped."""
    folders = [f"${name}" for name in FOLDERS if not os.environ.get(name)]
    return folders + [package for package, program in JUDGES.items() if not shutil.which(program)]


def share(covered: int, all_of_them: int) -> float:
    return 100 * covered / all_of_them if all_of_them else 100.0


def main(report: str, lines: str, branches: str) -> int:
    """Print what is missing; return 1 when it is more than is allowed."""
    measured: dict[str, Any] = json.loads(Path(report).read_text())
    totals = measured["totals"]
    found = (
        share(totals["covered_lines"], totals["num_statements"]),
        share(totals["covered_branches"], totals["num_branches"]),
    )
    said = (
        f"coverage: {found[0]:.2f} % of {totals['num_statements']} lines, {lines} wanted; "
        f"{found[1]:.2f} % of {totals['num_branches']} branches, {branches} wanted"
    )
    if missing := lacking():
        print(f"{said}: NOT JUDGED, since tests were skipped for want of {', '.join(missing)}")
        return 0
    for name, file in measured["files"].items():
        places = [*map(str, file["missing_lines"]), *(f"{a}->{b}" for a, b in file["missing_branches"])]
        if places:
            print(f"{name}: {', '.join(places)}")
    enough = found[0] >= float(lines) and found[1] >= float(branches)
    print(said if enough else f"{said}: TOO LITTLE")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
