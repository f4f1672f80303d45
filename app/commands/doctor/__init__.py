"""`flask --app app doctor`: the production checklist, verified point by point."""

from app.commands.doctor.command import doctor

__all__ = ["doctor"]
