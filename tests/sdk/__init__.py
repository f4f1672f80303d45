"""What authors get: the SDK as it is distributed, in an environment that holds nothing of the service."""
