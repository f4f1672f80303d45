"""Money: the one rule by which amounts are rounded, and what the currencies need for it. Pure.

An amount is rounded once, where it is made: quantity times price for each charged line, and the tax of each rate. It is
rounded half away from zero to the currency's smallest unit. Sums are of rounded amounts, and never rounded again.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

# ISO 4217, the currencies whose smallest unit is not a hundredth.
WITHOUT_DECIMALS = re.compile("BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF")
THREE_DECIMALS = re.compile("BHD|IQD|JOD|KWD|LYD|OMR|TND")
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)  # more digits than quantity, price and rate have together


def places(currency: str) -> int:
    """Decimal places of the currency's smallest unit."""
    return 0 if WITHOUT_DECIMALS.fullmatch(currency) else 3 if THREE_DECIMALS.fullmatch(currency) else 2


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's smallest unit, half away from zero."""
    return EXACT.quantize(amount, Decimal(1).scaleb(-places(currency)))


def line_net(quantity: Decimal, unit_price: Decimal, currency: str) -> Decimal:
    """What a line comes to before tax, rounded."""
    return rounded(EXACT.multiply(quantity, unit_price), currency)


def is_whole(quantity: Decimal, unit_price: Decimal, currency: str) -> bool:
    """Whether a line comes to whole smallest units, so that lines may be joined without another sum."""
    return line_net(quantity, unit_price, currency) == EXACT.multiply(quantity, unit_price)
