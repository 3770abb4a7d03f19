"""One target under libFuzzer: runs in a process of its own, goes on behind faults, and keeps them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

#: modules that all bytes go through: how often tells nothing, and counting takes a third of the time
UNSEEN = (
    *("checksums", "errors", "kind", "limits", "schema", "source", "tracing", "values", "variable"),
    *(f"filesystems.zfs.{name}" for name in ("compression", "edonr", "skein")),
)


def main(name: str, work: Path, seconds: int) -> None:
    """Fuzz one target; ends this process."""
    import atheris

    with atheris.instrument_imports(include=["pybootcfg"], exclude=[f"pybootcfg.{name}" for name in UNSEEN]):
        registry = _import_everything()
    import contract

    target = registry.find(name)
    target.prepare()
    corpus, findings = work / "corpus" / name, work / "findings" / name
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(target.starts()):
        (corpus / f"start-{number:04}").write_bytes(start)

    slowest = 0.0

    def one(data: bytes) -> None:
        nonlocal slowest
        outcome = contract.measured(lambda: target.run(data))
        if outcome.seconds > max(slowest, 1.0):
            slowest = outcome.seconds
            _keep(findings, f"slowest-{outcome.seconds:.0f}s", name, target.document(data), outcome)
        if outcome.fault:
            _keep(findings, outcome.fault, name, target.document(data), outcome)

    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        "-timeout=3600",  # contract.py has its own clock, of processor time
        "-rss_limit_mb=0",
        "-print_final_stats=1",
        "-reload=0",
        f"-artifact_prefix={work}/",
        "-len_control=0" if target.structured else "-len_control=100",
    ]
    if words := [word for word in target.dictionary() if word]:
        dictionary = work / f"{name}.dict"
        dictionary.write_text("".join(f'"{_quoted(word)}"\n' for word in words))
        arguments.append(f"-dict={dictionary}")
    mutator = {}
    if target.structured:
        from mutation import mutate

        mutator = {"custom_mutator": mutate}
    contract.limit_memory()
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one, **mutator)
    atheris.Fuzz()


def _import_everything() -> ModuleType:
    """Import the whole package, so that all of it is instrumented, and the targets."""
    import importlib
    import pkgutil

    import pybootcfg

    for module in pkgutil.walk_packages(pybootcfg.__path__, "pybootcfg."):
        if not module.name.startswith("pybootcfg.prepared."):
            importlib.import_module(module.name)
    return importlib.import_module("registry")


def _keep(folder: Path, fault: str, target: str, document: dict[str, object], outcome: object) -> None:
    """Keep an input under the name of its fault, unless there is one already."""
    place = folder / f"{fault}.json"
    if not place.exists():
        document = {"fault": fault, "target": target, **document}
        place.write_text(json.dumps(document, indent=1) + "\n")
        place.with_suffix(".txt").write_text("\n".join(map(str, outcome)))  # type: ignore[call-overload]
        print(f"FOUND {target}: {fault}", file=sys.stderr, flush=True)


def _quoted(word: bytes) -> str:
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word
    )
