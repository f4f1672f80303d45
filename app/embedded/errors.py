"""What stops a start: one error, whose message is the one line a person reads."""


class CannotStart(Exception):
    """The embedded mode cannot start; the message says what is wrong, where, and what to do next."""
