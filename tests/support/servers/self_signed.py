"""A certificate for 127.0.0.1 that signs itself, with its key, in one file."""

import subprocess
from pathlib import Path


def self_signed(folder: Path, *, name: str = "IP:127.0.0.1") -> Path:
    """Make it; `name` is what it is for, as openssl writes it. Raises CalledProcessError."""
    made = folder / "self-signed.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", f"subjectAltName={name}", "-keyout", "-", "-out", "-"]
    made.write_bytes(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return made
