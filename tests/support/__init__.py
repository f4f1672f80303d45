"""What the tests start and make: servers, task types, accounts, rows."""
