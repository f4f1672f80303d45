"""invoice: the orders of a customer and a period become an invoice, a PDF and a mail."""

from tasks.workflow import ref, step, text, workflow

ISSUED = {"equals": [ref("steps.create_invoice.result.created"), True]}
"""Another run may have issued the same invoice before; then it also sent it, and nobody gets it twice."""

INVOICE = workflow(
    "invoice",
    description="Fetch a customer's orders of a period, invoice them, print the invoice and mail it to the customer",
    inputs={
        "customer_id": {"type": "string"},
        "date_from": {"type": "date", "description": "First day of the period"},
        "date_to": {"type": "date", "description": "Last day of the period"},
        "email": {"type": "string", "required": False, "description": "Instead of the address in the orders"},
        "seller": {"type": "object", "required": False, "description": "Who sends the invoice, as printed"},
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
