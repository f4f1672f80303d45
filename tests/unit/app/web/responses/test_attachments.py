"""Headers of files to keep, for names that a task may have given without anybody looking."""

import pytest
from flask import Response

from app.web.responses.attachments import media_type, set_attachment


def header_of(name: str) -> str:
    response = Response()
    set_attachment(response, name)
    return response.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("evil.html", "attachment; filename=evil.html"),
        ("two words.txt", 'attachment; filename="two words.txt"'),
        ('a"b.txt', "attachment; filename=a_b.txt; filename*=UTF-8''a%22b.txt"),
        ("50%41.txt", "attachment; filename=50_41.txt; filename*=UTF-8''50%2541.txt"),
        ("a\r\nX-Evil: 1", "attachment; filename=\"a__X-Evil_ 1\"; filename*=UTF-8''a__X-Evil%3A%201"),
        ("../../etc/passwd", "attachment; filename=.._.._etc_passwd"),
        ("..\\..\\boot.ini", "attachment; filename=.._.._boot.ini"),
        ("a\x00b\x7f\u2028c", "attachment; filename=a_b__c"),
        ("lone\ud800", "attachment; filename=lone_"),
        ("Łódź.csv", "attachment; filename=_odz.csv; filename*=UTF-8''%C5%81%C3%B3d%C5%BA.csv"),
        ("", 'attachment; filename=""'),
    ],
)
def test_a_name_is_one_line_of_ascii_and_no_path(name, header):
    assert header_of(name) == header


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("text/csv", "text/csv"),
        ("Text/CSV; charset=utf-8", "Text/CSV; charset=utf-8"),
        ("text/csv\r\nX-Evil: 1", "application/octet-stream"),
        ("text/日本", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("csv", "application/octet-stream"),
    ],
)
def test_a_media_type_that_is_none_is_bytes(said, sent):
    assert media_type(said) == sent
