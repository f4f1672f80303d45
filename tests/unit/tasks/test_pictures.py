"""Copies of pictures look like their originals, in every way that those can be stored, and take a bounded memory."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from taskledger_sdk.errors import PermanentError
from tasks import pictures
from tasks.pictures import MAX_BYTES, Wanted, resized

ROOT = Path(__file__).parents[3]
SIZE = (240, 160)


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def shrunk(content: bytes, width: int = 60, height: int = 40, fit: str = "contain") -> Image.Image:
    return resized(io.BytesIO(content), Wanted(width=width, height=height, fit=fit), lambda _: None)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG of these rows, each of which begins with its filter byte."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def scene() -> Image.Image:
    """Gradients and edges, so that nothing that goes wrong goes unseen."""
    across = Image.linear_gradient("L").rotate(90).resize(SIZE)
    down = Image.linear_gradient("L").resize(SIZE)
    picture = Image.merge("RGB", (across, down, ImageOps.invert(across)))
    picture.paste("red", (20, 20, 60, 60))
    picture.paste("white", (100, 100, 140, 140))
    picture.paste("black", (160, 20, 220, 60))
    return picture


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far apart two pictures are, channel by channel and on average, from 0 to 255."""
    assert (one.size, one.mode) == (other.size, other.mode)
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def grey_16() -> bytes:
    grey = scene().convert("L").tobytes()
    rows = (grey[at : at + SIZE[0]] for at in range(0, len(grey), SIZE[0]))
    return png(*SIZE, 16, 0, b"".join(b"\0" + bytes(value for each in row for value in (each, 7)) for row in rows))


def rgb_16() -> bytes:
    data, length = scene().tobytes(), 3 * SIZE[0]
    rows = (data[at : at + length] for at in range(0, len(data), length))
    return png(*SIZE, 16, 2, b"".join(b"\0" + bytes(value for each in row for value in (each, 9)) for row in rows))


ORIGINALS = {
    "RGB": lambda: (encoded(scene()), scene()),
    "grey": lambda: (encoded(scene().convert("L")), scene().convert("L")),
    "grey of 16 bits": lambda: (grey_16(), scene().convert("L")),
    "RGB of 16 bits": lambda: (rgb_16(), scene()),
    "palette": lambda: (encoded(scene().quantize(256)), scene().quantize(256)),
    "palette of 2": lambda: (encoded(scene().quantize(2)), scene().quantize(2)),
    "black and white": lambda: (encoded(scene().convert("1")), scene().convert("1")),
    "grey with opacity": lambda: (encoded(scene().convert("LA")), scene().convert("L")),
    "RGBA": lambda: (encoded(scene().convert("RGBA")), scene()),
    "JPEG": lambda: (encoded(scene(), "JPEG", quality=95), scene()),
    "progressive JPEG": lambda: (encoded(scene(), "JPEG", quality=95, progressive=True), scene()),
    "grey JPEG": lambda: (encoded(scene().convert("L"), "JPEG", quality=95), scene().convert("L")),
    "CMYK JPEG": lambda: (encoded(scene().convert("CMYK"), "JPEG", quality=95), scene()),
    "WebP": lambda: (encoded(scene(), "WEBP", lossless=True), scene()),
    "GIF": lambda: (encoded(scene(), "GIF"), scene().quantize(256)),
    "animated GIF": lambda: (moving("GIF"), scene().quantize(256)),
    "animated WebP": lambda: (moving("WEBP", lossless=True), scene()),
    "animated PNG": lambda: (moving("PNG"), scene()),
}


def moving(form: str, **options) -> bytes:
    others = [ImageOps.invert(scene()), Image.new("RGB", SIZE, "blue")]
    return encoded(scene(), form, save_all=True, append_images=others, duration=100, **options)


@pytest.mark.parametrize("size", [(60, 40), (7, 5), (240, 160), (600, 400)])
@pytest.mark.parametrize("kind", ORIGINALS)
def test_the_copy_looks_like_the_original(kind, size):
    content, original = ORIGINALS[kind]()
    expected = original.convert("RGB").resize(size, Image.Resampling.LANCZOS)

    made = shrunk(content, *size).convert("RGB")

    assert difference(made, expected) < 3


@pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
@pytest.mark.parametrize("size", [(50, 50), (33, 90), (500, 20), (1, 1), (4096, 1), (1, 4096)])
def test_strips_and_tiles_give_what_the_whole_would(fit, size, monkeypatch):
    monkeypatch.setattr(pictures, "TILE_PIXELS", 3_000)
    wanted = Wanted(width=size[0], height=size[1], fit=fit)
    expected = scene().resize(
        wanted.size_for(*SIZE), Image.Resampling.LANCZOS, box=wanted.part_of(*SIZE), reducing_gap=3.0
    )

    assert difference(shrunk(encoded(scene()), *size, fit=fit), expected) < 2


@pytest.mark.parametrize("size", [(50, 50), (33, 90), (500, 20), (240, 160), (100, 1000)])
def test_the_shapes_are_those_of_pillow(size):
    for fit, pillows in (("contain", ImageOps.contain), ("cover", ImageOps.fit)):
        expected = pillows(scene(), size, method=Image.Resampling.LANCZOS)

        assert difference(shrunk(encoded(scene()), *size, fit=fit), expected) < 3


@pytest.mark.parametrize("fit", ["contain", "cover", "stretch"])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("size", [(3000, 1), (1, 3000), (3000, 2), (1, 1), (2, 1)])
def test_a_thin_picture_has_a_pixel_a_side_at_least(size, form, fit):
    made = shrunk(encoded(Image.new("RGB", size, "white"), form), 100, 100, fit)

    longest = (100, 100) if fit != "contain" else tuple(max(1, round(100 * side / max(size))) for side in size)
    assert made.size == longest
    assert min(made.convert("RGB").getpixel((0, 0))) > 250


def test_very_wide_pictures_do_not_fill_the_memory_with_one_strip():
    assert shrunk(png(2_000_000, 1, 8, 0, b"\0" + bytes(2_000_000)), 100, 100).size == (100, 1)


@pytest.mark.parametrize(
    "content",
    [
        png(2, 1, 16, 0, b"\0" + b"\xff\xff" + b"\x12\x34", chunk(b"tRNS", b"\x12\x34")),
        png(2, 1, 16, 2, b"\0" + b"\xff\xff" * 3 + b"\x12\x34" * 3, chunk(b"tRNS", b"\x12\x34" * 3)),
        png(2, 1, 8, 0, b"\0\xff\x12", chunk(b"tRNS", b"\0\x12")),
        png(2, 1, 8, 2, b"\0" + b"\xff" * 3 + b"\x12" * 3, chunk(b"tRNS", b"\0\x12" * 3)),
        png(2, 1, 1, 0, b"\0\x80", chunk(b"tRNS", b"\0\0")),
        png(2, 1, 2, 0, b"\0\xd0", chunk(b"tRNS", b"\0\x01")),
        png(2, 1, 4, 0, b"\0\xf3", chunk(b"tRNS", b"\0\x03")),
        png(2, 1, 8, 3, b"\0\x01\x00", chunk(b"PLTE", b"\x12" * 3 + b"\xff" * 3), chunk(b"tRNS", b"\0")),
        png(2, 1, 8, 4, b"\0\xff\xff\x12\0"),
        png(2, 1, 16, 4, b"\0\xff\xff\xff\xff\x12\x34\0\0"),
        png(2, 1, 16, 6, b"\0" + b"\xff\xff" * 4 + b"\x12\x34" * 3 + b"\0\0"),
    ],
    ids=["L16", "RGB16", "L8", "RGB8", "L1", "L2", "L4", "P", "LA8", "LA16", "RGBA16"],
)
def test_every_kind_of_transparency_is_kept(content):
    made = shrunk(content, 2, 1, "stretch")

    assert made.mode == "RGBA"
    assert made.getpixel((0, 0)) == (255, 255, 255, 255)
    assert made.getpixel((1, 0))[3] == 0


def test_white_can_be_the_colour_that_is_none():
    made = shrunk(png(2, 1, 1, 0, b"\0\x40", chunk(b"tRNS", b"\0\x01")), 2, 1, "stretch")

    assert [made.getpixel((x, 0)) for x in range(2)] == [(0, 0, 0, 255), (0, 0, 0, 0)]


