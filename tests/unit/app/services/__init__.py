"""Services whose rules are pure."""
