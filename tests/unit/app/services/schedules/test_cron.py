"""Cron expressions: what is refused, and whether the refusal says which part is wrong."""

import pytest

from app.errors import Refused
from app.services.schedules import cron as crons
from app.services.schedules import zones


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60 * * * *", "minute: '60' is not understood; it takes 0 to 59"),
        ("* 24 * * *", "hour: '24'"),
        ("0 0 32 * *", "day-of-month: '32'"),
        ("0 0 0 * *", "day-of-month: '0'"),
        ("0 0 * 13 *", "month: '13'"),
        ("0 0 * FOO *", "month: 'FOO'"),
        ("0 0 * * 8", "day-of-week: '8'"),
        ("0 0 * * MON-XYZ", "day-of-week: 'MON-XYZ'"),
        ("0,61,5 * * * *", "minute: '61' in '0,61,5'"),
        ("5-1 * * * *", "minute: '5-1'"),
        ("*/0 * * * *", "minute: '*/0'"),
        ("*/ * * * *", "minute: '*/'"),
        (", * * * *", "minute: ''"),
        ("0 0 ? * *", "day-of-month: '?'"),
        ("٣ * * * *", "minute: '٣'"),
        ("0 0 31 2 *", "day-of-month '31' never comes in month '2'"),
        ("0 0 30 FEB *", "day-of-month '30' never comes in month 'FEB'"),
        ("0 0 31 4,6,9,11 *", "day-of-month '31' never comes"),
        ("0 0 9 * * *", "has 6 fields instead of 5: minute hour day-of-month month day-of-week (there are no seconds"),
        ("0 9 * *", "has 4 fields instead of 5"),
        ("", "has 0 fields instead of 5"),
        ("@dayly", "'@dayly' is no alias; did you mean @daily?"),
        ("@reboot", "'@reboot' is no alias"),
        ("*" * 201, "has 201 characters; 200 are allowed"),
    ],
)
def test_a_bad_expression_is_refused_with_the_part_that_is_wrong(text, said):
    with pytest.raises(Refused) as refused:
        crons.parse(text)

    assert said in refused.value.errors["cron"][0]


@pytest.mark.parametrize(("alias", "expanded"), crons.ALIASES.items())
def test_an_alias_means_its_five_fields(alias, expanded):
    assert crons.parse(alias.upper()).expanded == expanded


def test_the_thirty_first_of_february_or_a_monday_is_possible():
    assert crons.parse("0 0 31 2 1").expanded == "0 0 31 2 1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Berln", "the nearest is Europe/Berlin"),
        ("europe/berlin", "the nearest is Europe/Berlin"),
        ("../../etc/passwd", "is no IANA time zone"),
        ("localtime", "is no IANA time zone"),
        ("", "is no IANA time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_name(name, said):
    with pytest.raises(Refused) as refused:
        zones.find(name)

    assert said in refused.value.errors["time_zone"][0]
