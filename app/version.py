"""The version of this release: the one place that says it. pyproject.toml, the API and the commands read it here."""

VERSION = "0.1.0"
