"""Pictures: read, made smaller or larger and upright, in sRGB, within a memory that is known beforehand.

The whole picture is unpacked once, as it is stored. Everything else happens in strips and tiles of it: colours,
transparency and each step of resizing would otherwise hold a copy of all of its pixels.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, BinaryIO, Literal

from PIL import ExifTags, Image

from taskledger_sdk.errors import PermanentError
from tasks.colours import Colours

Box = tuple[float, float, float, float]
"""Left, top, right, bottom; in pixels."""

MAX_PIXELS = 50_000_000  # of the original
MAX_BYTES = 200_000_000  # of the original unpacked, with what its decoder keeps beside it: 50 million pixels of RGBA
TILE_PIXELS = 1_000_000
READ = ("JPEG", "PNG", "WEBP", "GIF")  # formats that browsers and cameras make; the rest of Pillow's readers stay shut
BYTES_A_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # in Pillow's memory; every other mode takes 4
WEBP_DECODER_BYTES = 12  # two canvases and the frame, each as RGBA
GAP = 3.0  # averaging goes no nearer to the wanted size than this factor, so that the filter decides how it looks
LANCZOS_PIXELS = 3  # how far the filter looks to each side, in pixels of the smaller picture
# What Pillow raises for files that are no pictures, or damaged ones.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow refuses what has more than twice as many before it makes room for anything, and warns of the rest, which is
# refused below.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The size of the copy, in pixels, and how the original fits into it."""

    width: int
    height: int
    fit: Literal["contain", "cover", "stretch"]

    def turned(self) -> Wanted:
        """For a picture that lies on its side."""
        return Wanted(width=self.height, height=self.width, fit=self.fit)

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """The size of the copy of a picture of this size: at least one pixel a side, however thin it is."""
        if self.fit != "contain" or width * self.height == height * self.width:
            return self.width, self.height
        if width * self.height > height * self.width:
            return self.width, max(1, round(height / width * self.width))
        return max(1, round(width / height * self.height)), self.height

    def part_of(self, width: int, height: int) -> Box:
        """The part of a picture of this size that is shown: all of it, or its middle in the wanted shape."""
        if self.fit != "cover":
            return 0.0, 0.0, float(width), float(height)
        shown_width = min(float(width), height * self.width / self.height)
        shown_height = min(float(height), width * self.height / self.width)
        left, top = (width - shown_width) / 2, (height - shown_height) / 2
        return left, top, left + shown_width, top + shown_height


def resized(stream: BinaryIO, wanted: Wanted, progress: Callable[[str], None]) -> Image.Image:
    """A copy in RGB, or RGBA where the original has transparency; upright, and with nothing beside its pixels.

    Raises PermanentError for what is no picture, and for one that would take more memory than MAX_BYTES.
    """
    try:
        with Image.open(stream, formats=READ) as opened:
            _check_pixels(opened)
            original = opened.size
            # A JPEG is then unpacked at a fraction of its size.
            opened.draft(None, (2 * max(wanted.width, wanted.height),) * 2)
            _check_bytes(opened, original)
            colours = Colours(opened)
            opened.load()
            progress(f"read {opened.format}, {original[0]} x {original[1]}")
            turn = UPRIGHT.get(_orientation(opened))
            lies = turn in (UPRIGHT[5], UPRIGHT[6], UPRIGHT[7], UPRIGHT[8])
            fitted = wanted.turned() if lies else wanted
            small = _scaled(opened, fitted.size_for(*original), fitted.part_of(*opened.size), colours.plain)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PermanentError(f"the picture has more than {MAX_PIXELS} pixels, which is the most that is read") from None
    except UNREADABLE as error:
        raise PermanentError(f"the artifact is no picture that can be read: {error}") from error
    upright = small if turn is None else small.transpose(turn)
    return upright.convert("RGBA") if upright.mode == "RGBa" else upright


def _check_pixels(opened: Image.Image) -> None:
    pixels = opened.width * opened.height
    if pixels > MAX_PIXELS:
        raise PermanentError(f"the picture has {pixels} pixels; at most {MAX_PIXELS} are read")