def test_colours_of_what_is_see_through_do_not_bleed_into_the_rest():
    picture = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 50, 100))

    made = shrunk(encoded(picture), 7, 7)

    assert all(made.getpixel((x, 3))[0] < 40 for x in range(7) if made.getpixel((x, 3))[3] > 30)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA"])
def test_a_profile_of_other_colours_than_the_picture_has_does_no_harm(mode):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = scene().quantize(256) if mode == "P" else scene().convert(mode)

    made = shrunk(encoded(picture, icc_profile=profile), *SIZE)

    assert difference(made.convert("RGB"), picture.convert("RGB")) < 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_is_followed_in_every_mode(mode):
    """Its red and blue are exchanged, so that nobody overlooks it."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = plain.replace(b"rXYZ", b"tmpX", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmpX", b"bXYZ", 1)
    picture = Image.new("RGB", (10, 10), "red")
    picture = picture.quantize(2) if mode == "P" else picture.convert(mode)

    made = shrunk(encoded(picture, icc_profile=exchanged), 5, 5).convert("RGB")

    assert made.getpixel((2, 2))[2] > 200


@pytest.mark.parametrize("size", [(50_000, 50_000), (2_000_000_000, 1), (7_072, 7_072)])
def test_more_pixels_than_are_read_are_refused(size):
    with pytest.raises(PermanentError, match="pixels"):
        shrunk(png(*size, 8, 0, bytes(1000)))


def test_a_webp_that_says_it_is_huge_is_refused_before_its_decoder_makes_room():
    frame = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(20)
    with pytest.raises(PermanentError, match="pixels"):
        shrunk(b"RIFF" + struct.pack("<I", 12 + len(frame)) + b"WEBPVP8L" + struct.pack("<I", len(frame)) + frame)


def test_what_would_take_too_much_memory_is_refused_and_says_what_helps():
    content = encoded(Image.new("RGB", (7_000, 7_000), "white"), "JPEG", progressive=True, subsampling=0)

    with pytest.raises(PermanentError, match=r"MB of memory \(7000 x 7000, JPEG, RGB\); at most 200 MB"):
        shrunk(content, 4_000, 4_000)


MEASURED = """
import io, resource, sys
from tasks.pictures import Wanted, resized
import taskledger_sdk.errors
content = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    made = resized(io.BytesIO(content), Wanted(width=int(sys.argv[2]), height=int(sys.argv[2]), fit="cover"), print)
    made.save(io.BytesIO(), "PNG" if made.mode == "RGBA" else "JPEG")
except taskledger_sdk.errors.PermanentError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def large(kind: str) -> bytes:
    """Pictures of nearly the most pixels that are read, mostly of one colour and so of few bytes."""
    side = 7_071
    match kind:
        case "RGBA":
            return png(side, side, 8, 6, (b"\0" + bytes(4 * side)) * side)
        case "RGB of 16 bits":
            return png(side, side, 16, 2, (b"\0" + bytes(6 * side)) * side)
        case "grey of 16 bits":
            return png(side, side, 16, 0, (b"\0" + bytes(2 * side)) * side)
        case "palette":
            palette = chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0\x80")
            return png(side, side, 8, 3, (b"\0" + bytes(side)) * side, palette)
        case "WebP":
            return encoded(Image.new("RGB", (3_500, 3_500), "white"), "WEBP")
        case "progressive JPEG":
            return encoded(Image.new("RGB", (5_300, 5_300), "white"), "JPEG", progressive=True)
    return encoded(Image.new("L", (side, side), 200), "GIF")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["RGBA", "RGB of 16 bits", "grey of 16 bits", "palette", "WebP", "progressive JPEG", "GIF"]
)
@pytest.mark.parametrize("side", [100, 1_500])
def test_no_picture_takes_much_more_than_what_is_given_to_one(tmp_path, kind, side):
    """Measured as the system sees it; beside the original there is room for its copy and the strips on the way."""
    (tmp_path / "original").write_bytes(large(kind))
    command = [sys.executable, "-c", MEASURED, tmp_path / "original", str(side)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=True)

    said, grown = done.stdout.splitlines()
    assert said.startswith("read "), said
    assert int(grown) < MAX_BYTES + 50_000_000
