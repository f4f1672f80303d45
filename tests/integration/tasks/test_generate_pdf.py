"""generate_pdf: what the pages say, that bytes repeat, that tables break well; and the renderer elsewhere."""

import copy
import hashlib
import io
import json
from uuid import UUID

import pypdf
import pytest
from pytest_httpserver import HTTPServer

from taskledger_sdk.errors import PayloadRefused, PermanentError
from taskledger_sdk.registry import get_type
from tasks.handlers.generate_pdf import EXAMPLE_INVOICE, EXAMPLE_REPORT, generate_pdf, undo_generate_pdf
from tasks.outbound import NoAnswer
from tests.support.fake_task import FakeTask


def load(document):
    return get_type("generate_pdf").payload.load(document)


def made(document) -> pypdf.PdfReader:
    task = FakeTask()
    result = generate_pdf(task, load(document))
    return pypdf.PdfReader(io.BytesIO(task.artifacts.files[UUID(result["artifact_id"])][1]))


def invoice(**data):
    return {**EXAMPLE_INVOICE, "data": {**EXAMPLE_INVOICE["data"], **data}}


def report(*sections):
    return {"template": "report", "data": {"title": "T", "sections": list(sections)}}


def text_of(reader: pypdf.PdfReader) -> str:
    return "\n".join(page.extract_text().replace("\xa0", " ") for page in reader.pages)


def test_the_invoice_says_who_what_and_how_much():
    text = text_of(made(EXAMPLE_INVOICE))

    for said in (
        "INV-000017",
        "Zakład Łódź sp. z o.o.",
        "Ω-3",
        "226.80 €",
        "356.92 €",
        "15 Feb 2026",
        "Hafenstraße 12",
    ):
        assert said in text


def test_every_font_is_embedded():
    fonts = made(EXAMPLE_INVOICE).pages[0]["/Resources"]["/Font"]

    described = [font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"] for font in fonts.values()]
    assert len(described) == 2
    assert all("/FontFile2" in each.get_object() for each in described)


@pytest.mark.parametrize("document", [EXAMPLE_INVOICE, EXAMPLE_REPORT])
def test_the_same_document_gives_the_same_bytes(document):
    results = []
    for attempt in (1, 2):
        task = FakeTask(attempt=attempt)
        results.append(generate_pdf(task, load(document))["sha256"])
        assert hashlib.sha256(next(iter(task.artifacts.files.values()))[1]).hexdigest() == results[-1]

    assert results[0] == results[1]


def test_a_repeated_attempt_leaves_one_artifact():
    task = FakeTask()

    ids = {generate_pdf(task, load(EXAMPLE_INVOICE))["artifact_id"] for _ in range(2)}

    assert [str(known) for known in task.artifacts.files] == list(ids)


def test_a_long_table_repeats_its_head_and_loses_no_row():
    lines = [{**EXAMPLE_INVOICE["data"]["lines"][0], "description": f"Article {n:03d}"} for n in range(120)]

    reader = made(invoice(lines=lines))

    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) == 5
    assert all("Description" in page for page in pages)
    assert [f"Article {n:03d}" in "".join(pages) for n in range(120)].count(True) == 120
    assert f"5 / {len(pages)}" in pages[-1]


def test_a_row_is_not_torn_apart_by_a_page_break():
    long = {**EXAMPLE_INVOICE["data"]["lines"][0], "description": "begins " + "word " * 80 + "ends"}

    pages = [page.extract_text() for page in made(invoice(lines=[long] * 12)).pages]

    assert len(pages) > 1
    assert all(page.count("begins") == page.count("ends") for page in pages)


def test_the_total_stands_with_its_parts():
    for count in (18, 19, 20, 21):  # around the end of the first page
        pages = [
            page.extract_text() for page in made(invoice(lines=EXAMPLE_INVOICE["data"]["lines"][:1] * count)).pages
        ]

        assert sum("Net" in page and "356.92" in page for page in pages) == 1


