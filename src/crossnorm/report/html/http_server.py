"""A small web server for the live page."""

from __future__ import annotations

import ipaddress
import json
import socket
import socketserver
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from crossnorm.errors import BadInput

__all__ = ["Site", "bind_server", "host_allowed"]


class Site(Protocol):
    """The pages to serve; methods are called from several threads."""

    def page(self) -> str:
        """The whole page, as HTML."""

    def progress(self) -> Mapping[str, str]:
        """``{"version": …, "html": …}``: the page's version and its progress section."""


def bind_server(site: Site, host: str, port: int) -> ThreadingHTTPServer:
    """A listening server; call ``serve_forever`` to serve.

    Args:
        site: The pages to serve.
        host: Address to listen on.
        port: Port to listen on; 0: a free one, see ``server_address``.

    Raises:
        BadInput: The address does not exist, or the port is in use.
    """

    class Handler(_Handler):
        served, own = site, host

    try:
        server = (_Server6 if ":" in host else _Server)((host, port), Handler)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput.because(
            f"{host}:{port}", f"cannot listen on this address: {reason}", "Port 0 picks a free port."
        ) from None
    return server


def host_allowed(header: str | None, own: str) -> bool:
    """Whether a request's Host header is accepted; protects loopback servers against DNS rebinding.

    On a loopback address only ``localhost``, loopback addresses and the host itself are accepted.
    """
    name = (header or "").rsplit("@", 1)[-1]
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name in ("localhost", own) or not _is_loopback(own) or _is_loopback(name)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without a DNS lookup of the machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    served: Site
    own: str
    server_version, sys_version = "crossnorm", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer a GET request."""
        if not host_allowed(self.headers.get("Host"), self.own):
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
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client disconnected

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
