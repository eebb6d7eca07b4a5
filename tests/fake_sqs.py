"""A stand-in for Amazon SQS over HTTP on loopback: the few calls that the broker makes, in the JSON protocol of boto3."""

import json
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


class FakeSqs:
    """One account's queues. Messages outlive `kill` and `start`, as they do in the real service."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lock = Lock()
        self.queues: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"sqs": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def kill(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    # --- the calls

    def answer(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(call)
        if call == "CreateQueue":
            self.queues.setdefault(given["QueueName"], [])
            return {"QueueUrl": f"{self.url}/000000000000/{given['QueueName']}"}
        queue = self.queues[given["QueueUrl"].rpartition("/")[2]]
        calls = {
            "SendMessage": self._send,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "GetQueueAttributes": self._attributes,
            "PurgeQueue": self._purge,
        }
        return calls[call](queue, given)

    def _send(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        message = {"id": str(uuid.uuid4()), "body": given["MessageBody"], "visible": 0.0, "receipt": ""}
        with self.lock:
            queue.append(message)
        return {"MessageId": message["id"]}

    def _receive(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + given.get("WaitTimeSeconds", 0)
        while not (found := self._take(queue, given)) and time.monotonic() < until:
            time.sleep(0.02)
        return {"Messages": found} if found else {}

    def _take(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> list[dict[str, str]]:
        now, taken = time.monotonic(), []
        with self.lock:
            for message in [one for one in queue if one["visible"] <= now][: given["MaxNumberOfMessages"]]:
                message["visible"] = now + given["VisibilityTimeout"]
                message["receipt"] = str(uuid.uuid4())
                taken.append({"MessageId": message["id"], "ReceiptHandle": message["receipt"], "Body": message["body"]})
        return taken

    def _delete(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            queue[:] = [one for one in queue if one["receipt"] != given["ReceiptHandle"]]
        return {}

    def _attributes(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        count = sum(one["visible"] <= time.monotonic() for one in queue)
        return {"Attributes": {"ApproximateNumberOfMessages": str(count)}}

    def _purge(self, queue: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        queue.clear()
        return {}


class _Handler(BaseHTTPRequestHandler):
    sqs: FakeSqs  # no connection is kept, so a killed server is away at once

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.headers["X-Amz-Target"].partition(".")[2]
        body = json.dumps(self.sqs.answer(call, given)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...