@pytest.mark.parametrize(
    "odd",
    ["x" * 500, "🎉 日本語 العربية", "a\tb\x07c\u202ed", "line\nline", "e\u0301", "<b>&amp;</b> {nb} **bold**", " "],
    ids=["one long word", "no glyphs", "control characters", "two lines", "combining", "markup", "space"],
)
def test_odd_texts_do_not_break_it(odd):
    table = {"columns": [{"title": odd[:60]}] * 3, "rows": [[odd] * 3, []]}

    assert len(made(invoice(lines=[{**EXAMPLE_INVOICE["data"]["lines"][0], "description": odd}])).pages) == 1
    assert made(report({"heading": odd[:120], "text": odd, "table": table})).pages


def test_a_row_that_fits_on_no_page_fails_with_advice():
    table = {"columns": [{"title": "x" * 60}] * 12, "rows": [["x" * 500] * 12]}

    with pytest.raises(PermanentError, match="fewer columns"):
        made(report({"table": table}))


@pytest.mark.parametrize("total", ["0", "-1.5", "999999999999999.9999", "0.0001", "1000000"])
def test_every_amount_can_be_printed(total):
    assert "Total" in text_of(made(invoice(total=total)))


def test_an_amount_in_a_currency_without_a_sign_has_its_code():
    assert "356.92 SEK" in text_of(made(invoice(currency="SEK")))


def test_a_report_of_many_rows_keeps_them_all():
    rows = [[f"row {n}", "x"] for n in range(400)]
    table = {"columns": [{"title": "Name"}, {"title": "Value", "align": "right"}], "rows": rows}

    text = text_of(made(report({"heading": "All", "table": table})))

    assert all(f"row {n}\n" in text or f"row {n} " in text for n in (0, 1, 199, 398, 399))


def test_the_result_of_create_invoice_is_accepted_as_it_is():
    load(invoice(invoice_id="018f3c5e-7d2a-7000-8000-0123456789ab", created=True, customer_name=None))


@pytest.mark.parametrize(
    "document",
    [
        {"template": "letter", "data": {}},
        {**EXAMPLE_INVOICE, "data": EXAMPLE_REPORT["data"]},
        invoice(lines=[]),
        invoice(total=356.92),
        invoice(currency="euro"),
        report(),
        report({"table": {"columns": [], "rows": []}}),
    ],
)
def test_a_bad_document_is_refused_at_submission(document):
    with pytest.raises(PayloadRefused):
        load(document)


def remote(server: HTTPServer):
    task = FakeTask(settings={"PDF_PROCESSOR_URL": f"http://127.0.0.1:{server.port}/render"})
    return task, generate_pdf(task, load(EXAMPLE_INVOICE))


def test_a_renderer_elsewhere_gets_the_document_and_its_pdf_is_kept(httpserver: HTTPServer):
    httpserver.expect_request("/render", method="POST").respond_with_data(b"%PDF-1.7 theirs", 200)

    task, result = remote(httpserver)

    asked = json.loads(httpserver.log[0][0].get_data())
    assert task.artifacts.files[UUID(result["artifact_id"])][1] == b"%PDF-1.7 theirs"
    assert (asked["template"], asked["data"]["total"], asked["data"]["issued_on"]) == (
        "invoice",
        "356.92",
        "2026-02-01",
    )


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [(b"<html>", 200, PermanentError), (b"", 503, NoAnswer), (b"", 422, PermanentError)],
)
def test_a_renderer_that_sends_no_pdf_is_not_believed(httpserver: HTTPServer, content, status, error):
    httpserver.expect_request("/render").respond_with_data(content, status)

    with pytest.raises(error):
        remote(httpserver)


def test_undoing_deletes_the_artifact_and_may_be_repeated():
    task = FakeTask()
    payload = load(copy.deepcopy(EXAMPLE_INVOICE))
    result = generate_pdf(task, payload)

    undone = [undo_generate_pdf(task, payload, result)["deleted"] for _ in range(2)]

    assert (undone, task.artifacts.files) == ([True, False], {})
