"""The files that tasks of the load work on."""

import io

from PIL import Image

TABLE = b"name,amount\n" + b"".join(b"n%d,%d\n" % (number % 7, number) for number in range(500))


def _picture() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (120, 80), (200, 30, 30)).save(made, "PNG")
    return made.getvalue()


PICTURE = _picture()
