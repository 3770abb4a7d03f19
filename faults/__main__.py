"""Boot every image with every single byte of its metadata made wrong, and count what comes of it.

A fault sets one byte that a run of pygrub reads (not of the contents of kernel and ramdisk) to 0x00, 0x7f,
0x80, 0xff, one more or one less.  Each run is pygrub's own reader in this process, from the partition table
to the copies, and what its parent does with the answer.  It may end in an answer, in an error of pybootcfg's
own, or in an OSError, within 10 s of processor time and 128 MiB of memory; all else is a failure, printed so
that --replay shows it again.

Most bytes that are read are not looked at: the slack of a directory, say.  Where garbage (three kinds) in
the place of a whole stretch of bytes changes neither what else is read and copied nor the answer nor any
warning, its single faults are left out, and counted as such.  --sample leaves out nothing of what it chooses.

Checksums must not hide what lies behind them.  So everything is done twice: in the pass `recomputed` those
that cover the byte are made right again; in the pass `ignored` none is compared.  faults/seals.py and
faults/checksums.py say which, by format.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import tempfile
import time
from pathlib import Path

_ROOT = str(Path(__file__).parent.parent)
# The package that is installed, not the folder of the same name in the checkout.
sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder or ".") != _ROOT]

from faults import images, plan, workers  # noqa: E402
from faults.disk import MappedDisk  # noqa: E402


def main() -> int:
    """Run the command; the exit status is 1 when there are failures."""
    options = _parser().parse_args()
    places = options.images or [images.OWN, *filter(None, [os.environ.get("PYBOOTCFG_CORPUS")])]
    found = [
        image
        for image in images.find(map(Path, places))
        if not options.only or any(only in image.name for only in options.only)
    ]
    with tempfile.TemporaryDirectory(prefix="faults-", dir=options.work) as work:
        if options.replay:
            return _replay(found, options.replay, Path(work))
        return _all(found, options, Path(work))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images",
        action="append",
        metavar="PATH",
        help="an image or a folder of them (repeatable; default: tests/corpus and PYBOOTCFG_CORPUS)",
    )
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="images whose names have TEXT in them"
    )
    parser.add_argument("--checksums", choices=plan.PASSES, help="only one of the two passes")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="N faults of each image and pass, chosen by chance"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="K", help="of all stretches of 512 bytes only every K-th"
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="and of those from the N-th on")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes at once"
    )
    parser.add_argument("--work", metavar="DIR", help="where images are unpacked")
    parser.add_argument(
        "--replay", metavar="IMAGE:PASS:FAULT", help="one fault as it was printed, with its traceback"
    )
    return parser


def _all(found: list[images.Image], options: argparse.Namespace, work: Path) -> int:
    whole = workers.Tally()
    possible = 0
    started = time.monotonic()
    passes = [options.checksums] if options.checksums else plan.PASSES
    for image in found:
        disks = [MappedDisk(path, number) for number, path in enumerate(images.unpack(image, work))]
        for checks in passes:
            planned = plan.Plan(disks, checks)
            if options.sample:
                items: workers.Items = planned.chosen(options.sample, options.seed, image.name)
            else:
                items = planned.units()[options.first :: options.every]
            clock = time.monotonic()
            tally = workers.carry_out(planned, items, options.jobs)
            planned.close()
            possible += planned.total
            whole.add(tally)
            _report(image, planned, tally, time.monotonic() - clock)
        for disk in disks:
            disk.close()
    seconds = time.monotonic() - started
    pace = whole.runs / max(seconds, 1e-9)
    share = whole.considered / max(possible, 1)
    print(
        f"\n{whole.runs:,} runs in {seconds:,.0f} s ({pace:,.0f} a second, {options.jobs} processes)\n"
        f"{whole.considered:,} of {possible:,} possible faults considered ({share:.2%}); "
        "what was not run of these changes nothing, or nothing looks at it\n"
    )
    for outcome, count in whole.outcomes.most_common():
        print(f"{count:>12,}  {outcome}")
    print(f"{len(whole.failures):>12,}  FAILURES")
    print(f"slowest run: {whole.slowest:.2f} s of processor time")
    return 1 if whole.failures else 0


def _report(image: images.Image, planned: plan.Plan, tally: workers.Tally, seconds: float) -> None:
    share = tally.considered / max(planned.total, 1)
    print(
        f"{image.name}, checksums {planned.checks}: {planned.bytes:,} bytes, {tally.runs:,} runs "
        f"({share:.2%} of {planned.total:,} faults considered) in {seconds:.0f} s, "
        f"the slowest {tally.slowest:.2f} s [{tally.slowest_fault}]; {len(tally.failures)} failures"
    )
    kinds = collections.Counter(failure.what for failure in tally.failures)
    for what, count in kinds.most_common():
        first = next(failure.fault for failure in tally.failures if failure.what == what)
        print(f"  FAILURE {image.name}:{planned.checks}:{first} and {count - 1} more: {what}")
    sys.stdout.flush()


def _replay(found: list[images.Image], text: str, work: Path) -> int:
    name, checks, fault = text.split(":", 2)
    (image,) = [image for image in found if image.name == name]
    disks = [MappedDisk(path, number) for number, path in enumerate(images.unpack(image, work))]
    planned = plan.Plan(disks, checks)
    print(f"without the fault: {planned.expected}")
    started = time.process_time()
    with planned.active():
        print(planned.outcome(plan.Fault.parse(fault)))
    print(f"{time.process_time() - started:.2f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
