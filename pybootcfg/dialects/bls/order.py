"""The order of entries in the menu, and titles that tell them apart.

UAPI Group, "The Boot Loader Specification", section "Sorting".
"""

from __future__ import annotations

from collections import Counter

from pybootcfg import versions
from pybootcfg.dialects.bls.candidate import Candidate
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def ordered(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the entries as the menu shows them, the most wanted first.

    Sorting is stable, so it goes from the criterion that counts least to the one that counts most.
    """
    entries = sorted(candidates, key=lambda one: (one.profile, *_tries(one)))
    entries.sort(key=lambda one: versions.systemd(_without_profile(one)), reverse=True)
    entries.sort(key=lambda one: versions.systemd(one.version if one.sort_key else ""), reverse=True)
    entries.sort(key=lambda one: one.machine_id if one.sort_key else "")
    entries.sort(key=lambda one: (not one.sort_key, _encode(one.sort_key)))
    entries.sort(key=lambda one: one.counter is not None and not one.counter.left)
    return entries


def _tries(candidate: Candidate) -> tuple[int, int]:
    counter = candidate.counter
    return (-counter.left, counter.done) if counter else (0, 0)


def _without_profile(candidate: Candidate) -> str:
    return candidate.entry.id.rpartition("@")[0] if candidate.profile else candidate.entry.id


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def titled(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Add to titles that occur more than once the version, then the machine id, then the id."""
    titles = [candidate.entry.title for candidate in candidates]
    further: tuple[Callable[[Candidate], str], ...] = (
        lambda one: one.version,
        lambda one: one.machine_id,
        lambda one: one.entry.id,
    )
    for more in further:
        counts = Counter(titles)
        titles = [
            f"{title} ({more(candidate)})" if counts[title] > 1 and more(candidate) else title
            for title, candidate in zip(titles, candidates, strict=True)
        ]
    return [
        candidate._replace(entry=candidate.entry._replace(title=title))
        for title, candidate in zip(titles, candidates, strict=True)
    ]
