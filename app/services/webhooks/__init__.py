"""Webhooks: endpoints and their secrets, one delivery for an event and endpoint, the log of what was sent."""

from app.services.circuits import DELIVERY_TYPE
from app.services.webhooks.deliveries import fan_out, prune, send_again, send_test
from app.services.webhooks.deliveries import find as find_deliveries
from app.services.webhooks.deliveries import read as read_delivery
from app.services.webhooks.endpoints import (
    EVENTS,
    FINISHED_EVENTS,
    NewWebhook,
    change,
    circuits_of,
    create,
    delete,
    find,
    read,
    rotate,
)
from app.services.webhooks.sending import NotDeliverable, Outgoing, note_attempt, outgoing, rotate_account
from app.services.webhooks.upkeep import adopt_earlier, give_up

__all__ = [
    "DELIVERY_TYPE",
    "EVENTS",
    "FINISHED_EVENTS",
    "NewWebhook",
    "NotDeliverable",
    "Outgoing",
    "adopt_earlier",
    "change",
    "circuits_of",
    "create",
    "delete",
    "fan_out",
    "find",
    "find_deliveries",
    "give_up",
    "note_attempt",
    "outgoing",
    "prune",
    "read",
    "read_delivery",
    "rotate",
    "rotate_account",
    "send_again",
    "send_test",
]
