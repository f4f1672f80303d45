"""The version of this release: the one place that says it, for the SDK and for the service, which go together."""

VERSION = "0.1.0"
