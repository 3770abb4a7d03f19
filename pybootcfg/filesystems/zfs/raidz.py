"""RAID-Z: stripes of variable width with one to three parity columns, also after an expansion.

Specification: the head comments of OpenZFS module/zfs/vdev_raidz.c.  A block of s sectors takes rows of
`width` sectors, the first `parity` of a row being P, Q, R over the others: sums in GF(2^8) modulo 0x11d
of the data times 1, 2, 4 to the power of the column, counted from the last.  A row's sectors lie on
consecutive children.  Data goes down the columns, not along the rows.
"""

from __future__ import annotations

import functools
import itertools

from pybootcfg import limits
from pybootcfg.filesystems.zfs.vdev import Copy, Vdev
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SWITCH = 1 << 20  # with single parity, P and the first data column change places every MiB
BOOT_SIZE = 3670016  # the boot area serves as scratch space at the start of an expansion


class Expansion(NamedTuple):
    """How far an expansion has come: rows that end after `offset` bytes still lie at the old width."""

    offset: int
    scratch: bool  #: rows before `offset` are in the boot area


class Column(NamedTuple):
    """One column of a stripe: sectors at one offset each of one child."""

    child: int
    offset: int
    size: int


class Stripe(NamedTuple):
    """The columns of one row or of several rows of the same width; parity first."""

    columns: tuple[Column, ...]


