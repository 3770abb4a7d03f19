"""`python -m bench`: make the images, run the programs in turn, check every result, print the tables."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from bench import guest, images, programs, report, scale
from bench.guest import MIB
from bench.measure import Result, WrongResult, run_in_turn


def main() -> int:
    """Run the command; the exit status is 1 when a program brought out something wrong."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as work:
        try:
            text = _measure(options, Path(work))
        except WrongResult as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(text)
    if options.write:
        report.write(options.write, text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="rounds that count (default: 9)")
    parser.add_argument("--kernel", type=int, default=12 * MIB, metavar="BYTES")
    parser.add_argument("--ramdisk", type=int, default=60 * MIB, metavar="BYTES")
    parser.add_argument("--only", action="append", metavar="KIND", help="a kind of image (repeatable)")
    parser.add_argument("--no-scale", action="store_true", help="leave out what takes long to make")
    parser.add_argument("--work", metavar="DIR", help="where the images are made (1.5 GB)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into a document")
    return parser


def _measure(options: argparse.Namespace, work: Path) -> str:
    out = work / "out"
    made = guest.make(work / "guest", kernel=options.kernel, ramdisk=options.ramdisk)
    sections = [report.machine(options.runs, work)]
    for kind in images.KINDS:
        if options.only and kind.name not in options.only:
            continue
        if not kind.available:
            sections.append(f"### {kind.name}\n\nnot measured: {kind.program} is not installed")
            continue
        image = work / "guest.img"
        _say(f"{kind.name} ...")
        kind.make(made.tree, image)
        job = programs.Job(kind.name, image, made, out, work)
        size = (options.kernel + options.ramdisk) / MIB
        results = run_in_turn(programs.commands(job), out, runs=options.runs)
        sections.append(report.table(f"{kind.name}, {size:.0f} MiB", results, floor=_floor()))
        results = run_in_turn(programs.not_really(job), out, runs=options.runs)
        sections.append(report.table(f"{kind.name}, `-n`: nothing is copied", results, floor=_floor()))
        image.unlink()
    if not options.no_scale:
        sections.append(report.scale_table(_scale(options.runs, work)))
    return "\n\n".join([*sections, report.versions()])


def _scale(runs: int, work: Path) -> list[tuple[scale.Case, list[Result]]]:
    measured = []
    for make, size in (
        (scale.huge_directory, 1_000_000),
        (scale.huge_disk, 1 << 40),
        (scale.many_files, 50_000),
        (scale.long_menu, 10_000),
    ):
        _say(f"{make.__name__.replace('_', ' ')} ...")
        case = make(work, size)
        measured.append((case, run_in_turn(case.commands, work / "out", runs=runs)))
    return measured


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _floor() -> int:
    """Return this process's own peak in bytes, which every program's run begins with."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
