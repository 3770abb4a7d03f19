"""GRUB's variables: contexts above one another, of which an inner one sees what was exported."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.values import NamedTuple


class Snapshot(NamedTuple):
    """The present context as it was."""

    values: dict[str, str]
    exported: frozenset[str]


class Environment:
    """The variables of the present context and of those around it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.exported: set[str] = set()
        self._outer: list[tuple[dict[str, str], set[str]]] = []

    def get(self, name: str) -> str | None:
        """Return a variable's value, None when it is not set."""
        return self.values.get(name)

    def set(self, name: str, value: str) -> None:
        """Set a variable; raises LimitExceeded when it grows out of all proportion."""
        if name == "root" and value.startswith("(") and value.endswith(")"):
            value = value[1:-1]
        if len(value) > limits.GRUB_VARIABLE.value:
            limits.GRUB_VARIABLE.check(len(value), f"${name[:40]}")
        if name not in self.values:
            limits.GRUB_VARIABLES.check(len(self.values) + 1)
        self.values[name] = value

    def unset(self, name: str) -> None:
        """Forget a variable, and that it was exported."""
        self.values.pop(name, None)
        self.exported.discard(name)

    def export(self, name: str) -> None:
        """Let inner contexts see a variable; one that is not set becomes empty."""
        self.values.setdefault(name, "")
        self.exported.add(name)

    def open(self, *, everything: bool = False) -> None:
        """Enter a context that sees what is exported, or everything."""
        self._outer.append((self.values, self.exported))
        seen = self.values.keys() if everything else self.exported
        self.values = {name: self.values[name] for name in self.values if name in seen}
        self.exported = set(self.values)

    def close(self) -> None:
        """Leave the context; nothing of it stays."""
        self.values, self.exported = self._outer.pop()

    def snapshot(self) -> Snapshot:
        """Return what `restore` needs to undo changes to the present context."""
        return Snapshot(dict(self.values), frozenset(self.exported))

    def restore(self, snapshot: Snapshot) -> None:
        """Undo the changes since `snapshot`, which may be used once only."""
        self.values, self.exported = snapshot.values, set(snapshot.exported)
