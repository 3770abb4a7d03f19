"""The Boot Loader Specification as systemd-boot shows it: loader.conf, entry files, unified kernel images.

- UAPI Group, "The Boot Loader Specification":
  https://uapi-group.org/specifications/specs/boot_loader_specification/
- systemd-boot(7), loader.conf(5), bootctl(1)

The configuration is loader.conf, a directory of entries, or one of them: each stands for the whole
menu.  What `bootctl list` prints of it is the menu; what systemd-boot itself would pass over stays in
it with a warning and is not chosen by itself.  docs/dialects/bls.md tells what is done how.
"""

from __future__ import annotations

from pybootcfg.dialects.base import Machine, Settings
from pybootcfg.dialects.bls import loader_conf, order, places, type1, type2
from pybootcfg.dialects.bls.candidate import Candidate
from pybootcfg.dialects.bls.loader_conf import LoaderConf
from pybootcfg.menu import FileRef, Menu

__all__ = ["interpret"]

#: what EFI calls the processors, by GRUB's names of them
_ARCHITECTURES = {"x86_64": "x64", "i386": "ia32", "arm64": "aa64", "arm": "arm", "riscv64": "riscv64"}


def interpret(machine: Machine, config: FileRef, settings: Settings) -> Menu:
    """Return the menu that systemd-boot would show.

    Files that cannot be read or make no sense are passed over, with a warning of the menu.  Raises
    LimitExceeded when there are more of them than any menu has.
    """
    warnings: list[str] = []
    roots = places.find(machine, config)
    conf = loader_conf.read(machine, roots, warnings)
    cpu = settings.variables.get("grub_cpu", "x86_64")
    candidates: list[Candidate] = []
    for root in roots:
        candidates += type1.read(machine, root, _ARCHITECTURES.get(cpu, cpu), warnings)
        candidates += type2.read(machine, root, warnings)
    candidates = order.titled(order.ordered(candidates))
    defaults = _defaults(candidates, conf, warnings)
    return Menu(
        "bls",
        config,
        tuple(candidate.entry for candidate in candidates),
        defaults,
        conf.timeout,
        conf.hidden,
        tuple(warnings),
        superusers=None if conf.editor else (),
    )


def _defaults(candidates: list[Candidate], conf: LoaderConf, warnings: list[str]) -> tuple[str, ...]:
    """Return the number of the entry that boots, as a wish; nothing when it is the first anyway."""
    bootable = [index for index, one in enumerate(candidates) if not one.passed_over]
    # Where nothing can be found, as when entries come without their kernels, all are taken as sound.
    bootable = bootable or list(range(len(candidates)))
    if conf.saved:
        warnings.append("the default is the last entry booted (@saved), which only the firmware knows")
    elif conf.default:
        for index in bootable:
            if candidates[index].matches(conf.default):
                return (str(index),)
        warnings.append(f"no entry is called {conf.default}, the default of loader.conf")
    return (str(bootable[0]),) if bootable and bootable[0] else ()
