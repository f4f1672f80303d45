"""The service's own workflows, one a file; taskledger_sdk.workflows finds them."""
