"""Wildcards in words, against the guest's files and devices.

A word is expanded when it begins with `/`, `(` or `*`, one component of the path after the other;
`*` and `?` are all there is.  A backslash protects what follows it.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.grub2.files import Files
from pybootcfg.dialects.grub2.words import has_wildcard, unescape


class Wildcards:
    """Expands words against one guest."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._work = limits.GRUB_EXPANSION.budget()

    def expand(self, word: str) -> list[str]:
        """Return what matches, sorted in each directory; nothing when nothing does."""
        head, *components = _components(word)
        if has_wildcard(head):
            found = self._devices(head)
        elif head or not components:
            found = [unescape(head)]
        else:
            found = [""]
        expanded = False
        for index, component in enumerate(components):
            if has_wildcard(component):
                found = [
                    f"{folder}/{name}"
                    for folder in found
                    for name in self._matching(self._files.names(f"{folder}/"), component)
                ]
                expanded = True
            else:
                found = [f"{folder}/{unescape(component)}" for folder in found]
                if (expanded or has_wildcard(head)) and not has_wildcard("".join(components[index + 1 :])):
                    found = [path for path in found if not component or self._files.exists(path)]
        return found

    def _devices(self, pattern: str) -> list[str]:
        names = [f"({name})" for name in self._files.devices()]
        if not pattern.startswith("("):
            names = [name for name in names if "," not in name]
        return self._matching(names, pattern)

    def _matching(self, names: list[str], pattern: str) -> list[str]:
        self._work.spend(len(pattern) * (1 + len(names)))
        return [name for name in names if matches(name, pattern)]


def _components(word: str) -> list[str]:
    """Split at the slashes; what precedes the first one is empty or a device."""
    return word.split("/")


def matches(name: str, pattern: str) -> bool:
    r"""Match a name against a pattern of `*`, `?` and `\x`, in time linear in each star."""
    atoms: list[str] = []  # one per character; wildcards as they are, anything else after a backslash
    chars = iter(pattern)
    for char in chars:
        if char in "*?":
            atoms.append(char)
        else:
            atoms.append("\\" + (next(chars, "") if char == "\\" else char))
    position = atom = 0
    star, resume = -1, 0
    while position < len(name):
        if atom < len(atoms) and atoms[atom] == "*":
            star, resume = atom, position
            atom += 1
        elif atom < len(atoms) and atoms[atom] in ("?", f"\\{name[position]}"):
            atom += 1
            position += 1
        elif star >= 0:
            resume += 1
            position, atom = resume, star + 1
        else:
            return False
    return all(rest == "*" for rest in atoms[atom:])
