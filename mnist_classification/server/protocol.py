"""uvicorn's HTTP/1.1, with a time to send each request and a number of connections.

uvicorn has no limit on how slowly a request may come in: every byte restarts its own timer, and an
application is asked only when the headers are complete. Here a request has so many seconds from its
first byte, or from the connection, to its last one.
"""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import HEADERS, MORE_HEADERS
from .limits import Limits

DRAIN_SECONDS = 60  # for a client to take what it was sent
# A chunk costs the event loop as much as a kilobyte does: a body may have so many, and one more per
# so many bytes.
FREE_CHUNKS, CHUNK_BYTES = 1000, 256


class LimitedProtocol(H11Protocol):
    """One connection. What goes wrong before a request is complete is answered here."""

    def __init__(self, limits: Limits, **arguments: Any):
        super().__init__(**arguments)
        self.conn = _Connection(h11.SERVER)
        self.limits = limits
        self.receiving: asyncio.TimerHandle | None = None
        self.draining: asyncio.TimerHandle | None = None
        self.any_bytes = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or refuse one connection too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # whatever is not taken starts the clock of that
        if len(self.connections) > self.limits.max_connections:
            self._answer(503, "got too many connections; expected fewer; try again soon")
            return
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks."""
        self._stop_clock()
        self._drained()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take some bytes; the clock stops with the last one of a request."""
        self.any_bytes = True
        if self.receiving is None:
            self._start_clock()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_clock()

    def on_response_complete(self) -> None:
        """Go on with the next request, which may be there already."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            self._stop_clock()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._answer(400, f"{msg.rstrip('.')}; expected HTTP/1.1; try curl")

    def pause_writing(self) -> None:
        """Wait for a client that does not take what it is sent, but not for ever."""
        super().pause_writing()
        self.draining = self.loop.call_later(DRAIN_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken it."""
        self._drained()
        super().resume_writing()

    def _start_clock(self) -> None:
        self.receiving = self.loop.call_later(self.limits.send_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self.receiving is not None:
            self.receiving.cancel()
            self.receiving = None

    def _drained(self) -> None:
        if self.draining is not None:
            self.draining.cancel()
            self.draining = None

    def _too_slow(self) -> None:
        self.receiving = None
        if self.cycle is not None and not self.cycle.response_started:
            return  # the application waits for the rest of the body, and has a clock of its own
        if self.any_bytes and self.conn.our_state is h11.IDLE:
            self._answer(408, "got no whole request in time; expected it sooner; try again")
        else:
            self.transport.close()

    def _answer(self, status: int, error: str) -> None:
        """Send an error as the application would, and close."""
        content = json.dumps({"error": error}).encode("ascii")
        own = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Connection": "close",
        }
        headers = HEADERS | MORE_HEADERS.get(status, {}) | own
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = h11.Response(status_code=status, headers=list(headers.items()))
            for event in (response, h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True  # whatever the application would say comes too late
        self.transport.close()


class _Connection(h11.Connection):
    """h11's, which refuses a body in very small chunks."""

    chunks = bytes_in_chunks = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = self.bytes_in_chunks = 0
        elif isinstance(event, h11.Data):
            self.chunks += event.chunk_start
            self.bytes_in_chunks += len(event.data)
            if self.chunks > FREE_CHUNKS + self.bytes_in_chunks / CHUNK_BYTES:
                raise h11.RemoteProtocolError("too many chunks for its bytes")
        return event
