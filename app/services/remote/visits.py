"""How often a check against a JSON Schema looks at the values of a payload, counted before it is made. Pure.

A schema that leads to one member twice, as `oneOf` of two shapes with the same field does, looks at the member twice,
at what is in there four times, and so on: after thirty levels it would look for days. How many levels there are is up
to the payload, so each one is counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

MAX_VISITS = 2_000_000  # in one check: it takes up to half a second
MAX_CHAIN = 200  # schemas that lead to each other without going down into the payload

Parts = Mapping[str, Mapping[str, Any]]
"""All schemas in a schema, each by its place as `$ref` writes it."""
Places = frozenset[tuple[str, int]]
"""Places that are asked of one value, each with how often it is."""


class Visits(NamedTuple):
    """How often values are looked at: all together, and the one that is looked at most."""

    total: int
    most_of_one: int


class TooManyVisits(Exception):
    """A check would take too long."""


class VisitCounter:
    """Counts for one schema. `in_place`: for each place those of the schemas that are asked of the same value."""

    def __init__(self, parts: Parts, in_place: Mapping[str, Sequence[Any]]) -> None:
        self._parts = parts
        self._in_place = in_place
        self._asked: dict[str, Counter[str]] = {}

    def of(self, data: Any) -> Visits:
        """The visits of a payload; none where the schema leads to no member twice. Raises TooManyVisits."""
        if not self._multiplies:
            return Visits(0, 0)
        total = most = 0
        rest: list[tuple[Any, Places]] = [(data, frozenset({("#", 1)}))]
        asked_at, below_at = cache(self._all_asked), cache(self._below)  # values of a payload are much alike
        while rest:
            value, places = rest.pop()
            here = asked_at(places).total()
            total, most = total + here * (1 + _size(value)), max(most, here)
            if total > MAX_VISITS:
                raise TooManyVisits
            for key, below in _containers(value):
                step = min(key, self._longest_prefix) if isinstance(key, int) else key
                if led_to := below_at(places, step):
                    rest.append((below, led_to))
        return Visits(total, most)

    @cached_property
    def _multiplies(self) -> bool:
        """Whether a member may be led to more than once; if none is, the check is as long as the payload."""
        looked_at = 0
        for place in self._parts:
            asked = self._asked_at(place, ())
            looked_at += len(asked)
            if looked_at > MAX_VISITS or self._leads_twice(asked):
                return True
        return False

    def _leads_twice(self, asked: Counter[str]) -> bool:
        members: Counter[str] = Counter()
        any_member = any_item = 0
        for place, times in asked.items():
            part = self._parts[place]
            members.update(dict.fromkeys(_named(part, "properties"), times))
            any_member += times * sum(
                _asks(part.get(each)) for each in ("additionalProperties", "unevaluatedProperties")
            )
            any_member += times * len(_named(part, "patternProperties"))
            any_item += times * sum(each in part for each in ("items", "prefixItems", "unevaluatedItems", "contains"))
        return any_item > 1 or any_member + max(members.values(), default=0) > 1

    @cached_property
    def _longest_prefix(self) -> int:
        """The items of a list from this one on are all alike."""
        return max(_size(part.get("prefixItems")) for part in self._parts.values())

    def _all_asked(self, places: Places) -> Counter[str]:
        """Those places with all that are asked of the same value, each as often as it is."""
        found: Counter[str] = Counter()
        for place, times in places:
            for each, more in self._asked_at(place, ()).items():
                found[each] += times * more
        return found

    def _asked_at(self, place: str, above: tuple[str, ...]) -> Counter[str]:
        if place in self._asked:
            return self._asked[place]
        found = Counter((place,))
        for each in self._in_place[place]:
            if each in self._parts and each not in above:
                found.update(self._asked_at(each, (*above, place)))
        if len(above) > MAX_CHAIN or found.total() > MAX_VISITS:
            raise TooManyVisits
        self._asked[place] = found
        return found

    def _below(self, places: Places, key: str | int) -> Places:
        """The places that are asked of a member or an item, as far as they ask anything."""
        found: Counter[str] = Counter()
        for place, times in self._all_asked(places).items():
            for each in _led_to(self._parts[place], place, key):
                if self._parts.get(each):
                    found[each] += times
        return frozenset(found.items())


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _containers(value: Any) -> Iterator[tuple[str | int, Any]]:
    """What is in a list or an object, and holds something itself."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    return ((key, below) for key, below in pairs if _size(below))


def _led_to(part: Mapping[str, Any], place: str, key: str | int) -> Iterator[str]:
    """Where one schema leads for a member, or for an item of a list; more places rather than fewer."""
    if isinstance(key, int):
        yield f"{place}/prefixItems/{key}"
        yield from (f"{place}/{each}" for each in ("items", "unevaluatedItems", "contains"))
    elif key in _named(part, "properties"):
        yield f"{place}/properties/{escaped(key)}"
    else:
        yield from (f"{place}/{each}" for each in ("additionalProperties", "unevaluatedProperties"))
    if isinstance(key, str):
        yield from (f"{place}/patternProperties/{escaped(each)}" for each in _named(part, "patternProperties"))


def _named(part: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    found = part.get(keyword)
    return found if isinstance(found, Mapping) else {}


def _asks(schema: Any) -> bool:
    """Whether a schema looks at a value: true, false and {} do not."""
    return isinstance(schema, Mapping) and bool(schema)


def escaped(name: str) -> str:
    """A name as one step of a place."""
    return name.replace("~", "~0").replace("/", "~1")
