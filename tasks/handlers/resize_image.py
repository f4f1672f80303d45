"""resize_image: a smaller (or larger) copy of a picture, upright and without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from marshmallow.validate import Range

from tasks import PermanentError, TaskContext, rule, task_type

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 50_000_000  # of the original: as RGBA they take 200 MB
LARGEST_SIDE = 4096
READ = ("JPEG", "PNG", "WEBP", "GIF")  # formats that browsers and cameras make; the rest of Pillow's readers stay shut
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}


@dataclass(frozen=True, kw_only=True)
class ResizeImage:
    """Which picture, and what it shall become."""

    artifact: UUID = rule(description="A JPEG, PNG, WebP or GIF of up to 50 million pixels")
    width: int = rule(Range(min=1, max=LARGEST_SIDE), description="Pixels")
    height: int = rule(Range(min=1, max=LARGEST_SIDE), description="Pixels")
    fit: Literal["contain", "cover", "stretch"] = rule(
        default="contain",
        description="contain: all of it, inside the box; cover: the box filled, the rest cut off; stretch: as said",
    )
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int = rule(Range(min=1, max=95), default=85, description="Of jpeg and webp")


def delete_image(task: TaskContext, _payload: ResizeImage, result: dict[str, Any]) -> dict[str, Any]:
    """Delete the copy."""
    try:
        task.artifacts.delete(UUID(result["artifact_id"]))
    except PermanentError:  # deleted or expired before: gone is gone
        return {"deleted": None}
    return {"deleted": result["artifact_id"]}


@task_type(
    "resize_image",
    timeout_seconds=120,
    undo=delete_image,
    examples=({"artifact": "00000000-0000-7000-8000-000000000002", "width": 240, "height": 240},),
)
def resize_image(task: TaskContext, payload: ResizeImage) -> dict[str, Any]:
    """Resize a picture and keep the copy as an artifact.

    The copy stands upright, as its EXIF orientation asked for, and carries no metadata: no place, no camera, no
    thumbnail. Colours are converted to sRGB. Of an animation the first frame is kept. A picture of more than 50 million
    pixels is refused before it is unpacked.
    """
    original = task.artifacts.info(payload.artifact)
    with task.artifacts.open(payload.artifact) as stream:
        made = _resized(stream, payload, task)
    task.progress(0.7, "resized")
    content = _encoded(made, payload)
    stem = original.name.rpartition(".")[0] or original.name
    name = f"{stem[:100]}-{made.width}x{made.height}.{SUFFIX[payload.format]}"
    kept = task.artifacts.save(name, f"image/{payload.format}", content)
    return {
        "artifact_id": str(kept.id),
        "name": kept.name,
        "media_type": kept.media_type,
        "width": made.width,
        "height": made.height,
        "size": kept.size,
    }


def _resized(stream: Any, payload: ResizeImage, task: TaskContext) -> Image.Image:
    from PIL import Image, ImageOps  # here: only who resizes needs Pillow, and the worker's parent stays small

    Image.MAX_IMAGE_PIXELS = None  # its own check warns at half of what it refuses; ours stands below
    box = (payload.width, payload.height)
    try:
        with Image.open(stream, formats=READ) as opened:
            pixels = opened.width * opened.height
            if pixels > MOST_PIXELS:
                raise PermanentError(f"the picture has {pixels} pixels; at most {MOST_PIXELS} are unpacked")
            if payload.fit == "contain":
                opened.draft("RGB", (2 * max(box), 2 * max(box)))  # a JPEG is then unpacked at a fraction of its size
            opened.load()
            task.progress(0.3, f"read {opened.format}, {opened.width} x {opened.height}")
            upright = ImageOps.exif_transpose(opened)
            plain = _plain(upright, payload.format)
    except PermanentError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for files that are no pictures
        raise PermanentError(f"the artifact is no picture that can be read: {error}") from error
    if payload.fit == "stretch":
        return plain.resize(box, Image.Resampling.LANCZOS)
    fitted = ImageOps.contain if payload.fit == "contain" else ImageOps.fit
    return fitted(plain, box, method=Image.Resampling.LANCZOS)


def _plain(picture: Image.Image, wanted: str) -> Image.Image:
    """In sRGB, with nothing beside its pixels; on white where the format knows no transparency."""
    from PIL import Image, ImageCms

    profile = picture.info.get("icc_profile")
    transparent = picture.has_transparency_data
    if profile and picture.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            mode = "RGBA" if picture.mode == "RGBA" else "RGB"
            picture = ImageCms.profileToProfile(picture, source, target, outputMode=mode) or picture
        except (ImageCms.PyCMSError, OSError):
            picture.info.clear()  # a broken profile: the colours are taken as they are
    colours = picture.convert("RGBA" if transparent else "RGB")
    if transparent and wanted == "jpeg":
        white = Image.new("RGB", colours.size, "white")
        white.paste(colours, mask=colours.getchannel("A"))
        colours = white
    colours.info.clear()  # encoders would write EXIF, XMP, comments and profiles from here
    return colours


def _encoded(picture: Image.Image, payload: ResizeImage) -> bytes:
    picture.info.clear()
    buffer = io.BytesIO()
    options: dict[str, Any] = {} if payload.format == "png" else {"quality": payload.quality}
    picture.save(buffer, format=payload.format.upper(), optimize=payload.format != "webp", **options)
    return buffer.getvalue()
