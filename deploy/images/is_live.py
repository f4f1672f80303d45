"""Whether the API in this container answers, with a status of 0. Run each ten seconds: it loads next to nothing."""

import socket
import sys

with socket.create_connection(("127.0.0.1", 8000), timeout=3) as connection:
    connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
    sys.exit(connection.recv(12)[9:] != b"200")
