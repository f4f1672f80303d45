"""The task types, one file each; every module here is imported and registered by tasks.registry."""
