"""fetch_orders against the demo orders service and against services that misbehave."""

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from pytest_httpserver import HTTPServer

from app.embedded.demo_orders import make_server, page_of
from taskledger_sdk.errors import PayloadRefused, PermanentError, RetryLater
from taskledger_sdk.registry import get_type
from tasks.handlers.fetch_orders import fetch_orders
from tasks.outbound import AddressRefused, NoAnswer
from tests.support.fake_task import FakeTask

MARCH = {"customer_id": "customer-7", "date_from": "2026-03-01", "date_to": "2026-03-31"}
LINE = {"sku": "A", "description": "Ä", "quantity": "2", "unit_price": "1.50", "tax_percent": "19"}
ORDER = {"id": "1", "customer_id": "customer-7", "ordered_on": "2026-03-05", "currency": "EUR", "lines": [LINE]}


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    with make_server(0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(5)


def run(url: str, **changed):
    payload = get_type("fetch_orders").payload.load({**MARCH, **changed})
    return fetch_orders(FakeTask(settings={"ORDERS_API_URL": url}), payload)


def answered(server: HTTPServer, *orders, **page):
    server.expect_request("/orders").respond_with_json({"items": list(orders), "next": None, **page})
    return run(server.url_for("").replace("localhost", "127.0.0.1"))


def test_all_pages_of_a_month_are_read(demo_url):
    result = run(demo_url)

    assert result["order_count"] == 31
    assert [order["ordered_on"] for order in result["orders"]] == sorted({o["ordered_on"] for o in result["orders"]})


def test_the_demo_gives_the_same_orders_every_time(demo_url):
    assert run(demo_url) == run(demo_url)


def test_the_demo_gives_every_customer_and_day_orders(demo_url):
    assert run(demo_url, customer_id="x.y-z_9", date_from="1999-12-31", date_to="1999-12-31")["order_count"] == 1


def test_the_demo_knows_the_last_day_of_the_calendar():
    assert len(page_of("c", dt.date(9999, 12, 30), dt.date.max)["items"]) == 2


def test_the_sum_is_exact(demo_url):
    result = run(demo_url)

    lines = [line for order in result["orders"] for line in order["lines"]]
    assert Decimal(result["total"]) == sum(Decimal(line["quantity"]) * Decimal(line["unit_price"]) for line in lines)


def test_the_lines_to_charge_add_up_the_same_article_and_come_to_the_same_sum(demo_url):
    result = run(demo_url)

    charged = sum(Decimal(line["quantity"]) * Decimal(line["unit_price"]) for line in result["lines"])
    assert charged == Decimal(result["total"])
    assert len({line["description"] for line in result["lines"]}) == len(result["lines"]) <= 8


def test_fields_we_do_not_know_are_passed_over(httpserver: HTTPServer):
    result = answered(httpserver, {**ORDER, "colour": "red", "lines": [{**LINE, "weight": 3}]}, total=1)

    assert (result["order_count"], result["total"], result["currency"]) == (1, "3.00", "EUR")


def test_an_order_that_comes_twice_counts_once(httpserver: HTTPServer):
    assert answered(httpserver, ORDER, ORDER)["order_count"] == 1


def test_no_orders_are_a_result(httpserver: HTTPServer):
    result = answered(httpserver)

    assert (result["order_count"], result["total"], result["currency"]) == (0, "0.00", None)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({**ORDER, "customer_id": "customer-8"}, "another customer"),
        ({**ORDER, "ordered_on": "2026-04-01"}, "outside of the period"),
        ({**ORDER, "lines": []}, "no page of orders"),
        ({**ORDER, "lines": [{**LINE, "unit_price": 1.5}]}, "unit_price"),
        ({**ORDER, "lines": [{**LINE, "quantity": "-1"}]}, "quantity"),
        ("nonsense", "no page of orders"),
    ],
)
def test_what_was_not_asked_for_or_is_malformed_fails_for_good(httpserver: HTTPServer, order, said):
    with pytest.raises(PermanentError, match=said):
        answered(httpserver, order)


def test_orders_in_two_currencies_have_no_sum(httpserver: HTTPServer):
    with pytest.raises(PermanentError, match="EUR, USD"):
        answered(httpserver, ORDER, {**ORDER, "id": "2", "currency": "USD"})


def test_pages_that_never_end_are_left(httpserver: HTTPServer):
    with pytest.raises(PermanentError, match="twice"):
        answered(httpserver, ORDER, next="same")


@pytest.mark.parametrize(("status", "error"), [(503, NoAnswer), (429, NoAnswer), (404, PermanentError)])
def test_an_outage_is_tried_again_and_a_refusal_is_not(httpserver: HTTPServer, status, error):
    httpserver.expect_request("/orders").respond_with_data("", status)

    with pytest.raises(error, match=f"the orders service answered {status}"):
        run(httpserver.url_for("").replace("localhost", "127.0.0.1"))


def test_the_service_may_say_when_to_come_back(httpserver: HTTPServer):
    httpserver.expect_request("/orders").respond_with_data("", 503, {"Retry-After": "7"})

    with pytest.raises(RetryLater) as pause:
        run(f"http://127.0.0.1:{httpserver.port}")

    assert pause.value.seconds == 7


def test_an_error_page_with_status_200_is_tried_again(httpserver: HTTPServer):
    httpserver.expect_request("/orders").respond_with_data("<html>Bad gateway</html>")

    with pytest.raises(NoAnswer, match="no JSON"):
        run(f"http://127.0.0.1:{httpserver.port}")


def test_the_service_cannot_send_us_elsewhere(httpserver: HTTPServer):
    httpserver.expect_request("/orders").respond_with_data("", 302, {"Location": "http://127.0.0.1:1/"})

    with pytest.raises(AddressRefused):
        run(f"http://127.0.0.1:{httpserver.port}")


def test_without_an_address_the_task_says_what_to_set():
    with pytest.raises(PermanentError, match="ORDERS_API_URL is not set"):
        run("")


@pytest.mark.parametrize(
    "changed",
    [
        {"date_to": "2026-02-28"},
        {"date_from": "2026-02-30"},
        {"customer_id": ""},
        {"customer_id": "../x"},
        {"customer_id": "a&b"},
    ],
)
def test_a_bad_payload_is_refused_at_submission(changed):
    with pytest.raises(PayloadRefused):
        get_type("fetch_orders").payload.load({**MARCH, **changed})
