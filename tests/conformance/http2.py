"""Asks of a port what RFC 9113 says of HTTP/2 that is wrong, frame by frame.      python http2.py ADDRESS

ADDRESS is HOST:PORT without TLS, of HTTP or of gRPC. Each case has a connection of its own, and says what may come back: a GOAWAY or a RST_STREAM
with one of some codes, or the end of the connection, which the standard allows in place of any GOAWAY. After each the port answers a new
connection. Frames are made by hyperframe and hpack. Exits 1, and says which cases were answered otherwise. Run by tests/conformance."""

import socket
import struct
import sys

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

HOST, PORT = sys.argv[1].rsplit(":", 1)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
END = "the end of the connection"
ASK = [(":method", "GET"), (":scheme", "http"), (":authority", "here"), (":path", "/livez")]


def raw(kind, flags, stream, body, length=None):
    """A frame as bytes, whatever is in it."""
    return struct.pack(">I", len(body) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def headers(stream, fields=ASK, end_stream=True, end_headers=True):
    frame = HeadersFrame(stream, Encoder().encode(fields, huffman=False))
    for name, on in (("END_STREAM", end_stream), ("END_HEADERS", end_headers)):
        if on:
            frame.flags.add(name)
    return frame.serialize()


class Connection:
    def __init__(self, preface=PREFACE + SettingsFrame(0).serialize()):
        self.socket = socket.create_connection((HOST, int(PORT)), timeout=15)
        self.send(preface)
        self.decoder = Decoder()
        self.held = b""

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it was closed: what came before that is still read

    def frame(self):
        """The next frame, None at the end."""
        try:
            while len(self.held) < 9 or len(self.held) < 9 + int.from_bytes(self.held[:3], "big"):
                more = self.socket.recv(65536)
                if not more:
                    return None
                self.held += more
        except ConnectionError:
            return None
        length = int.from_bytes(self.held[:3], "big")
        frame, _ = Frame.parse_frame_header(memoryview(self.held[:9]))
        frame.parse_body(memoryview(self.held[9 : 9 + length]))
        self.held = self.held[9 + length :]
        if isinstance(frame, HeadersFrame) or isinstance(frame, ContinuationFrame):
            self.decoder.decode(frame.data)
        return frame

    def until(self, wanted):
        """The first frame for which `wanted` has something, as that; END when there is none."""
        while (frame := self.frame()) is not None:
            if (found := wanted(frame)) is not None:
                return found
        return END


def complaint(frame):
    if isinstance(frame, GoAwayFrame):
        return "GOAWAY", frame.error_code
    if isinstance(frame, RstStreamFrame):
        return "RST_STREAM", frame.error_code
    return None


def answer(stream):
    return lambda frame: complaint(frame) or ("answered" if isinstance(frame, HeadersFrame) and frame.stream_id == stream else None)


def settings(*pairs):
    return raw(4, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def largest_frame():
    """SETTINGS_MAX_FRAME_SIZE, as the port says it, or as it is where the port says nothing."""
    connection = Connection()
    found = connection.until(lambda frame: frame.settings.get(SettingsFrame.MAX_FRAME_SIZE, 16384) if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags else None)
    connection.socket.close()
    return found


TOO_LARGE = bytes(largest_frame() + 1)

connection_error = lambda *codes: {END} | {("GOAWAY", code) for code in codes}
stream_error = lambda *codes: connection_error(*codes) | {("RST_STREAM", code) for code in codes}
open_stream = headers(1, [(":method", "POST"), *ASK[1:]], end_stream=False)

# Section, what is sent behind the preface, what may come back. Where PROTOCOL stands beside another code the library that frames for us (h2) says
# PROTOCOL_ERROR for the narrower one; what follows is the same, the connection ends.
WRONG = [
    ("3.4 a preface that is none", b"INVALID PREFACE\r\n\r\n", connection_error(PROTOCOL)),
    ("4.2 a DATA frame over SETTINGS_MAX_FRAME_SIZE", open_stream + raw(0, 0, 1, TOO_LARGE), stream_error(SIZE)),
    ("4.2 a HEADERS frame over SETTINGS_MAX_FRAME_SIZE", raw(1, 5, 1, TOO_LARGE), connection_error(SIZE)),
    ("4.3 a header block that does not decode", raw(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), connection_error(COMPRESSION, PROTOCOL)),
    ("4.3 another stream within a header block", headers(1, end_headers=False) + headers(3), connection_error(PROTOCOL)),
    ("4.3 DATA within a header block", headers(1, end_headers=False) + DataFrame(1, b"x").serialize(), connection_error(PROTOCOL)),
    ("5.1 DATA on an idle stream", DataFrame(1, b"x").serialize(), connection_error(PROTOCOL)),
    ("5.1 RST_STREAM on an idle stream", RstStreamFrame(1, 0).serialize(), connection_error(PROTOCOL)),
    ("5.1 WINDOW_UPDATE on an idle stream", WindowUpdateFrame(1, 100).serialize(), connection_error(PROTOCOL)),
    ("5.1.1 a stream of an even number", headers(2), connection_error(PROTOCOL)),
    ("5.1.1 a stream of a number below one before", headers(5) + headers(3), connection_error(PROTOCOL)),
    ("6.1 DATA on stream 0", raw(0, 1, 0, b"x"), connection_error(PROTOCOL)),
    ("6.1 padding longer than the frame", open_stream + raw(0, 9, 1, b"\x20xxxx"), connection_error(PROTOCOL)),
    ("6.2 HEADERS on stream 0", raw(1, 5, 0, Encoder().encode(ASK)), connection_error(PROTOCOL)),
    ("6.2 padding longer than the frame", raw(1, 13, 1, b"\x20" + Encoder().encode(ASK)[:9]), connection_error(PROTOCOL)),
    ("6.3 PRIORITY on stream 0", raw(2, 0, 0, bytes(5)), connection_error(PROTOCOL)),
    ("6.3 PRIORITY of 4 bytes", headers(1, end_stream=False) + raw(2, 0, 1, bytes(4)), stream_error(SIZE, PROTOCOL)),
    ("6.4 RST_STREAM on stream 0", raw(3, 0, 0, bytes(4)), connection_error(PROTOCOL)),
    ("6.4 RST_STREAM of 3 bytes", open_stream + raw(3, 0, 1, bytes(3)), connection_error(SIZE, PROTOCOL)),
    ("6.5 SETTINGS with an acknowledgement and content", raw(4, 1, 0, bytes(6)), connection_error(SIZE, PROTOCOL)),
    ("6.5 SETTINGS on a stream", raw(4, 0, 1, bytes(6)), connection_error(PROTOCOL)),
    ("6.5 SETTINGS of 3 bytes", raw(4, 0, 0, bytes(3)), connection_error(SIZE, PROTOCOL)),
    ("6.5.2 SETTINGS_ENABLE_PUSH of 2", settings((2, 2)), connection_error(PROTOCOL)),
    ("6.5.2 SETTINGS_INITIAL_WINDOW_SIZE over 2^31 - 1", settings((4, 1 << 31)), connection_error(FLOW, PROTOCOL)),
    ("6.5.2 SETTINGS_MAX_FRAME_SIZE of 16383", settings((5, 16383)), connection_error(PROTOCOL)),
    ("6.5.2 SETTINGS_MAX_FRAME_SIZE of 2^24", settings((5, 1 << 24)), connection_error(PROTOCOL)),
    ("6.6 PUSH_PROMISE from a client", open_stream + raw(5, 4, 1, b"\0\0\0\2" + Encoder().encode(ASK)), connection_error(PROTOCOL)),
    ("6.7 PING on a stream", raw(6, 0, 1, bytes(8)), connection_error(PROTOCOL)),
    ("6.7 PING of 6 bytes", raw(6, 0, 0, bytes(6)), connection_error(SIZE, PROTOCOL)),
    ("6.8 GOAWAY on a stream", raw(7, 0, 1, bytes(8)), connection_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE by 0 of the connection", raw(8, 0, 0, bytes(4)), connection_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE by 0 of a stream", open_stream + raw(8, 0, 1, bytes(4)), stream_error(PROTOCOL)),
    ("6.9 WINDOW_UPDATE of 3 bytes", raw(8, 0, 0, bytes(3)), connection_error(SIZE, PROTOCOL)),
    ("6.9.1 a window of the connection over 2^31 - 1", WindowUpdateFrame(0, (1 << 31) - 1).serialize() * 2, connection_error(FLOW)),
    ("6.9.1 a window of a stream over 2^31 - 1", open_stream + WindowUpdateFrame(1, (1 << 31) - 1).serialize() * 2, stream_error(FLOW)),
    ("6.10 CONTINUATION without HEADERS", raw(9, 4, 1, Encoder().encode(ASK)), connection_error(PROTOCOL)),
    ("6.10 CONTINUATION behind the end of the headers", open_stream + raw(9, 4, 1, b""), connection_error(PROTOCOL)),
    ("8.2.1 a name in upper case", headers(1, [*ASK, ("X-Upper", "1")]), stream_error(PROTOCOL)),
    ("8.2.2 a header of the connection", headers(1, [*ASK, ("connection", "keep-alive")]), stream_error(PROTOCOL)),
    ("8.2.2 te other than trailers", headers(1, [*ASK, ("te", "gzip")]), stream_error(PROTOCOL)),
    ("8.3 an unknown pseudo-header", headers(1, [*ASK, (":unknown", "1")]), stream_error(PROTOCOL)),
    ("8.3 a pseudo-header of answers", headers(1, [*ASK, (":status", "200")]), stream_error(PROTOCOL)),
    ("8.3 a pseudo-header behind a header", headers(1, [*ASK[:3], ("x", "1"), ASK[3]]), stream_error(PROTOCOL)),
    ("8.3.1 no :method", headers(1, ASK[1:]), stream_error(PROTOCOL)),
    ("8.3.1 no :scheme", headers(1, [ASK[0], *ASK[2:]]), stream_error(PROTOCOL)),
    ("8.3.1 no :path", headers(1, ASK[:3]), stream_error(PROTOCOL)),
    ("8.3.1 an empty :path", headers(1, [*ASK[:3], (":path", "")]), stream_error(PROTOCOL)),
    ("8.3.1 :path twice", headers(1, [*ASK, ASK[3]]), stream_error(PROTOCOL)),
    ("8.1.1 more bytes than content-length", headers(1, [(":method", "POST"), *ASK[1:], ("content-length", "1")], end_stream=False) + raw(0, 1, 1, b"four"), stream_error(PROTOCOL)),
    ("8.1.1 fewer bytes than content-length", headers(1, [(":method", "POST"), *ASK[1:], ("content-length", "9")], end_stream=False) + raw(0, 1, 1, b"four"), stream_error(PROTOCOL)),
]

failures = []


def check(name, found, allowed):
    if found not in allowed:
        failures.append(f"{name}: {found}, not one of {allowed}")


def served():
    """A new connection is answered, in frames that the standard allows."""
    connection = Connection()
    # what is unknown is ignored, as is a setting (4.1, 5.5, 6.5.2); a PING is answered with its own bytes (6.7)
    connection.send(raw(0x16, 0, 0, b"unknown") + settings((0xFF, 1)) + PingFrame(0, b"12345678").serialize())
    pong = connection.until(lambda frame: complaint(frame) or (isinstance(frame, PingFrame) and ("ACK" in frame.flags, frame.opaque_data)) or None)
    # a header block in parts, priorities, a window that opens (6.10, 6.3, 6.9)
    block = Encoder().encode(ASK, huffman=False)
    connection.send(PriorityFrame(3).serialize() + raw(1, 1, 1, block[:7]) + raw(9, 0, 1, block[7:9]) + raw(9, 4, 1, block[9:]))
    connection.send(WindowUpdateFrame(0, 1000).serialize())
    found = connection.until(answer(1))
    connection.socket.close()
    return pong, found


check("a healthy connection", served(), {((True, b"12345678"), "answered")})
for name, sent, allowed in WRONG:
    connection = Connection(sent) if name.startswith("3.4") else Connection()
    connection.send(sent if not name.startswith("3.4") else b"")
    # a bounded wait: a connection that is neither complained about nor ended is a failure
    try:
        found = connection.until(complaint)
    except TimeoutError:
        found = "nothing within 15 s"
    check(name, found, allowed)
    connection.socket.close()
    check(f"after {name}", served(), {((True, b"12345678"), "answered")})

print("\n".join(failures))
sys.exit(bool(failures))
