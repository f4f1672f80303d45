"""Storing what the code declares beside task types, when the service is set up."""

from marshmallow import ValidationError

from app.clock import utcnow
from app.errors import Refused
from app.services import admission, schedules
from app.services.schedules.declared import Declaration, DeclarationRefused
from app.web.requests.parsing import refusal
from app.web.schemas.schedules import PutSchedule
from app.web.transactions import transaction
from taskledger_sdk.registry import known_types
from taskledger_sdk.schedules import DeclaredSchedule, load_schedules


def store_declarations() -> list[str]:
    """Store them, all or nothing; returns a line for each change. Raises Refused with the place of what cannot be."""
    declared = {name: _read(each) for name, each in load_schedules().items()}
    with transaction() as session:
        limits = admission.declared.sync(session, known_types().values(), now=utcnow())
        return [*limits, *schedules.sync(session, declared, now=utcnow())]


def _read(declared: DeclaredSchedule) -> Declaration:
    """As a request would be read, with the same words for what is wrong."""
    try:
        wanted = PutSchedule().load({"name": declared.name, **declared.written})
    except ValidationError as error:
        raise DeclarationRefused(declared.name, declared.place, refusal(error)) from None
    except Refused as error:
        raise DeclarationRefused(declared.name, declared.place, error) from None
    return Declaration(schedule=wanted.schedule, digest=declared.digest, place=declared.place)
