"""invoice_email: print an invoice that was issued before, and mail it."""

from taskledger_sdk.workflows import ref, step, text, workflow

INVOICE_EMAIL = workflow(
    "invoice_email",
    description="Print an invoice that was issued before, and mail it",
    inputs={
        "customer_id": {"type": "string"},
        "email": {"type": "email", "description": "Who gets it"},
        "invoice": {"type": "object", "description": "As create_invoice returned it"},
        "seller": {"type": "object", "required": False, "description": "Who sends the invoice, as printed"},
    },
    labels={"customer_id": ref("input.customer_id")},
    steps={
        "generate_pdf": step(
            "generate_pdf",
            {"template": "invoice", "data": ref("input.invoice"), "seller": ref("input.seller", default=None)},
        ),
        "send_email": step(
            "send_email",
            {
                "to": ref("input.email"),
                "subject": text("Invoice ", ref("input.invoice.number")),
                "text": text("Please find attached invoice ", ref("input.invoice.number"), ".\n"),
                "attachments": [ref("steps.generate_pdf.result.artifact_id")],
            },
            after=["generate_pdf"],
        ),
    },
)
