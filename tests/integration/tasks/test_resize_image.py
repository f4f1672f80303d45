"""resize_image by a worker's own code: sizes, what is upright, what is stripped, what is refused."""

import io
import struct
import zlib
from uuid import UUID

import pytest
from PIL import Image

from app.clock import utcnow
from app.database import in_transaction
from app.services import artifacts
from app.services.artifacts import NewArtifact
from taskledger_sdk.registry import get_type
from tests.support.servers.attempts import run_task

PHOTO = "00000000-0000-7000-8000-000000000002"
ORIENTATION, MAKE = 0x0112, 0x010F


@pytest.fixture
def upload(session, settings):
    """Keep a file; its id."""

    def uploaded(content: bytes, name: str = "a.png") -> str:
        new = NewArtifact(owner_id=None, task_id=None, name=name, media_type="image/png")
        return str(artifacts.save(in_transaction, artifacts.store(), new, iter([content]), settings=settings).id)

    return uploaded


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def resized(session, artifact: str, width: int = 100, height: int = 100, **options):
    payload = {"artifact": artifact, "width": width, "height": height, **options}
    return run_task(session, "resize_image", payload)


def picture_of(row) -> Image.Image:
    assert row.status == "COMPLETED", row.error
    with artifacts.store().open(UUID(row.result["artifact_id"])) as stream:
        picture = Image.open(io.BytesIO(stream.read()))
        picture.load()
    return picture


def quarters() -> Image.Image:
    """200 x 100: red, green above blue, white."""
    picture = Image.new("RGB", (200, 100), "red")
    picture.paste("lime", (100, 0, 200, 50))
    picture.paste("blue", (0, 50, 100, 100))
    picture.paste("white", (100, 50, 200, 100))
    return picture


@pytest.mark.parametrize(("fit", "size"), [("contain", (60, 30)), ("cover", (60, 60)), ("stretch", (60, 60))])
def test_the_copy_has_the_size_that_fits(session, upload, fit, size):
    row = resized(session, upload(encoded(quarters(), "PNG")), 60, 60, fit=fit, format="png")

    assert picture_of(row).size == size
    assert (row.result["width"], row.result["height"]) == size


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_the_copy_is_in_the_format_asked_for(session, upload, form):
    row = resized(session, upload(encoded(quarters(), "PNG")), format=form)

    assert picture_of(row).format == form.upper()
    assert row.result["media_type"] == f"image/{form}"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_copy_stands_upright_whatever_the_orientation(session, upload, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = quarters() if undo is None else quarters().transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    copy = picture_of(resized(session, upload(encoded(stored, "PNG", exif=exif)), 200, 200, format="png"))

    corners = [copy.getpixel(place) for place in ((10, 10), (190, 10), (10, 90), (190, 90))]
    assert copy.size == (200, 100)
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_metadata_is_stripped(session, upload, form):
    exif = Image.Exif()
    exif[MAKE] = "SecretCamera"
    marked = encoded(quarters(), "WEBP", exif=exif, xmp=b"<x:xmpmeta>SecretPlace</x:xmpmeta>")

    row = resized(session, upload(marked), format=form)

    assert not picture_of(row).getexif()
    with artifacts.store().open(UUID(row.result["artifact_id"])) as stream:
        content = stream.read()
    assert b"SecretCamera" not in content
    assert b"SecretPlace" not in content


def test_transparency_is_kept_where_the_format_knows_it_and_white_elsewhere(session, upload):
    clear = upload(encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 0)), "PNG"))

    assert picture_of(resized(session, clear, format="png")).getpixel((5, 5))[3] == 0
    assert min(picture_of(resized(session, clear, format="jpeg")).getpixel((5, 5))) > 250


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_every_colour_mode_can_be_read(session, upload, mode):
    form = "JPEG" if mode == "CMYK" else "PNG"

    assert picture_of(resized(session, upload(encoded(quarters().convert(mode), form)))).size == (100, 50)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest


@pytest.mark.parametrize("size", [(50_000, 50_000), (2_000_000_000, 1), (7_072, 7_072)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(session, upload, size):
    row = resized(session, upload(bomb(*size)))

    assert row.status == "FAILED"
    assert "pixels" in row.error["message"]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%PDF-1.4", encoded(quarters(), "JPEG")[:300], encoded(quarters(), "TIFF")]
)
def test_what_is_no_picture_fails_for_good(session, upload, content):
    row = resized(session, upload(content))

    assert (row.status, row.error["type"]) == ("FAILED", "PermanentError")


def test_the_example_runs_as_it_stands(session):
    row = run_task(session, "resize_image", get_type("resize_image").examples[0])

    assert picture_of(row).size == (240, 180)  # it is stored lying, and stands


def test_somebody_elses_picture_is_not_there(session, upload):
    gone = upload(encoded(quarters(), "PNG"))
    in_transaction(lambda session: artifacts.delete(session, UUID(gone), owner=None, now=utcnow()))

    row = resized(session, gone)

    assert (row.status, row.error["type"]) == ("FAILED", "PermanentError")
