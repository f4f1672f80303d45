"""The soak: a mixed load for minutes, a fault every ten seconds, and nothing lost, doubled or leaked at the end."""
