"""The service's own workflows, one a file; tasks.workflow finds them."""
