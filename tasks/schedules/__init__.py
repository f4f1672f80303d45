"""The service's own schedules, one a file, as `taskledger_sdk.schedule` declares them; it brings none."""
