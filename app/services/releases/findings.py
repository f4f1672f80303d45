"""What a release check found: one finding for each kind of work, type and schema, with its paths and samples. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from app.services.releases.json_schema import Fault

MAX_FINDINGS = 500
MAX_SAMPLES, MAX_PATHS = 5, 20


class Kind(StrEnum):
    """What is stored and would not go on."""

    TASK = "task"
    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    WORKFLOW = "workflow"
    RUN = "run"


class Problem(StrEnum):
    """What is wrong with it."""

    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One of those that were found: what it is called, and its first fault."""

    id: str
    name: str | None = None
    path: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PathCount:
    """How many have a fault at this place, and what one of them is."""

    path: str
    message: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Work of a type that the new release would refuse, or has no type for any more."""

    kind: Kind
    problem: Problem
    type: str
    schema_hash: str | None
    """The schema that it was accepted under; None is not known, or there are several."""
    count: int
    is_estimate: bool
    """Whether the count was told from a sample."""
    paths: Sequence[PathCount]
    samples: Sequence[Sample]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """A type of which not all was looked at."""

    kind: Kind
    type: str
    checked: int
    of: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Upgraded:
    """Unfinished tasks that the new release says it upgrades, which nobody has tried."""

    type: str
    schema_hash: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a release would break; nothing, if there are no findings."""

    at: datetime
    findings: Sequence[Finding]
    left_out: int
    """Findings that are not in the list."""
    checked: dict[str, int]
    """How many of each kind were looked at."""
    unchanged: int
    """Unfinished tasks that were accepted under the very schema of the new release."""
    unreadable: dict[str, int]
    """Payloads that could not be decrypted or read, by type."""
    sampled: Sequence[Sampled]
    upgraded: Sequence[Upgraded]

    @property
    def clean(self) -> bool:
        """Whether the release may come."""
        return not self.findings


@dataclass
class _Gathered:
    count: int = 0
    samples: list[Sample] = field(default_factory=list)
    paths: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)


_Key = tuple[Kind, Problem, str, str | None]


class Findings:
    """Gathers what is found, so that a hundred thousand tasks become a page."""

    def __init__(self) -> None:
        self._found: dict[_Key, _Gathered] = {}
        self._left_out: set[_Key] = set()
        self._factors: dict[tuple[Kind, str], float] = {}
        self.checked: Counter[Kind] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.sampled: list[Sampled] = []

    def sample(self, kind: Kind, type_name: str, *, checked: int, of: int) -> None:
        """Of this type, so many were looked at, of so many: what was found stands for the others, too."""
        if checked < of:
            self.sampled.append(Sampled(kind=kind, type=type_name, checked=checked, of=of))
            self._factors[kind, type_name] = of / max(checked, 1)

    def gone(self, kind: Kind, type_name: str, *, count: int = 1, sample: Sample | None = None) -> None:
        """Work of a type that is not there any more."""
        self._add((kind, Problem.GONE, type_name, None), count, sample, ())

    def refused(
        self,
        kind: Kind,
        type_name: str,
        schema_hash: str | None,
        faults: Sequence[Fault],
        *,
        found_id: str,
        name: str | None,
    ) -> None:
        """Work whose payload the new schema refuses; the paths of the faults are told as they are."""
        sample = Sample(id=found_id, name=name)
        if faults:
            sample = replace(sample, path=_told(faults[0]), message=faults[0].message)
        self._add((kind, Problem.REFUSED, type_name, schema_hash), 1, sample, faults)

    def _add(self, key: _Key, count: int, sample: Sample | None, faults: Sequence[Fault]) -> None:
        if key not in self._found and len(self._found) >= MAX_FINDINGS:
            self._left_out.add(key)
            return
        found = self._found.setdefault(key, _Gathered())
        found.count += count
        if sample is not None and len(found.samples) < MAX_SAMPLES:
            found.samples.append(sample)
        for path, message in {_told(fault): fault.message for fault in faults}.items():
            if path in found.messages or len(found.messages) < MAX_PATHS:
                found.paths[path] += 1
                found.messages.setdefault(path, message)

    def report(self, *, at: datetime, unchanged: int, upgraded: Sequence[Upgraded]) -> Report:
        """All of it, the largest first."""
        findings = [self._finding(key, found) for key, found in self._found.items()]
        return Report(
            at=at,
            findings=sorted(findings, key=lambda each: (-each.count, each.kind, each.type)),
            left_out=len(self._left_out),
            checked={kind.value: self.checked[kind] for kind in Kind},
            unchanged=unchanged,
            unreadable=dict(sorted(self.unreadable.items())),
            sampled=self.sampled,
            upgraded=upgraded,
        )

    def _finding(self, key: _Key, found: _Gathered) -> Finding:
        kind, problem, type_name, schema_hash = key
        factor = self._factors.get((kind, type_name), 1.0) if problem is Problem.REFUSED else 1.0
        return Finding(
            kind=kind,
            problem=problem,
            type=type_name,
            schema_hash=schema_hash,
            count=round(found.count * factor),
            is_estimate=factor > 1,
            paths=[
                PathCount(path=path, message=found.messages[path], count=round(count * factor))
                for path, count in found.paths.most_common()
            ],
            samples=found.samples,
        )


def _told(fault: Fault) -> str:
    return ".".join(fault.path)
