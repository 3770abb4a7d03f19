"""The layers of the sandbox, in their order.

`confine` takes away, layer by layer, everything that a parser does not need.  The layers do not
depend on one another: each alone already keeps a hijacked reader from the host's files, processes or
network, and one that this kernel or this user does not have is named, not passed over in silence.
"""

from __future__ import annotations

from pybootcfg.cli.sandbox import identity, landlock, namespaces, process, rlimits, seccomp
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pybootcfg.cli.sandbox.settings import Settings


class Layer(NamedTuple):
    """One layer: its name for people, and the function that applies it or raises OSError."""

    name: str
    apply: Callable[[Settings], None]


#: in the order in which they are applied: seccomp last, for it forbids what the others need
LAYERS = (
    Layer("resource limits", rlimits.apply),
    Layer("process attributes", process.apply),
    Layer("namespaces", namespaces.apply),
    Layer("unprivileged user", identity.apply),
    Layer("process attributes after the change of user", process.apply),
    Layer("Landlock", landlock.apply),
    Layer("seccomp", seccomp.apply),
)


def confine(settings: Settings) -> list[str]:
    """Apply every layer to this process, for good; return the missing ones, each with its reason.

    Raises UsageError when the user that the caller asked for cannot be had.
    """
    missing = []
    for layer in LAYERS:
        try:
            layer.apply(settings)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            missing.append(f"{layer.name} ({where}{error.strerror or error})")
    return missing
