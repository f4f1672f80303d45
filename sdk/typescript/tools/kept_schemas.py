"""Cut the part out of the OpenAPI document that the client's types are made of, from standard input to standard output.

Only schemas, and only those that the client reads and writes: the file that is made of them stays short, and changes
when they do. What depends on the task types of an installation is replaced by one that takes any type.
"""

import json
import re
import sys
from typing import Any

KEPT = (
    "ArtifactView", "AttemptView", "ChangeSchedule", "ChangeTask", "ChangeTrigger", "CreateSchedule", "CreateTrigger",
    "HeartbeatStates", "LogLineView", "MatchView", "OutcomeStates", "OutsideEventDetails", "OutsideEventView",
    "Problem", "PutSchedule", "RetryTask", "RunDetails", "ScheduleView", "SignalView", "StartRun", "Submission",
    "TaskStepView", "TaskTypeView", "TaskView", "TriggerTask", "TriggerView", "WhyView", "WorkItems",
)  # fmt: skip
REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')


def of_any_type(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of one task type, opened for all."""
    opened = {
        "type": {"type": "string", "description": "A task type of the installation"},
        "payload": {"description": "What the handler of this type takes"},
        "timeout": {"type": ["integer", "null"], "description": "Seconds that an attempt may take"},
    }
    return {**schema, "properties": {**schema["properties"], **opened}}


def part_of(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas that are kept, and what they refer to. Pure."""
    schemas = document["components"]["schemas"]
    schemas["Submission"] = of_any_type(schemas["ReverseStringSubmission"])
    schemas["TaskTemplate"] = of_any_type(schemas["ReverseStringTemplate"])
    kept: dict[str, Any] = {}
    wanted = set(KEPT)
    while wanted:
        name = wanted.pop()
        kept[name] = schemas[name]
        wanted |= set(REFERENCE.findall(json.dumps(schemas[name]))) - set(kept)
    return {
        "openapi": document["openapi"],
        "info": document["info"],
        "paths": {},
        "components": {"schemas": dict(sorted(kept.items()))},
    }


if __name__ == "__main__":
    json.dump(part_of(json.load(sys.stdin)), sys.stdout)
