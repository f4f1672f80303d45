"""Files with names of every script, over a real gunicorn: uploaded, downloaded, and copied by a worker."""

import io
import unicodedata
from urllib.parse import unquote

import pytest
from PIL import Image

NAMES = [
    "report.png",
    "two words.png",
    "Ł.png",
    "日本.png",
    "日本　語.png",
    "ελληνικά.png",
    "кириллица.png",
    "עברית\u200f.png",
    "العربية.png",
    "می\u200cخواهم.png",
    "क्ष\u200dत्र.png",
    "ไทย.png",
    "😀.png",
    "👩\u200d💻.png",
    "\U0001fae9.png",  # newer than this Python's tables
    unicodedata.normalize("NFD", "é.png"),
    unicodedata.normalize("NFC", "é.png"),
    "Bildschirmfoto 2026-11-28 um 5.00\u202fPM.png",
    "100%25 sure;a=b.png",
    "it's (1), [2] & {3}.png",
    "trailing.dots...",
    "日" * 196 + ".png",
    "😀" * 196 + ".png",
]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(buffer, "PNG")
    return buffer.getvalue()


def upload(stack, name: str):
    files = {"file": (name, picture(), "image/png")}
    return stack.http.post(f"{stack.api.url}/api/v1/artifacts", files=files, timeout=30)


def download(stack, artifact_id: str):
    return stack.get(f"/artifacts/{artifact_id}/content")


def names_of(answer) -> tuple[str, str | None]:
    """What the header says in ASCII, and exactly if it does."""
    header = answer.headers["Content-Disposition"]
    assert header.isascii()
    assert header.startswith("attachment; filename=")
    plain, _, exact = header.removeprefix("attachment; filename=").partition("; filename*=UTF-8''")
    return plain.strip('"'), unquote(exact, errors="strict") if exact else None


def expect_safe(answer) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_a_file_comes_back_under_its_name(stack, name):
    made = upload(stack, name)
    assert made.status_code == 201, made.text

    answer = download(stack, made.json()["id"])

    expect_safe(answer)
    plain, exact = names_of(answer)
    assert made.json()["name"] == name
    assert (exact or plain) == name
    assert exact is None or (plain != name and "%" not in plain)
    assert answer.content == picture()


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Ł.png", "_.png"), ("日本.png", "__.png"), ("Zoë Müller.png", "Zoe Muller.png"), ("😀.png", "_.png")],
)
def test_old_programs_get_a_name_in_ascii(stack, name, plain):
    assert names_of(download(stack, upload(stack, name).json()["id"]))[0] == plain


@pytest.mark.parametrize(
    "name", ["Ł.png", "日本.png", "👩\u200d💻.png", unicodedata.normalize("NFD", "é.png"), "日" * 196]
)
def test_a_copy_has_the_name_of_its_original(stack, name):
    original = upload(stack, name).json()["id"]
    payload = {"artifact": original, "width": 10, "height": 10, "format": "png"}
    task = stack.submit("resize_image", payload)
    stack.wait_until("COMPLETED", [task])

    result = stack.task(task)["result"]
    answer = download(stack, result["artifact_id"])

    expect_safe(answer)
    assert names_of(answer)[1] == result["name"] == f"{name.removesuffix('.png')[:100]}-10x5.png"


@pytest.mark.parametrize("name", ["evil\u202egnp.exe", "line\u2028end.png"])
def test_a_name_that_shows_as_another_one_is_refused(stack, name):
    answer = upload(stack, name)

    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["file"])


def test_a_name_that_is_too_long_is_refused_and_says_so(stack):
    answer = upload(stack, "日" * 201)

    assert answer.status_code == 422
    assert "1 to 200" in answer.text
