"""The shapes of requests and answers that more than one resource, or the dashboard as well, uses."""