def _check_bytes(opened: Any, original: tuple[int, int]) -> None:
    """Compare with MAX_BYTES what unpacking will take: the pixels, and what the decoder holds until its end."""
    wanted = opened.width * opened.height * BYTES_A_PIXEL.get(opened.mode, 4)
    pixels = original[0] * original[1]
    if opened.format == "WEBP":
        wanted += pixels * WEBP_DECODER_BYTES
    elif opened.format in ("JPEG", "MPO") and _has_several_scans(opened):
        # libjpeg keeps a coefficient of 2 bytes for each sample until the last scan is read.
        widest, highest = max(layer[1] for layer in opened.layer), max(layer[2] for layer in opened.layer)
        wanted += round(pixels * sum(layer[1] * layer[2] for layer in opened.layer) / (widest * highest) * 2)
    if wanted > MAX_BYTES:
        raise PermanentError(
            f"the picture would take {wanted / 1e6:.0f} MB of memory ({original[0]} x {original[1]}, {opened.format}, "
            f"{opened.mode}); at most {MAX_BYTES / 1e6:.0f} MB are given to one: make it smaller, or a baseline JPEG"
        )


def _has_several_scans(opened: Any) -> bool:
    """Whether a JPEG is progressive, or its first scan leaves out a colour; Pillow has read up to where that begins."""
    if "progressive" in opened.info:
        return True
    place = opened.fp.tell()
    head = opened.fp.read(3)
    opened.fp.seek(place)
    return len(head) == 3 and head[2] != len(opened.layer)


def _orientation(opened: Image.Image) -> int:
    try:
        return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except (*UNREADABLE, TypeError, KeyError):  # broken metadata say nothing about the pixels
        return 1


Plain = Callable[[Image.Image], Image.Image]


def _scaled(picture: Image.Image, size: tuple[int, int], part: Box, plain: Plain) -> Image.Image:
    """The part of a picture in this size, in its plain colours: averaged first if much smaller, then filtered."""
    left, top, right, bottom = part
    across, down = (max(1, int(length / GAP)) for length in ((right - left) / size[0], (bottom - top) / size[1]))
    if across > 1 or down > 1:
        picture = _averaged(picture, across, down, plain)
        part = (left / across, top / down, right / across, bottom / down)
        return _filtered(picture, size, part, lambda tile: tile)
    return _filtered(picture, size, part, plain)


def _empty(picture: Image.Image, size: tuple[int, int], plain: Plain) -> Image.Image:
    """Room for a picture of this size, in the mode that the plain colours of this one have."""
    return Image.new(plain(picture.crop((0, 0, 1, 1))).mode, size)


def _averaged(picture: Image.Image, across: int, down: int, plain: Plain) -> Image.Image:
    """Each block of so many pixels across and down becomes one."""
    size = (ceil(picture.width / across), ceil(picture.height / down))
    step_x = across * max(1, 2048 // across)
    step_y = down * max(1, TILE_PIXELS // (min(step_x, picture.width) * down))
    made = _empty(picture, size, plain)
    for y in range(0, picture.height, step_y):
        for x in range(0, picture.width, step_x):
            box = (x, y, min(x + step_x, picture.width), min(y + step_y, picture.height))
            tile = plain(picture.crop(box)).reduce((across, down))
            made.paste(tile, (x // across, y // down))
    return made


def _filtered(picture: Image.Image, size: tuple[int, int], part: Box, plain: Plain) -> Image.Image:
    """Resized by Lanczos' filter, strip by strip; each has the rows beyond it that the filter looks at."""
    left, top, right, bottom = part
    scale_x, scale_y = (right - left) / size[0], (bottom - top) / size[1]
    beyond_x, beyond_y = (ceil(LANCZOS_PIXELS * max(1.0, scale)) + 1 for scale in (scale_x, scale_y))
    first_x, last_x = max(0, floor(left) - beyond_x), min(picture.width, ceil(right) + beyond_x)
    rows_read = TILE_PIXELS / (last_x - first_x) - 2 * beyond_y
    rows = max(1, min(int(rows_read / scale_y), TILE_PIXELS // size[0]))
    made = _empty(picture, size, plain)
    for row in range(0, size[1], rows):
        end = min(row + rows, size[1])
        begin_y, end_y = top + row * scale_y, top + end * scale_y
        first_y, last_y = max(0, floor(begin_y) - beyond_y), min(picture.height, ceil(end_y) + beyond_y)
        strip = plain(picture.crop((first_x, first_y, last_x, last_y)))
        box = (
            left - first_x,
            begin_y - first_y,
            min(right - first_x, float(strip.width)),
            min(end_y - first_y, float(strip.height)),
        )
        piece = strip.resize((size[0], end - row), Image.Resampling.LANCZOS, box=box)
        made.paste(piece, (0, row))
    return made
