"""The service's own workflows, one a file; taskledger_sdk.workflow finds them."""
