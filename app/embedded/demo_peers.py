"""The peers of the demonstration: an orders service, a mail catcher and Flower, and the settings that name them."""

import json

from app.embedded.settings import EmbeddedSettings

SELLER = json.dumps({
    "name": "Nordlicht Kaffee GmbH",
    "address": ["Hafenstrasse 12", "20457 Hamburg", "Germany"],
    "tax_id": "DE 123 456 789",
    "bank": "IBAN DE02 1203 0000 0000 2020 51",
})  # fmt: skip


def peer_settings(settings: EmbeddedSettings) -> dict[str, str]:
    """The settings of task types that use them; what a person sets takes their place."""
    return {
        "DASHBOARD_LINKS": f"Flower=http://127.0.0.1:{settings.flower_port}",
        "ORDERS_API_URL": f"http://127.0.0.1:{settings.demo_orders_port}",
        "SMTP_URL": f"smtp://127.0.0.1:{settings.mail_catcher_port}",
        "INVOICE_SELLER": SELLER,
        "MAIL_FROM": "Taskledger <taskledger@localhost>",
        "OUTBOUND_ALLOW": f"127.0.0.1:{settings.demo_orders_port}",
    }
