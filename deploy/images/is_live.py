"""Whether what runs in this container answers over HTTP: python is_live.py PORT PATH; a status of 0 if it does.

Health checks run it each few seconds: it loads nothing but sockets.
"""

import socket
import sys

port, path = sys.argv[1:]
try:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=3) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head = connection.recv(12)
except OSError as error:
    sys.exit(f"port {port} does not answer: {error}")
sys.exit(None if head.endswith(b" 200") else f"GET {path} was answered with {head.decode('latin-1')}")
