"""Numbers and days as people read them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tasks.money import places

SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "PLN": "zł", "CHF": "CHF", "JPY": "¥", "CZK": "Kč", "INR": "₹"}


def money(amount: Decimal, currency: str) -> str:
    """1,234.50 €: with the decimals it came with, and at least as many as its currency has."""
    return f"{plain(amount, places(currency))}\u00a0{SIGNS.get(currency, currency)}"


def plain(number: Decimal, decimals: int = 0) -> str:
    """1,234.5: no trailing zeros past `decimals` digits."""
    exponent = number.normalize().as_tuple().exponent
    shown = max(decimals, -exponent if isinstance(exponent, int) else 0)
    text = f"{number:,.{shown}f}"
    return text.replace("-", "−")


def day(moment: dt.date) -> str:
    """31 Jan 2026, which no two countries read differently."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{moment.day} {months[moment.month - 1]} {moment.year}"
