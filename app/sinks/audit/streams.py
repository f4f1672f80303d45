"""Sending over a TCP or TLS connection so that it is known what the other side has read.

Syslog has no acknowledgement, and what was written to a connection may die in a buffer with the receiver. So each batch
has a connection of its own: we say that nothing follows, and wait until the receiver, which reads this behind all that
was sent, hangs up. A receiver that ends with something unread resets the connection, and the batch is sent again.
"""

import errno
import fcntl
import os
import socket
import ssl
import struct
import termios
import time

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LOOK_SECONDS = 0.01
PIECE = 65_536


def send(data: bytes, address: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
    """Send it, and return when the receiver has read all of it. Raises OSError."""
    deadline = time.monotonic() + CONNECT_SECONDS + READ_SECONDS
    with socket.create_connection(address, timeout=CONNECT_SECONDS) as connection:
        connection.settimeout(READ_SECONDS)
        if tls is None:
            connection.sendall(data)
            _hang_up(connection, deadline)
            return
        with tls.wrap_socket(connection, server_hostname=address[0]) as encrypted:
            encrypted.sendall(data)
            _hang_up(_end_tls(encrypted), deadline)


def _end_tls(encrypted: ssl.SSLSocket) -> socket.socket:
    """Say within TLS that nothing follows; returns the bare connection, unless the receiver hangs up without TLS."""
    try:
        return encrypted.unwrap()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return encrypted
    except OSError as error:
        if isinstance(error, ssl.SSLError) or error.errno:
            raise
        return encrypted  # the other side has hung up, which OpenSSL reports as an error without a number


def _hang_up(connection: socket.socket, deadline: float) -> None:
    """Say that nothing follows, and wait until the other side has read that."""
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # it has hung up already; what it had read by then is asked below
            raise
    bare = socket.socket(fileno=os.dup(connection.fileno()))  # of a TLS connection, what is beneath
    with bare:
        while True:
            bare.settimeout(max(LOOK_SECONDS, deadline - time.monotonic()))
            if not bare.recv(PIECE):
                break
        _ask_whether_all_arrived(bare, deadline)


def _ask_whether_all_arrived(connection: socket.socket, deadline: float) -> None:
    """Raises OSError when the other side had hung up before it had everything.

    Then its system answers what came later with a reset, which may arrive behind the end that was read. Until it has,
    something is not acknowledged.
    """
    while True:
        has_all = not _unacknowledged(connection)
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if found:
            text = f"the receiver hung up before it had read everything: {os.strerror(found)}"
            raise ConnectionResetError(found, text)
        if has_all:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the receiver hung up, and not all that was sent has arrived")
        time.sleep(LOOK_SECONDS)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the other side's system has not acknowledged; 0 where that cannot be asked."""
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
