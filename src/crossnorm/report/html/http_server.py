"""A small web server for the live page."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import socketserver
import sys
from collections.abc import Collection, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol, TypeAlias

from crossnorm.errors import BadInput

__all__ = ["Site", "bind_server", "host_allowed", "is_private"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",  # the page says the rest
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Site(Protocol):
    """The pages to serve; methods are called from several threads."""

    def page(self) -> str:
        """The whole page, as HTML."""

    def progress(self) -> Mapping[str, str]:
        """``{"version": …, "html": …}``: the page's version and its progress section."""


_HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:\[\]@%/\\]+))(:[0-9]{1,5})?")
"""A Host header: an IPv6 address in brackets or another name, and perhaps a port."""


def bind_server(site: Site, host: str, port: int) -> ThreadingHTTPServer:
    """A listening server; call ``serve_forever`` to serve.

    Args:
        site: The pages to serve.
        host: Address to listen on, or a name of one.
        port: Port to listen on; 0: a free one, see ``server_address``.

    Raises:
        BadInput: No address is given, it does not exist, or the port is in use.
    """
    if not isinstance(host, str) or not host.strip():
        raise BadInput("host", "an address or a name, such as 127.0.0.1 or 0.0.0.0", repr(host))
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        own = ipaddress.ip_address(str(place[0]).partition("%")[0])

        class Handler(_Handler):
            served, address, names = site, own, _names(host, own)

        class Server(_Server):
            address_family = family

        return Server((str(place[0]), port), Handler)
    except (OSError, OverflowError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput.because(
            f"{host}:{port}", f"cannot listen on this address: {reason}", "Port 0 picks a free port."
        ) from None


def is_private(server: ThreadingHTTPServer) -> bool:
    """Whether only this machine reaches the server."""
    own = _address(str(server.server_address[0]))
    return own is not None and own.is_loopback


def host_allowed(header: str | None, own: Address, names: Collection[str]) -> bool:
    """Whether a request's Host header is accepted: only names that lead here, so that no website can read the pages.

    A website can give its own name the address of this server (DNS rebinding), but a browser then sends that name.

    Args:
        header: The header.
        own: The address that the server listens on.
        names: Names that are accepted.
    """
    parts = _HOST.fullmatch((header or "").strip().lower())
    if parts is None:
        return False
    name = parts["address"] or parts["name"].removesuffix(".")
    found = _address(name)
    if found is None:
        return name in names
    return found == own or own.is_unspecified or (own.is_loopback and found.is_loopback)


def _names(host: str, own: Address) -> frozenset[str]:
    """The names under which a server may be asked: the one given, localhost, this machine's."""
    names = {host, "localhost"}
    if not own.is_loopback:
        machine = socket.gethostname()
        names |= {machine, f"{machine}.local", machine.partition(".")[0], socket.getfqdn()}
    return frozenset(name.lower().removesuffix(".") for name in names)


def _address(text: str) -> Address | None:
    """The address that a text writes out; None for a name."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without a DNS lookup of the machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over connections that the client broke; show any other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    served: Site
    names: frozenset[str]
    address: Address
    server_version, sys_version = "crossnorm", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer a GET request."""
        if self.headers.get("Content-Length") or self.headers.get("Transfer-Encoding"):
            self.close_connection = True  # its body must not be taken for another request
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not host_allowed(hosts[0], self.address, self.names):
            self._send(403, "text/plain", b"Host not allowed.\n")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, "text/html", self.served.page().encode())
        elif path == "/progress":
            self._send(200, "application/json", json.dumps(dict(self.served.progress())).encode())
        elif path == "/plotly.js":
            self._send(200, "text/javascript", _plotly(), keep=True)
        else:
            self._send(404, "text/plain", b"Not found.\n")

    def do_HEAD(self) -> None:
        """Answer a HEAD request."""
        self.do_GET()

    def _send(self, status: int, kind: str, body: bytes, *, keep: bool = False) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "max-age=86400" if keep else "no-store")
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client disconnected

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
