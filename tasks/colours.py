"""Colours of a picture, however it is stored: as sRGB, with transparency that resizing does not smear."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageCms

GREY_16 = [round(value / 257) for value in range(65_536)]  # 16 bits become 8; Pillow's own conversion cuts off instead

STEPS = {"L;2": 85, "L;4": 17}  # from one grey to the next where there are few; Pillow's pixels go up to 255


class Colours:
    """What to do with parts of one picture, found out before it is unpacked."""

    def __init__(self, opened: Any) -> None:
        self._transparent = opened.has_transparency_data
        self._clear = opened.info.get("transparency")  # the one grey or colour that is none
        self._opacity_16 = [255 * (value != self._clear) for value in range(65_536)] if self._transparent else None
        self._rawmode = str(opened.tile[0][3]) if opened.tile else ""
        self._profile = opened.info.get("icc_profile")
        self._transforms: dict[str, Any] = {}

    def plain(self, tile: Image.Image) -> Image.Image:
        """In RGB, or with transparency in RGBa, whose colours are multiplied by their opacity. It may be averaged."""
        colours, opacity = self._parts(tile)
        made = self._in_srgb(colours)
        if opacity is None:
            return made
        made.putalpha(opacity)
        return made.convert("RGBa")

    def _parts(self, tile: Image.Image) -> tuple[Image.Image, Image.Image | None]:
        """The colours in L, RGB or CMYK, and the opacity if there is one."""
        if tile.mode.startswith("I"):
            wide = tile.convert("I")  # the only mode that is looked up in so long a table
            return wide.point(GREY_16, "L"), wide.point(self._opacity_16, "L") if self._opacity_16 else None
        if self._transparent:
            return self._see_through(tile)
        if tile.mode in ("L", "RGB", "CMYK"):
            return tile, None
        return tile.convert("L" if tile.mode == "1" else "RGB"), None

    def _see_through(self, tile: Image.Image) -> tuple[Image.Image, Image.Image]:
        if isinstance(self._clear, tuple) and "16B" in self._rawmode:
            tile.info["transparency"] = tuple(value >> 8 for value in self._clear)  # the pixels have lost as much
        elif isinstance(self._clear, int):
            tile.info["transparency"] = self._clear * STEPS.get(self._rawmode, 1)
        whole = tile.convert("RGBA")
        colours = tile.getchannel("L") if tile.mode in ("L", "LA") else whole.convert("RGB")
        return colours, whole.getchannel("A")

    def _in_srgb(self, colours: Image.Image) -> Image.Image:
        if self._profile and colours.mode not in self._transforms:
            self._transforms[colours.mode] = self._transform(colours.mode)
        transform = self._transforms.get(colours.mode)
        converted = ImageCms.applyTransform(colours, transform) if transform else None
        return converted or colours.convert("RGB")

    def _transform(self, mode: str) -> Any:
        """From the picture's profile; None where it is broken or for other colours: these are taken as they are."""
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(self._profile))
            return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return None
