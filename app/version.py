"""The version of this release, which the service and its SDK share; the API and the commands read it here."""

from taskledger_sdk import __version__

VERSION = __version__
