"""A grid cut into blocks of one shape, each a run of points in row-major order and one chunk of a Zarr array."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Blocks (1, …, 1, c, n_{j+1}, …, n_k) of a grid (n_1, …, n_k): the last axes whole, and one that is cut.

    So a block is a run of points, whatever their number, and a box of the grid. The last one along the axis that is
    cut may be shorter.

    Attributes:
        shape: lengths of the grid's axes.
        box: lengths of a whole block along each.
    """

    shape: tuple[int, ...]
    box: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], points: int, single: int = 0) -> "Blocks":
        """The largest blocks of at most ``points`` points, of one point along the first ``single`` axes."""
        box, whole = [1] * len(shape), 1
        for axis in reversed(range(single, len(shape))):
            box[axis] = min(shape[axis], max(points // whole, 1))
            if box[axis] < shape[axis]:
                break
            whole *= shape[axis]
        return cls(tuple(shape), tuple(box))

    @property
    def points(self) -> int:
        """Points of a whole block."""
        return math.prod(self.box)

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-length // size) for length, size in zip(self.shape, self.box, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def place(self, index: int) -> tuple[int, ...]:
        """Which block it is along each axis."""
        found = []
        for count in reversed(self.counts):
            index, rest = divmod(index, count)
            found.append(rest)
        return tuple(reversed(found))

    def index(self, place: tuple[int, ...]) -> int:
        """The number of the block at a place."""
        found = 0
        for at, count in zip(place, self.counts, strict=True):
            found = found * count + at
        return found

    def box_at(self, index: int) -> tuple[slice, ...]:
        """Its points along each axis."""
        starts = (at * size for at, size in zip(self.place(index), self.box, strict=True))
        ends = zip(starts, self.box, self.shape, strict=True)
        return tuple(slice(start, min(start + size, length)) for start, size, length in ends)

    def start(self, index: int) -> int:
        """The number of its first point, in row-major order."""
        found = 0
        for one, length in zip(self.box_at(index), self.shape, strict=True):
            found = found * length + one.start
        return found
