"""Manual edits of a mask, one by one: what is drawn, and what is done to a whole mask."""

from __future__ import annotations

import base64
import binascii
import functools
import math
import zlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_xfelsort.core.errors import SettingsError
from napari_xfelsort.core.masks.canvas import Canvas

Points = tuple[tuple[float, float], ...]
#: More than anybody draws; a file that claims more is damaged.
_MAX_POINTS = 1_000_000
#: Wider by this share, so that rounding leaves no pixel out that lies just at the edge.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Edit:
    """One edit; `change` says what it does to the bad pixels."""

    kind: ClassVar[str] = ""

    def change(self, bad: NDArray[np.bool_], canvas: Canvas) -> NDArray[np.bool_]:
        """Bad pixels after the edit, given those before it; raw shape."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Adding(Edit):
    """Makes pixels bad, or good again."""

    def change(self, bad: NDArray[np.bool_], canvas: Canvas) -> NDArray[np.bool_]:
        """Bad pixels after the edit, given those before it; raw shape."""
        found = self.pixels(canvas)
        return bad & ~found if self.erases else bad | found

    @property
    def erases(self) -> bool:
        """Whether pixels become good."""
        return bool(getattr(self, "erase", False))

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """The pixels meant; raw shape."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Drawn(_Adding):
    """A shape: laboratory (x, y) in m, or (fs, ss) in raw pixels without a geometry."""

    points: Points
    erase: bool = False
    _least: ClassVar[int] = 3
    _most: ClassVar[int] = _MAX_POINTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _points(self.points, self.kind))
        if not self._least <= len(self.points) <= self._most:
            raise SettingsError(f"A {self.kind} cannot have {len(self.points)} points.")

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """Pixels whose centres are inside."""
        return canvas.inside(np.array(self.points))


@dataclass(frozen=True)
class Polygon(_Drawn):
    """What a polygon of three corners or more encloses."""

    kind: ClassVar[str] = "polygon"


@dataclass(frozen=True)
class Rectangle(_Drawn):
    """A rectangle by its four corners in order; it may be turned."""

    kind: ClassVar[str] = "rectangle"
    _least: ClassVar[int] = 4
    _most: ClassVar[int] = 4


