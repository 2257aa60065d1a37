"""The routes, and what is true of every answer.

    app = make_app(pool, limits)

The event loop only moves bytes and counts; everything that looks into a picture or a form happens
in the processes of the pool.
"""

import asyncio
import dataclasses
import logging
import platform
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors import ModelError
from .limits import Limits
from .openapi import describe
from .page import page_html, page_policy
from .pool import BusyError, GoneError, Pool
from .uploads import RefusedError, check_headers, to_json, too_long

LOG = logging.getLogger(__name__)
RETRY_AFTER = {"Retry-After": "1"}  # seconds
MORE_HEADERS = {408: {"Connection": "close"}, 503: RETRY_AFTER}  # by status
PIECE = 65_536  # bytes of the page at a time, so that a slow client holds no more
PACKAGES = ("numpy", "onnxruntime", "pillow", "starlette", "uvicorn")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class JsonResponse(Response):
    """JSON in which no character means anything to HTML."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode it, unless a process of the pool has."""
        return content if isinstance(content, bytes) else to_json(content)


class Service:
    """What the routes share: the pool, the limits, and how much of them is used up."""

    def __init__(self, pool: Pool, limits: Limits):
        self.pool, self.limits = pool, limits
        self.in_flight = 0  # requests that are read or wait for it
        self.held = 0  # bytes of bodies in memory
        try:
            page = page_html(pool.model)  # with the server's own network
        except ModelError as error:  # one that ONNX Runtime knows and the page does not
            LOG.warning("the page has the network that ships, not the server's: %s", error)
            page = page_html()
        self.page = page.encode("utf-8")
        self.page_headers = {
            "Content-Length": str(len(self.page)),
            "Content-Security-Policy": f"{page_policy()}; frame-ancestors 'none'",
        }
        self.openapi = to_json(describe(limits))

    async def read(self, request: Request) -> Response:
        """Read the pictures of one request."""
        boundary = check_headers(request.headers, self.limits)
        body = bytearray()
        try:
            await self._receive(request, body)
            return await self._read(request, boundary, body)
        finally:
            self.held -= len(body)

    async def _receive(self, request: Request, body: bytearray) -> None:
        """Take the body in, within the limits of bytes and time."""
        try:
            async with asyncio.timeout(self.limits.send_seconds):
                async for piece in request.stream():
                    if len(body) + len(piece) > self.limits.max_body_bytes:
                        raise too_long(self.limits)
                    if self.held + len(piece) > self.limits.max_held_bytes:
                        raise BusyError("got more bytes at a time than are held")
                    body += piece
                    self.held += len(piece)
        except TimeoutError:
            raise RefusedError(
                408,
                f"got no whole body in {self.limits.send_seconds:g} seconds; expected it sooner; "
                f"try a smaller picture",
            ) from None

    async def _read(self, request: Request, boundary: str, body: bytearray) -> Response:
        """Have the body read by the next process that is free."""
        if self.in_flight >= self.limits.max_in_flight:
            raise BusyError(f"got more than {self.limits.max_in_flight} requests at a time")
        self.in_flight += 1
        try:
            # After the body nothing is received but the news that the client has left.
            status, content = await self.pool.read(boundary, body, request.receive)
        finally:
            self.in_flight -= 1
        return JsonResponse(content, status)

    async def show_page(self, request: Request) -> Response:
        """Show the page."""
        return StreamingResponse(self._pieces(), media_type="text/html", headers=self.page_headers)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.page), PIECE):
            yield self.page[start : start + PIECE]

    async def show_health(self, request: Request) -> Response:
        """Say that the server answers."""
        return JsonResponse({"status": "ok"})

    async def show_readiness(self, request: Request) -> Response:
        """Say whether there is a process that has read a known number right, and room."""
        workers = len(self.pool.workers)
        room = self.limits.max_in_flight - self.in_flight
        ready = workers > 0 and room > 0
        state = {"ready": ready, "workers": workers, "room": room}
        return JsonResponse(state) if ready else JsonResponse(state, 503, RETRY_AFTER)

    async def show_metadata(self, request: Request) -> Response:
        """Say what reads, in which versions, and within which limits."""
        versions = {package: version(package) for package in PACKAGES}
        return JsonResponse(
            {
                "name": "mnist-classification",
                "version": __version__,
                "model": self.pool.facts,
                "workers": len(self.pool.workers),
                "versions": {"python": platform.python_version(), **versions},
                "limits": dataclasses.asdict(self.limits),
            }
        )

    async def show_openapi(self, request: Request) -> Response:
        """Describe all this to a program."""
        return JsonResponse(self.openapi)


def make_app(pool: Pool, limits: Limits) -> ASGIApp:
    """Return the application."""
    service = Service(pool, limits)
    routed = Starlette(
        routes=[
            Route("/", service.show_page),
            Route("/read", service.read, methods=["POST"]),
            Route("/healthz", service.show_health),
            Route("/readyz", service.show_readiness),
            Route("/metadata", service.show_metadata),
            Route("/openapi.json", service.show_openapi),
        ],
        exception_handlers={
            RefusedError: _refuse,
            HTTPException: _refuse_route,
            ClientDisconnect: _say_nothing,
            GoneError: _say_nothing,
            500: _fail,
        },
    )
    routed.router.redirect_slashes = False  # /read/ is no address
    return SafeHeaders(routed)  # around it all: an answer of 500 is made outside of its middleware


class SafeHeaders:
    """Adds HEADERS to every answer that has not its own."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_missing(message["headers"])]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _missing(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = {name.lower() for name, _ in headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    return [(name, value) for name, value in encoded if name not in own]


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JsonResponse({"error": str(error)}, error.status, MORE_HEADERS.get(error.status))


async def _refuse_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {
        404: "got a path that is not served; expected /, /read, /healthz, /readyz, /metadata or "
        "/openapi.json; try /openapi.json",
        405: "got a method that this path does not take; expected one in Allow; try that",
    }
    detail = text.get(error.status_code, error.detail)
    return JsonResponse({"error": detail}, error.status_code, error.headers)


async def _say_nothing(*_: Any) -> Response:
    return Response(status_code=400)  # to nobody: the client has hung up


async def _fail(*_: Any) -> Response:
    return JsonResponse({"error": "the server failed; its log says where"}, 500)
