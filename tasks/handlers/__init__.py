"""The task types, one file each; every module here is imported and registered by taskledger_sdk.registry."""