@dataclass(frozen=True)
class Ellipse(_Drawn):
    """The ellipse in a rectangle of four corners in order; it may be turned."""

    kind: ClassVar[str] = "ellipse"
    _least: ClassVar[int] = 4
    _most: ClassVar[int] = 4

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """Pixels whose centres are inside."""
        box = np.array(self.points)
        centre, along, across = box.mean(axis=0), (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
        area = along[0] * across[1] - along[1] * across[0]
        if area == 0:
            return np.zeros(canvas.raw_shape, bool)

        def inside(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
            x, y = x - centre[0], y - centre[1]
            # In units of the half axes, which may be next to nothing, it is a circle.
            with np.errstate(over="ignore", invalid="ignore"):
                u = (x * across[1] - y * across[0]) / area
                v = (y * along[0] - x * along[1]) / area
                return np.asarray(u * u + v * v < 1)

        return canvas.within([(box.min(axis=0), box.max(axis=0), inside)])


@dataclass(frozen=True)
class Line(_Drawn):
    """What lies within half a width of a line or path; ends are round."""

    width: float = 0.0
    kind: ClassVar[str] = "line"
    _least: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "width", _number(self.width, f"The width of a {self.kind}"))
        if not self.width > 0:
            raise SettingsError(f"The width of a {self.kind} is {self.width}; it must be above 0.")

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """Pixels whose centres are inside."""
        points, reach = np.array(self.points), self.width / 2 * (1 + _ROUNDING)
        steps = zip(points, points[min(1, len(points) - 1) :], strict=False)
        return canvas.within(
            (
                np.minimum(first, last) - reach,
                np.maximum(first, last) + reach,
                functools.partial(_near_line, first=first, last=last, reach=reach),
            )
            for first, last in steps
        )


@dataclass(frozen=True)
class Paint(Line):
    """A stroke of a round brush; pixels that the picture shows at its points are hit too."""

    kind: ClassVar[str] = "stroke"
    _least: ClassVar[int] = 1

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """Pixels whose centres are inside, and those at the points."""
        found = super().pixels(canvas)
        for x, y in self.points:
            at = canvas.pixel_at(x, y)
            if at is not None:
                found[at] = True
        return found


@dataclass(frozen=True)
class Pixels(_Adding):
    """Single raw pixels, numbered through the raw frame in C order."""

    numbers: tuple[int, ...]
    erase: bool = False
    kind: ClassVar[str] = "pixels"

    def __post_init__(self) -> None:
        numbers = np.asarray(self.numbers)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise SettingsError("Pixels are given by whole numbers.")
        object.__setattr__(self, "numbers", tuple(np.unique(numbers).astype(int).tolist()))

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """The pixels meant; raw shape."""
        found = np.zeros(math.prod(canvas.raw_shape), bool)
        numbers = np.array(self.numbers, np.int64)
        if numbers.size and not 0 <= numbers[0] <= numbers[-1] < found.size:
            raise SettingsError(
                f"An edit names pixel {numbers[-1] if numbers[0] >= 0 else numbers[0]}, but "
                f"frames of {canvas.raw_shape} have {found.size}."
            )
        found[numbers] = True
        return found.reshape(canvas.raw_shape)


@dataclass(frozen=True)
class Threshold(_Adding):
    """Pixels of an image from ``low`` to ``high``, both included; None has no limit.

    With ``meant`` it is done without the image: see `kept`.
    """

    image: str
    low: float | None = None
    high: float | None = None
    erase: bool = False
    meant: str | None = None
    kind: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _number(value, "A threshold"))
        if self.low is None and self.high is None:
            raise SettingsError("A threshold needs a lowest value, a highest, or both.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise SettingsError(f"The range of values {self.low} to {self.high} is empty.")
        if self.meant is not None and not isinstance(self.meant, str):
            raise SettingsError("The pixels that a threshold meant are given as text.")

    def kept(self, canvas: Canvas) -> Threshold:
        """The same, with the pixels that it means now: it needs the image no more.

        Raises
        ------
        SettingsError
            If the image is not there, or of another shape.
        """
        return replace(self, meant=_packed(replace(self, meant=None).pixels(canvas)))

    def pixels(self, canvas: Canvas) -> NDArray[np.bool_]:
        """The pixels meant; those that are not a number are not."""
        if self.meant is not None:
            return _unpacked(self.meant, canvas.raw_shape)
        image = canvas.images.get(self.image)
        if image is None:
            raise SettingsError(
                f"The threshold needs the image {self.image!r}, which is not here."
            )
        values = np.asarray(image)
        if values.shape != canvas.raw_shape:
            raise SettingsError(
                f"The image {self.image!r} is of {values.shape}, the mask of {canvas.raw_shape}."
            )
        found = ~np.isnan(values)
        if self.low is not None:
            found &= values >= self.low
        if self.high is not None:
            found &= values <= self.high
        return found


@dataclass(frozen=True)
class _Tiled(Edit):
    """Done to each panel or module by itself, never across their borders."""

    within: str = "panel"

    def __post_init__(self) -> None:
        if self.within not in ("panel", "module"):
            raise SettingsError(f"An edit is done within panel or module, not {self.within!r}.")

    def change(self, bad: NDArray[np.bool_], canvas: Canvas) -> NDArray[np.bool_]:
        """Bad pixels after the edit, given those before it; raw shape."""
        result = bad.copy()
        for tile in canvas.tiles(self.within).values():
            result[tile] = self.tile_change(bad[tile])
        return result

    def tile_change(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for one panel or module, shape (ss, fs)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Grow(_Tiled):
    """Bad pixels grow by ``n`` pixels along rows and columns, or ``square`` with corners."""

    n: int = 1
    square: bool = False
    kind: ClassVar[str] = "grow"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.n, int | np.integer) and not isinstance(self.n, bool)
        if not whole or not 1 <= self.n <= 1_000:
            raise SettingsError(f"A mask can {self.kind} by 1 to 1000 pixels, not by {self.n!r}.")

    def tile_change(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for one panel or module, shape (ss, fs)."""
        return _grown(bad, int(self.n), self.square)


@dataclass(frozen=True)
class Shrink(Grow):
    """Bad pixels within ``n`` of a good one become good; borders of panels are no good ones."""

    kind: ClassVar[str] = "shrink"

    def tile_change(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for one panel or module, shape (ss, fs)."""
        return ~_grown(~bad, int(self.n), self.square)


@dataclass(frozen=True)
class Invert(_Tiled):
    """Bad pixels become good and good ones bad; those in no panel stay as they are."""

    kind: ClassVar[str] = "invert"

    def tile_change(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for one panel or module, shape (ss, fs)."""
        return ~bad


@dataclass(frozen=True)
class Mirror(_Tiled):
    """Adds the mirror image of each panel's bad pixels, or of ``source`` to all like it.

    Along ``ss`` rows change places, along ``fs`` columns, along ``both`` all, and ``none``
    copies ``source`` as it is.
    """

    along: str = "fs"
    source: str | None = None
    kind: ClassVar[str] = "mirror"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.along not in ("fs", "ss", "both", "none"):
            raise SettingsError(f"Mirrored is along fs, ss, both or none, not {self.along!r}.")
        if self.along == "none" and self.source is None:
            raise SettingsError("To copy a panel without mirroring it, name the panel.")

    def change(self, bad: NDArray[np.bool_], canvas: Canvas) -> NDArray[np.bool_]:
        """Bad pixels after the edit, given those before it; raw shape."""
        if self.source is None:
            return super().change(bad, canvas)
        tiles = canvas.tiles(self.within)
        if self.source not in tiles:
            raise SettingsError(f"There is no {self.within} {self.source!r} to be mirrored.")
        image = self._mirrored(bad[tiles[self.source]])
        result = bad.copy()
        for name, tile in tiles.items():
            if name != self.source and result[tile].shape == image.shape:
                result[tile] |= image
        return result

    def tile_change(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same for one panel or module, shape (ss, fs)."""
        return bad | self._mirrored(bad)

    def _mirrored(self, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = -1 if self.along in ("ss", "both") else 1
        columns = -1 if self.along in ("fs", "both") else 1
        return bad[::rows, ::columns]


def _near_line(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    first: NDArray[np.float64],
    last: NDArray[np.float64],
    reach: float,
) -> NDArray[np.bool_]:
    """Points that are no farther from a straight line than this."""
    step = last - first
    length = float(step @ step)
    x, y = x - first[0], y - first[1]
    if length > 0:
        with np.errstate(over="ignore"):  # a length may be next to nothing
            along = np.clip((x * step[0] + y * step[1]) / length, 0, 1)
        x, y = x - along * step[0], y - along * step[1]
    return np.asarray(x * x + y * y <= reach * reach)


def _grown(bad: NDArray[np.bool_], n: int, square: bool) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation, generate_binary_structure

    shape = generate_binary_structure(2, 2 if square else 1)
    return np.asarray(binary_dilation(bad, shape, iterations=n), bool)


def _packed(pixels: NDArray[np.bool_]) -> str:
    """Pixels as text, one bit each."""
    return base64.b64encode(zlib.compress(np.packbits(pixels).tobytes())).decode("ascii")


def _unpacked(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    n = math.prod(shape)
    wanted = -(-n // 8)
    try:
        # No more than is wanted: a damaged text may claim to hold anything.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), wanted + 1)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise SettingsError("The pixels that a threshold meant are damaged.") from error
    if len(data) != wanted:
        raise SettingsError(f"The pixels that a threshold meant are not those of {shape}.")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=n)
    return bits.astype(bool).reshape(shape)


def _points(points: ArrayLike, kind: str) -> Points:
    try:
        array = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) > _MAX_POINTS:
        raise SettingsError(f"The points of a {kind} are pairs (x, y).")
    if not np.isfinite(array).all():
        raise SettingsError(f"A point of a {kind} is not a number.")
    return tuple((x, y) for x, y in array.tolist())


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise SettingsError(f"{what} is {value!r} but must be a number.")
    number = float(value)
    if not math.isfinite(number):
        raise SettingsError(f"{what} is {value!r} but must be finite.")
    return number
