"""Name-value lists in XDR, as labels and the pool's configuration hold them.

Specification: formats/zfs_label.py.  Numbers and strings are kept, lists become dictionaries; other types
are passed over, since nothing in a pool's configuration that a reader needs has them.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Value = int | str | bool | tuple[int, ...] | Mapping[str, "Value"] | tuple[Mapping[str, "Value"], ...]
    Config = Mapping[str, Value]

layout = schema.load("zfs_label")


class Pair(NamedTuple):
    """Where a pair lies in the list's bytes, for `inspect`: `depth` 0 is the outermost list."""

    path: str
    offset: int


def decode(data: bytes) -> dict[str, Value]:
    """Return the list that `data` holds with its encoding header.

    Raises ImageError for what is no XDR list, LimitExceeded for lists that are too deep or too long.
    """
    return _Reader(data).whole()


def pairs(data: bytes) -> Iterator[Pair]:
    """Yield every pair of the list in order, those of embedded lists after the pair that holds them."""
    reader = _Reader(data)
    reader.whole()
    yield from reader.seen


class _Reader:
    """One walk over a list; depth, pairs and offsets are checked on the way."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.budget = limits.ZFS_NVPAIRS.budget("nvlist")
        self.seen: list[Pair] = []

    def whole(self) -> dict[str, Value]:
        layout.nvs_header.decode(self.data)
        value, _ = self._list(layout.nvs_header.size, 0, "")
        return value

    def _list(self, at: int, depth: int, path: str) -> tuple[dict[str, Value], int]:
        """Return the list whose head is at `at`, and where it ends."""
        limits.ZFS_NVLIST_DEPTH.check(depth, "nvlist")
        at += layout.nvlist.size
        result: dict[str, Value] = {}
        while True:
            start = at
            size = layout.nvpair_size.decode(self.data, at)
            at += layout.nvpair_size.size
            if not size.encoded_size and not size.decoded_size:
                return result, at
            self.budget.spend()
            name, at = self._text(at)
            self.seen.append(Pair(path + name, start))
            kind = layout.nvpair_type.decode(self.data, at)
            at += layout.nvpair_type.size
            value, end = self._value(kind, at, depth, path + name)
            if value is not None:
                result[name] = value
            at = start + size.encoded_size
            if at < end or at > len(self.data) or size.encoded_size % 4:
                raise ImageError("a pair's size is wrong", offset=start, structure="nvpair")

    def _value(self, kind: tuple[int, int], at: int, depth: int, path: str) -> tuple[Value | None, int]:
        """Return the value at `at` (None for types that are passed over), and where it ends."""
        code, count = kind
        if code == layout.DATA_TYPE_BOOLEAN:
            return True, at
        if code == layout.DATA_TYPE_UINT64:
            return layout.uint64.decode(self.data, at), at + 8
        if code == layout.DATA_TYPE_STRING:
            return self._text(at)
        if code == layout.DATA_TYPE_UINT64_ARRAY:
            limits.ZFS_NVPAIRS.check(count, path)
            start = at + layout.array_length.size  # which says `count` again
            return layout.uint64.array(self.data, count, start), start + 8 * count
        if code == layout.DATA_TYPE_NVLIST:
            return self._list(at, depth + 1, path + ".")
        if code == layout.DATA_TYPE_NVLIST_ARRAY:
            lists = []
            for index in range(limits.ZFS_NVPAIRS.check(count, path)):
                self.budget.spend()
                value, at = self._list(at, depth + 1, f"{path}[{index}].")
                lists.append(value)
            return tuple(lists), at
        return None, at

    def _text(self, at: int) -> tuple[str, int]:
        length = layout.string_length.decode(self.data, at)
        at += 4
        if at + length > len(self.data):
            raise ImageError("a string is longer than its list", offset=at, structure="nvpair")
        text = self.data[at : at + length]
        return text.decode("utf-8", "surrogateescape"), at + length + (-length & 3)


def number(config: Config, name: str, default: int = 0) -> int:
    """Return the number called `name`, or `default` when it is missing or no number."""
    value = config.get(name)
    return value if isinstance(value, int) else default


def text(config: Config, name: str) -> str:
    """Return the string called `name`, empty when it is missing or no string."""
    value = config.get(name)
    return value if isinstance(value, str) else ""


def numbers(config: Config, name: str) -> tuple[int, ...]:
    """Return the array of numbers called `name`, empty when it is missing or no such array."""
    value = config.get(name)
    return tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()


def child(config: Config, name: str) -> Config:
    """Return the list called `name`, empty when it is missing or no list."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def children(config: Config, name: str) -> tuple[Config, ...]:
    """Return the array of lists called `name`, empty when it is missing or no such array."""
    value = config.get(name)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, tuple) else ()
