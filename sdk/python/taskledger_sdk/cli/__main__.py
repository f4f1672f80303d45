"""`python -m taskledger_sdk.cli` is `tledger`."""

from taskledger_sdk.cli import main

main()
