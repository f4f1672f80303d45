"""What stands before and after each request: proxies, other origins, the line of the log."""
