# SPDX-License-Identifier: Apache-2.0
"""A server behind nginx with so many places, each of which serves one request at a time."""
import contextlib
import http.server
import threading
import time


class Upstream(http.server.ThreadingHTTPServer):
    """Each request takes a place for `seconds`."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, places=1):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seconds = 0.0
        self.count = places
        self.places = threading.Semaphore(places)
        self.seen = []
        self.headers = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Nginx goes away from it when its client does."""

    @contextlib.contextmanager
    def held(self):
        """Whatever comes meanwhile waits; at the end all of it is served at once."""
        for _ in range(self.count):
            self.places.acquire()
        try:
            yield
        finally:
            self.seconds = 0.0
            self.places.release(self.count)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        self.server.seen.append(dict(self.headers))
        with self.server.places:
            time.sleep(self.server.seconds)
        self.send_response(200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    do_POST = do_GET

    def log_message(self, *arguments):
        pass