class Raidz(Vdev):
    """A raidz1, raidz2 or raidz3 of any width; children may be missing."""

    def __init__(
        self,
        name: str,
        children: Sequence[Vdev],
        parity: int,
        ashift: int,
        widths: Sequence[tuple[int, int]] = (),
        expansion: Expansion | None = None,
    ) -> None:
        """`widths` are (first txg, width) of blocks written since, oldest first, after expansions."""
        self.name = name
        self.children = list(children)
        self.parity = parity
        self.ashift = ashift
        self.widths = tuple(widths)
        self.expansion = expansion
        self.suspects: tuple[int, ...] = ()  # children that were wrong before
        self.reconstructed = 0  # bytes, on trial

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return all(child.complete for child in self.children)

    def width(self, birth: int) -> int:
        """Return the width of blocks that were written in txg `birth`."""
        width = len(self.children) - len(self.widths) - (self.expansion is not None)
        for txg, later in self.widths:
            if txg <= birth:
                width = later
        return width

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:
        """Yield the data as it stands, then as parity gives it with other columns taken for wrong."""
        sectors = -(-size >> self.ashift)
        width = self.width(birth)
        if width <= self.parity:
            return
        if width != len(self.children):
            stripes = self._rows(offset, sectors, width)
        else:
            stripes = [self._stripe(offset, sectors)]
        read = [[self._column(column, birth) for column in stripe.columns] for stripe in stripes]
        yield from self._attempts(stripes, read, size)

    def _column(self, column: Column, birth: int) -> bytes | None:
        """Return what a child has, None when it has nothing."""
        if not column.size:
            return b""
        found = next(self.children[column.child].copies(column.offset, column.size, birth), None)
        return None if found is None else found.data

    def _stripe(self, offset: int, sectors: int) -> Stripe:
        """Return the columns of a block that was written at the present width: all rows at once."""
        width, parity, ashift = len(self.children), self.parity, self.ashift
        first = offset >> ashift
        rows, remainder = divmod(sectors, width - parity)
        larger = remainder + parity if remainder else 0  # columns with one sector more
        columns = []
        for number in range(width if rows else larger):
            place, child = divmod(first % width + number, width)
            start = (first // width + place) << ashift
            columns.append(Column(child, start, rows + (number < larger) << ashift))
        return Stripe(self._switched(columns, offset))

    def _switched(self, columns: list[Column], offset: int) -> tuple[Column, ...]:
        if self.parity == 1 and offset & SWITCH and len(columns) > 1:
            columns[0], columns[1] = columns[1], columns[0]
        return tuple(columns)

    def _rows(self, offset: int, sectors: int, width: int) -> list[Stripe]:
        """Return the columns of a block row by row, as an expansion moved each sector for itself."""
        parity, ashift = self.parity, self.ashift
        rows, remainder = divmod(sectors, width - parity)
        total = sectors + parity * (rows + bool(remainder))
        larger = remainder + parity if remainder else 0
        count = -(-total // width)
        columns = min(total, width)
        stripes = []
        for row in range(count):
            first = (offset >> ashift) + row * width
            children, shift = len(self.children), 0
            if self.expansion:
                if first + columns > self.expansion.offset >> ashift:
                    children -= 1
                elif self.expansion.scratch:
                    shift = BOOT_SIZE
            line = []
            for number in range(columns):
                place, child = divmod(first + number, children)
                empty = row == count - 1 and larger and number >= larger
                line.append(Column(child, (place << ashift) - shift, 0 if empty else 1 << ashift))
            stripes.append(Stripe(self._switched(line, offset)))
        return stripes

    def _attempts(self, stripes: list[Stripe], read: list[list[bytes | None]], size: int) -> Iterator[Copy]:
        """Yield the data with more and more children taken for wrong, the suspects first."""
        involved = sorted({column.child for stripe in stripes for column in stripe.columns if column.size})
        missing = {
            column.child
            for stripe, row in zip(stripes, read, strict=True)
            for column, data in zip(stripe.columns, row, strict=True)
            if data is None
        }
        doubtful = [child for child in self.suspects if child in involved and child not in missing]
        rest = [child for child in involved if child not in missing and child not in doubtful]
        tried = 0
        for extra in range(max(0, self.parity - len(missing)) + 1):
            for wrong in itertools.combinations(doubtful + rest, extra):
                tried += 1
                self.reconstructed += size if wrong else 0
                if (
                    tried > limits.ZFS_RECONSTRUCTIONS.value
                    or self.reconstructed > limits.ZFS_RECONSTRUCTED.value
                ):
                    return
                data = self._assemble(stripes, read, missing.union(wrong))
                if data is not None:
                    before = self.suspects
                    self.suspects = (*wrong, *(child for child in before if child not in wrong))
                    yield Copy(data[:size], tuple(self.children[child].name for child in wrong))
                    self.suspects = before

    def _assemble(
        self, stripes: list[Stripe], read: list[list[bytes | None]], wrong: set[int]
    ) -> bytes | None:
        """Return the block's sectors with the columns of `wrong` children made from parity."""
        rows: list[list[bytes]] = []
        for stripe, row in zip(stripes, read, strict=True):
            known = [
                None if column.child in wrong and column.size else data
                for column, data in zip(stripe.columns, row, strict=True)
            ]
            data = reconstruct(known, self.parity, [column.size for column in stripe.columns])
            if data is None:
                return None
            rows.append(data)
        if len(rows) == 1:
            return b"".join(rows[0])
        return b"".join(itertools.chain.from_iterable(zip(*rows, strict=True)))


def reconstruct(columns: list[bytes | None], parity: int, sizes: list[int]) -> list[bytes] | None:
    """Return the data columns, the unknown ones (None) solved for; None when parity does not suffice.

    `sizes` are the columns' lengths in bytes; short columns count as if zeros followed.
    """
    data = columns[parity:]
    unknown = [i for i, column in enumerate(data) if column is None]
    if not unknown:
        return [column for column in data if column is not None]
    usable = [i for i, column in enumerate(columns[:parity]) if column is not None]
    if len(usable) < len(unknown):
        return None
    length = sizes[0]
    last = len(data) - 1
    left: list[list[int]] = []  # the equations: coefficients of the unknown columns …
    right: list[int] = []  # … and what their sum is
    for row in usable[: len(unknown)]:
        total = _number(columns[row] or b"")
        for i, column in enumerate(data):
            if column is not None:
                total ^= _number(_times(column, power(row, last - i)))
        left.append([power(row, last - i) for i in unknown])
        right.append(total)
    solved = _solve(left, right, length)
    for i, value in zip(unknown, solved, strict=True):
        data[i] = value.to_bytes(length, "little")[: sizes[parity + i]]
    return [column for column in data if column is not None]


def _solve(left: list[list[int]], right: list[int], length: int) -> list[int]:
    """Solve the equations by elimination; every minor of the matrix is regular for up to 255 columns."""
    count = len(right)
    for pivot in range(count):
        chosen = next(row for row in range(pivot, count) if left[row][pivot])
        left[pivot], left[chosen] = left[chosen], left[pivot]
        right[pivot], right[chosen] = right[chosen], right[pivot]
        factor = inverse(left[pivot][pivot])
        left[pivot] = [multiply(value, factor) for value in left[pivot]]
        right[pivot] = _scaled(right[pivot], factor, length)
        for row in range(count):
            factor = left[row][pivot]
            if row != pivot and factor:
                left[row] = [a ^ multiply(b, factor) for a, b in zip(left[row], left[pivot], strict=True)]
                right[row] ^= _scaled(right[pivot], factor, length)
    return right


# Columns are long integers (sums are exclusive-or) and byte strings (products go by a table).


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _scaled(number: int, factor: int, length: int) -> int:
    return _number(_times(number.to_bytes(length, "little"), factor)) if factor != 1 else number


def _times(data: bytes, factor: int) -> bytes:
    return data.translate(_table(factor)) if factor != 1 else data


@functools.lru_cache(maxsize=256)
def _table(factor: int) -> bytes:
    return bytes(multiply(value, factor) for value in range(256))


def multiply(a: int, b: int) -> int:
    """Return the product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


@functools.lru_cache(maxsize=1024)
def power(row: int, exponent: int) -> int:
    """Return 1, 2 or 4 (of parity P, Q or R) to the given power."""
    result = 1
    for _ in range(exponent % 255):
        result = multiply(result, 1 << row)
    return result


@functools.lru_cache(maxsize=256)
def inverse(value: int) -> int:
    """Return the inverse of a value other than 0."""
    return next(other for other in range(1, 256) if multiply(value, other) == 1)
