"""A machine without a network: with this folder on PYTHONPATH, Python loads this file when it starts.

Loopback and Unix sockets stay, as they do when a cable is pulled.
"""

import errno
import socket

_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
_HERE = ("localhost", "127.0.0.1", "::1", "", None)


def _is_here(family, address):
    return family not in (socket.AF_INET, socket.AF_INET6) or address[0] in _HERE


def connect(self, address):
    if not _is_here(self.family, address):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")
    return _connect(self, address)


def connect_ex(self, address):
    return _connect_ex(self, address) if _is_here(self.family, address) else errno.ENETUNREACH


def getaddrinfo(host, *arguments, **named):
    if host not in _HERE:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _getaddrinfo(host, *arguments, **named)


socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect_ex, getaddrinfo
