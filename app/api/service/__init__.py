"""The service itself over HTTP: health, metrics, statistics, integrity, workers."""
