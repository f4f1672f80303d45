"""The worker without a broker."""
