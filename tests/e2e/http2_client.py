"""An HTTP/2 client (RFC 9113) that respects GOAWAY.

It waits for streams up to the last one that GOAWAY names; later ones were not processed
and are retried on another connection (section 6.8). Nothing else is retried: a reset
stream, or a connection that ends without GOAWAY while a response is pending, is a
failure.
"""

import asyncio

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
    WindowUpdateFrame,
)

from http1_clients import PATIENCE
from tally import BROKEN, Failed

AT_ONCE = 4


class Http2:
    """One connection and its streams in flight."""

    def __init__(self, target, tally):
        self.target, self.tally = target, tally
        self.encoder, self.decoder = Encoder(), Decoder()
        self.next_stream = 1
        self.statuses = {}
        self.last = None  # GOAWAY's
        self.pending = b""

    async def open(self):
        host, port = self.target.address
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(
            host, port, ssl=self.target.trust_http2, server_hostname=self.target.name), PATIENCE)
        self.tally.connections += 1
        self.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
        return self

    def is_usable(self):
        return self.last is None and not self.reader.at_eof()

    def ask(self):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        head = self.encoder.encode([(":method", "GET"), (":scheme", "https"),
                                    (":authority", self.target.name), (":path", "/")])
        self.writer.write(HeadersFrame(stream, head, flags=["END_HEADERS", "END_STREAM"]).serialize())
        return stream

    async def frame(self, patience):
        """The next frame; None after a time-out."""
        async def take(count):
            while len(self.pending) < count:
                data = await self.reader.read(16 << 10)
                if not data:
                    raise EOFError("the connection ended without the answer")
                self.pending += data
        try:
            await asyncio.wait_for(take(9), patience)
            frame, length = Frame.parse_frame_header(memoryview(self.pending[:9]))
            await asyncio.wait_for(take(9 + length), PATIENCE)
        except asyncio.TimeoutError:
            return None
        frame.parse_body(memoryview(self.pending[9:9 + length]))
        self.pending = self.pending[9 + length:]
        return frame

    def take(self, frame):
        """Handles a frame; returns the stream that it ends and how."""
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.writer.write(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.writer.write(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, GoAwayFrame):
            if frame.error_code:
                raise Failed(f"GOAWAY with error {frame.error_code}")
            self.tally.told_to_close += self.last is None
            self.last = frame.last_stream_id
        elif isinstance(frame, RstStreamFrame):
            return frame.stream_id, f"reset with {frame.error_code}"
        elif isinstance(frame, HeadersFrame):
            self.statuses[frame.stream_id] = dict(self.decoder.decode(frame.data)).get(":status")
        elif isinstance(frame, DataFrame) and frame.flow_controlled_length:
            self.writer.write(WindowUpdateFrame(0, frame.flow_controlled_length).serialize())
        if isinstance(frame, (HeadersFrame, DataFrame)) and "END_STREAM" in frame.flags:
            status = self.statuses.pop(frame.stream_id, None)
            return frame.stream_id, None if status == "200" else f"status {status}"
        return None, None

    async def wait_idle(self, seconds):
        """Reads what has arrived, as a client's event loop does."""
        end = asyncio.get_running_loop().time() + seconds
        while self.is_usable() and (left := end - asyncio.get_running_loop().time()) > 0:
            frame = await self.frame(left)
            if frame:
                self.take(frame)

    def close(self):
        self.writer.transport.abort()


async def answers(connection, wanted, tally):
    """Makes `wanted` requests; returns how many have to be retried."""
    due = {connection.ask() for _ in range(wanted)}
    retry = 0
    while due:
        try:
            frame = await connection.frame(PATIENCE)
            if frame is None:
                raise Failed("no answer in time")
            stream, problem = connection.take(frame)
        except (*BROKEN, Failed) as error:
            for _ in due:
                tally.fail(error)
            connection.last = 0
            return retry
        if connection.last is not None:
            unseen = {stream for stream in due if stream > connection.last}
            due -= unseen
            retry += len(unseen)
        if stream in due:
            due.discard(stream)
            if problem:
                tally.fail(Failed(problem))
    return retry


async def http2(target, tallies):
    """Concurrent streams on one connection for as long as the peer keeps it open."""
    tally = tallies.kinds["http2"]
    connection = None
    again = 0
    while tallies.running() or again:
        try:
            connection = connection or await Http2(target, tally).open()
        except BROKEN as error:
            tally.requests += 1
            tally.fail(error)
            continue
        fresh = max(AT_ONCE - again, 0)
        tally.requests += fresh
        tally.retried += again
        again = await answers(connection, again + fresh, tally)
        try:
            await connection.wait_idle(tallies.breath(0.12))
        except (*BROKEN, Failed):
            tally.closed_idle += 1
            connection.last = 0
        if not connection.is_usable():
            connection.close()
            connection = None
    if connection:
        connection.close()
