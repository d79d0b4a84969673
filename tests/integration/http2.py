# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to an edge: a second listener, a client that reads when it likes, and large documents."""
import socket
import struct

from daemon import PATIENCE_S, free_port, until, uuid7

STREAMS = 30


def listen_http2(edge):
    """Before it starts: HTTP/2 beside HTTP/1.1."""
    edge.h2_port = free_port()
    text = edge.conf.read_text()
    listen = f"listen 127.0.0.1:{edge.port};"
    edge.conf.write_text(text.replace(listen, f"{listen}\n listen 127.0.0.1:{edge.h2_port} http2;"))


class Http2:
    """A client that takes much and reads when it likes."""

    DATA, HEADERS, RESET, SETTINGS, PING, WINDOW = 0, 1, 3, 4, 6, 8

    def __init__(self, edge):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", edge.h2_port))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(self.SETTINGS, 0, struct.pack(">HI", 4, 1 << 24))  # the window of a stream
        self.send(self.WINDOW, 0, struct.pack(">I", 1 << 24))

    def send(self, kind, stream, payload, flags=0):
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
        self.socket.sendall(head + struct.pack(">I", stream) + payload)

    @staticmethod
    def text(value):
        """A plain string of HPACK: its length in a prefix of seven bits, and its bytes."""
        value, rest = value.encode(), b""
        length = len(value)
        if length >= 127:
            rest, length = length - 127, 127
            rest = bytes([rest % 128 | 128, rest // 128] if rest > 127 else [rest])
        return bytes([length]) + rest + value

    def get(self, stream, path, token):
        block = (b"\x82\x86\x04" + self.text(path) + b"\x01" + self.text("shop")
                 + b"\x0f\x08" + self.text("Bearer " + token))
        self.send(self.HEADERS, stream, block, flags=5)  # ends the headers and the stream

    def exactly(self, count):
        got = b""
        while len(got) < count:
            part = self.socket.recv(count - len(got))
            assert part, "the edge has closed the connection"
            got += part
        return got

    def frame(self):
        head = self.exactly(9)
        payload = self.exactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], payload


def given_documents(edge, subject, count=101, size=60_000, of="x"):
    """As the projector would put them, each far larger than an order."""
    edge.shop.database.rows("""
        insert into comanda_read.documents (tenant, collection, key, stream, version, epoch, tx,
                                            position, owner, filter, sort, listed, body)
        select 'main', 'orders', %s || n, gen_random_uuid(), 1, 1, 1, n, %s, '', n, true,
               json_build_object('padding', repeat(%s, %s))
          from generate_series(1, %s) as n""", subject, subject, of, size, count)


def reset_in_the_middle(edge):
    """Asks for more than a connection holds, resets every stream, and gives what still comes."""
    first, following = f"first-{uuid7()}-", f"next-{uuid7()}-"  # other tests use the same Redis
    given_documents(edge, first, count=STREAMS, size=250_000)
    given_documents(edge, following, of="y")
    client = Http2(edge)
    token = edge.shop.token(first)
    read = 'comanda_queries_total{collection="orders",source="documents"'
    before = edge.metric(read)
    for n in range(STREAMS):
        client.get(2 * n + 1, f"/v1/orders/{first}{n + 1}", token)
    until(lambda: edge.metric(read) == before + STREAMS, "all are read")
    for n in range(STREAMS):
        client.send(client.RESET, 2 * n + 1, struct.pack(">I", 8))
    edge.get("/v1/orders?limit=100", token=edge.shop.token(following))  # takes what memory is free
    client.send(client.PING, 0, b"are they")
    received = b""
    while True:
        kind, flags, payload = client.frame()
        if kind == client.DATA:
            received += payload
        if kind == client.PING and flags == 1:
            break
    client.socket.close()
    return received
