"""invoice: the orders of a customer and a period become an invoice, a PDF and a mail."""

from taskledger_sdk.workflows import ref, step, text, workflow

ISSUED = {"equals": [ref("steps.create_invoice.result.created"), True]}
"""Another run may have issued the same invoice before; then it also sent it, and nobody gets it twice."""

INVOICE = workflow(
    "invoice",
    description="Fetch a customer's orders of a period, invoice them, print the invoice and mail it to the customer",
    inputs={
        "customer_id": {"type": "string"},
        "date_from": {"type": "date", "description": "First day of the period"},
        "date_to": {"type": "date", "description": "Last day of the period"},
        "email": {"type": "email", "required": False, "description": "Instead of the address in the orders"},
        "seller": {"type": "object", "required": False, "description": "Who sends the invoice, as printed"},
        "time_zone": {
            "type": "string",
            "required": False,
            "description": "IANA name of the zone of the invoice's date; a cron schedule gives its own",
        },
        "may_overlap": {
            "type": "boolean",
            "required": False,
            "default": False,
            "description": "Whether the customer may have other invoices for some of the same days",
        },
        "note": {"type": "string", "required": False, "default": "", "description": "Printed below the total"},
    },
    labels={"customer_id": ref("input.customer_id")},
    steps={
        "fetch_orders": step(
            "fetch_orders",
            {
                "customer_id": ref("input.customer_id"),
                "date_from": ref("input.date_from"),
                "date_to": ref("input.date_to"),
            },
        ),
        "create_invoice": step(
            "create_invoice",
            {
                "customer_id": ref("input.customer_id"),
                "customer_name": ref("steps.fetch_orders.result.customer_name"),
                "date_from": ref("input.date_from"),
                "date_to": ref("input.date_to"),
                "currency": ref("steps.fetch_orders.result.currency"),
                "lines": ref("steps.fetch_orders.result.lines"),
                "time_zone": ref("input.time_zone", default=None),
                "may_overlap": ref("input.may_overlap", default=False),
                "delivery": {
                    "send_to": ref("input.email", default=ref("steps.fetch_orders.result.customer_email")),
                    "seller": ref("input.seller", default=None),
                    "note": ref("input.note", default=""),
                },
            },
            after=["fetch_orders"],
            when={"greater": [ref("steps.fetch_orders.result.order_count"), 0]},
        ),
        "generate_pdf": step(
            "generate_pdf",
            {
                "template": "invoice",
                "data": ref("steps.create_invoice.result"),
                "seller": ref("input.seller", default=None),
                "note": ref("input.note", default=""),
            },
            after=["create_invoice"],
            when=ISSUED,
        ),
        "send_email": step(
            "send_email",
            {
                "to": ref("input.email", default=ref("steps.fetch_orders.result.customer_email")),
                "subject": text("Invoice ", ref("steps.create_invoice.result.number")),
                "text": text(
                    "Please find attached invoice ",
                    ref("steps.create_invoice.result.number"),
                    " for ",
                    ref("input.date_from"),
                    " to ",
                    ref("input.date_to"),
                    ": ",
                    ref("steps.create_invoice.result.total"),
                    " ",
                    ref("steps.create_invoice.result.currency"),
                    ", due on ",
                    ref("steps.create_invoice.result.due_on"),
                    ".\n",
                ),
                "attachments": [ref("steps.generate_pdf.result.artifact_id")],
            },
            after=["generate_pdf"],
        ),
    },
)
