"""What a new release would break: work that is stored already, held against the types that it brings."""

from app.services.releases.checking import check
from app.services.releases.findings import Finding, Kind, Problem, Report, Sampled, Upgraded
from app.services.releases.json_schema import BadSchema
from app.services.releases.new_release import NewRelease, NewType, new_type

__all__ = [
    "BadSchema",
    "Finding",
    "Kind",
    "NewRelease",
    "NewType",
    "Problem",
    "Report",
    "Sampled",
    "Upgraded",
    "check",
    "new_type",
]
