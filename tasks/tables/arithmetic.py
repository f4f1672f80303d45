"""Arithmetic with decimals in the engine: exact, or refused; a quotient is rounded once, half away from zero."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tasks.tables.kinds import MAX_DIGITS

if TYPE_CHECKING:
    from duckdb import Expression

MIN_PLACES, MORE_PLACES, MAX_PLACES = 12, 6, 30


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A number of a row: an exact decimal with `digits` behind the point, or a float if these are None."""

    value: Expression
    digits: int | None

    def wide(self) -> Expression:
        """With room for the result; the engine computes within the width of its operands."""
        from duckdb import decimal_type

        return self.value if self.digits is None else self.value.cast(decimal_type(MAX_DIGITS, self.digits))

    def floating(self) -> Expression:
        """As a float."""
        from duckdb.sqltypes import DOUBLE

        return self.value.cast(DOUBLE)


def places(left: int, right: int) -> int:
    """How many digits behind the point a quotient is rounded to."""
    return min(MAX_PLACES, max(MIN_PLACES, left + MORE_PLACES, right + MORE_PLACES))


def quotient(left: Operand, right: Operand) -> Expression:
    """The quotient as a decimal; NULL where `right` is zero."""
    from duckdb import CaseExpression, ConstantExpression, FunctionExpression, decimal_type
    from duckdb.sqltypes import HUGEINT

    assert left.digits is not None  # noqa: S101  (floats are divided by the engine)
    assert right.digits is not None  # noqa: S101
    kept = places(left.digits, right.digits)
    zero = ConstantExpression(0).cast(HUGEINT)
    above = _unscaled(left) * ConstantExpression(10 ** (kept + right.digits - left.digits)).cast(HUGEINT)
    below = _unscaled(right)
    twice = FunctionExpression("abs", above) * ConstantExpression(2).cast(HUGEINT) + FunctionExpression("abs", below)
    size = FunctionExpression("//", twice, FunctionExpression("abs", below) * ConstantExpression(2).cast(HUGEINT))
    signed = size * FunctionExpression("sign", above) * FunctionExpression("sign", below)
    made = signed.cast(decimal_type(MAX_DIGITS, 0)) * ConstantExpression(Decimal(1).scaleb(-kept))
    return CaseExpression(below != zero, made)


def remainder(left: Operand, right: Operand) -> Expression:
    """What is left of left / right, with the sign of left, exactly; NULL where right is zero."""
    from duckdb import CaseExpression, ConstantExpression, decimal_type
    from duckdb.sqltypes import HUGEINT

    digits = max(left.digits or 0, right.digits or 0)
    one, other = (_unscaled(each, digits) for each in (left, right))
    made = (one % other).cast(decimal_type(MAX_DIGITS, 0)) * ConstantExpression(Decimal(1).scaleb(-digits))
    return CaseExpression(other != ConstantExpression(0).cast(HUGEINT), made)


def _unscaled(operand: Operand, digits: int | None = None) -> Expression:
    """The decimal times ten to the power of its digits, or of more: a whole number."""
    from duckdb import ConstantExpression
    from duckdb.sqltypes import HUGEINT

    power = operand.digits if digits is None else digits
    assert power is not None  # noqa: S101
    return (operand.wide() * ConstantExpression(Decimal(10) ** power)).cast(HUGEINT)
