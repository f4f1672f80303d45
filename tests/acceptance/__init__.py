"""Real brokers, real processes: what an operator sees."""
