"""A relay in front of an application that loses one chosen request, or its answer, and is faithful to all others."""

import socket
import threading
from dataclasses import dataclass
from socketserver import StreamRequestHandler, ThreadingTCPServer

IO_TIME_MAX_S = 60
HEAD_BYTES_MAX = 64 * 1024
# The request's field that says whose fate it shares. The application has no use for it.
RUN_FIELD = b"x-run"


@dataclass(frozen=True)
class Fate:
    """What happens to a request."""

    # "lost": it never arrives. "late": it arrives after its sender was cut off. "unanswered": it arrives, its answer does not.
    # "torn": of its answer a part arrives.
    kind: str
    # How late, in seconds.
    delay_s: float = 0.0
    # Which part of the answer, from 0 to 1.
    part: float = 0.0


class Cutter(ThreadingTCPServer):
    """Each request is a connection of its own to the application, so that one cut is one loss."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Relay)
        self.application = ("127.0.0.1", port)
        self._fates = {}
        self._late = []
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def expect(self, run, fate):
        """The next request that carries this run's field meets this fate."""
        with self._lock:
            self._fates[str(run).encode()] = fate

    def fate_of(self, run):
        with self._lock:
            return self._fates.pop(run, None)

    def deliver_late(self, request, delay_s):
        timer = threading.Timer(delay_s, self.exchange, [request])
        with self._lock:
            self._late.append(timer)
        timer.start()

    def settle(self):
        """Returns once everything late has arrived and was answered."""
        with self._lock:
            late = list(self._late)
        for timer in late:
            timer.join()

    def exchange(self, request):
        """The application's answer, as it stands on the wire."""
        with socket.create_connection(self.application, IO_TIME_MAX_S) as upstream:
            upstream.sendall(request)
            return b"".join(iter(lambda: upstream.recv(65536), b""))


class Relay(StreamRequestHandler):
    timeout = IO_TIME_MAX_S

    def handle(self):
        request, run = self.read_request()
        if request is None:
            return
        match self.server.fate_of(run):
            case None:
                self.wfile.write(self.server.exchange(request))
            case Fate("lost"):
                pass
            case Fate("late", delay_s=delay_s):
                self.server.deliver_late(request, delay_s)
            case Fate("unanswered"):
                self.server.exchange(request)
            case Fate("torn", part=part):
                answer = self.server.exchange(request)
                self.wfile.write(answer[: 1 + int(part * (len(answer) - 2))])

    def read_request(self):
        """The request, told to be the last of its connection, and whose it is."""
        line = self.rfile.readline(HEAD_BYTES_MAX)
        if not line:
            return None, None
        fields, length, run = [], 0, None
        while (field := self.rfile.readline(HEAD_BYTES_MAX)) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            match name.lower():
                case b"connection":
                    continue
                case b"content-length":
                    length = int(value)
                case b"transfer-encoding":
                    raise ValueError("a request without a length is not expected here")
                case name if name == RUN_FIELD:
                    run = value.strip()
            fields.append(field)
        head = b"".join([line, *fields, b"connection: close\r\n\r\n"])
        return head + self.rfile.read(length), run
