#!/usr/bin/env python3
"""Makes every secret of deploy/compose/production.yml, once: keys, passwords, URLs, and its own certificates.

    python3 deploy/compose/make_secrets.py [FOLDER]        (deploy/compose/secrets unless given)

What is there already stays as it is, so that the script can be run again. It needs python3 and openssl, nothing else.
The folder is open to its owner only; the files in it can be read by all, because containers run under accounts of their
own and see one file each, never the folder.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFINITIONS = HERE.parent / "rabbitmq" / "definitions.json"
HOSTS = {"postgres": "postgres", "rabbitmq": "rabbitmq", "nginx": "localhost"}
"""The host name in each service's certificate; localhost and 127.0.0.1 are in all of them."""
DAYS = "3650"


def main(folder: Path) -> None:
    """Make what is missing."""
    os.umask(0o022)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    postgres = _made(folder / "postgres_password", lambda: secrets.token_hex(24))
    rabbitmq = _made(folder / "rabbitmq_password", lambda: secrets.token_hex(24))
    _made(folder / "secret_key", lambda: secrets.token_hex(32))
    _made(folder / "payload_keys", lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    _made(folder / "admin_password", lambda: secrets.token_urlsafe(24))
    _made(folder / "admin_api_key", lambda: f"tl_{secrets.token_urlsafe(32)}")
    flower = _made(folder / "flower_basic_auth", lambda: f"admin:{secrets.token_hex(16)}")
    _made(
        folder / "database_url",
        lambda: (
            f"postgresql://taskledger:{postgres}@postgres:5432/taskledger"
            "?sslmode=verify-full&sslrootcert=/run/secrets/ca.pem"
        ),
    )
    _made(folder / "broker_url", lambda: f"amqps://taskledger:{rabbitmq}@rabbitmq:5671//")
    _made(folder / "flower_broker_api", lambda: f"http://taskledger:{rabbitmq}@rabbitmq:15672/api/")
    _made(folder / "rabbitmq_definitions.json", lambda: json.dumps(_definitions(rabbitmq), indent=2))
    _certificates(folder)
    sys.stdout.write(f"Secrets are in {folder}. Flower: {flower.partition(':')[0]}, password in flower_basic_auth.\n")


def _made(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; it is made when it is not there."""
    if not path.exists():
        path.write_text(make())
    return path.read_text().strip()


def _definitions(password: str) -> dict[str, object]:
    """Our policies, and the one user; RabbitMQ makes no user of its own where definitions are loaded."""
    user = {"name": "taskledger", "password_hash": rabbitmq_hash(password), "tags": ["monitoring"]}
    permissions = {"user": "taskledger", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return {**json.loads(DEFINITIONS.read_text()), "users": [user], "permissions": [permissions]}


def rabbitmq_hash(password: str) -> str:
    """As RabbitMQ stores passwords: base64 of four bytes of salt and the SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _certificates(folder: Path) -> None:
    authority, key = folder / "ca.pem", folder / "ca.key"
    if not authority.exists():
        subject = ["-subj", "/CN=Taskledger's own authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", "-x509", *_new_key(key), "-out", authority, "-days", DAYS, *subject)
    for service, host in HOSTS.items():
        certificate, request = folder / f"{service}.crt", folder / f"{service}.csr"
        if certificate.exists():
            continue
        _openssl("req", *_new_key(folder / f"{service}.key"), "-out", request, "-subj", f"/CN={host}")
        extensions = folder / f"{service}.ext"
        extensions.write_text(f"subjectAltName=DNS:{host},DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        signed_by = ["-CA", authority, "-CAkey", key, "-CAcreateserial", "-extfile", extensions]
        (folder / f"{service}.key").chmod(0o644)  # openssl makes it 0600
        _openssl("x509", "-req", "-in", request, "-out", certificate, "-days", DAYS, *signed_by)
        request.unlink()
        extensions.unlink()


def _new_key(path: Path) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "secrets")
