"""A name that is taken is told in the form of a schedule."""

from tests.integration.dashboard.conftest import send

FORM = {"kind": "cron", "cron": "0 7 * * *", "time_zone": "UTC", "payload": "hello", "schedule_name": "report"}


def test_a_second_schedule_of_a_name_is_refused_beside_the_name(page):
    first = send(page, "/schedules/new?type=reverse_string", **FORM)

    second = send(page, "/schedules/new?type=reverse_string", **FORM)

    assert (first.status_code, second.status_code) == (302, 422)
    assert "There is a schedule called &#39;report&#39; already" in second.text


def test_one_that_is_renamed_to_a_taken_name_is_drawn_again(page):
    send(page, "/schedules/new?type=reverse_string", **FORM)
    other = send(page, "/schedules/new?type=reverse_string", **FORM | {"schedule_name": "other"}).headers["Location"]

    answer = send(page, f"{other}/edit", **FORM)

    assert answer.status_code == 422
    assert "already" in answer.text
