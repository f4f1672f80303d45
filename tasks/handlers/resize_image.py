"""resize_image: a smaller (or larger) copy of a picture, upright and without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from uuid import UUID

from marshmallow.validate import Range

from taskledger_sdk import PermanentError, TaskContext, rule, task_type

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE = 4096
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
    thumbnail. Colours are converted to sRGB with 8 bits. Of an animation the first frame is kept. However thin the
    original is, the copy has a pixel a side. A picture of more than 50 million pixels, or one that would take more than
    200 MB of memory, is refused before it is unpacked.
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


def _resized(stream: BinaryIO, payload: ResizeImage, task: TaskContext) -> Image.Image:
    from PIL import Image  # here: only who resizes needs Pillow, and the worker's parent stays small

    from tasks import pictures

    wanted = pictures.Wanted(width=payload.width, height=payload.height, fit=payload.fit)
    made = pictures.resized(stream, wanted, lambda message: task.progress(0.3, message))
    if made.mode != "RGBA" or payload.format != "jpeg":
        return made
    white = Image.new("RGB", made.size, "white")  # JPEG knows no transparency
    white.paste(made, mask=made.getchannel("A"))
    return white


def _encoded(picture: Image.Image, payload: ResizeImage) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {} if payload.format == "png" else {"quality": payload.quality}
    picture.save(buffer, format=payload.format.upper(), optimize=payload.format != "webp", **options)
    return buffer.getvalue()
