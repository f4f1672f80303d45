"""What the API and the dashboard share: callers and their limits, requests, answers, transactions, live connections."""
