"""Writes as a Beat does: gzip, one bulk after the other on one connection, chunked now and then."""

import gzip
import http.client
import json
import os
from urllib.parse import urlsplit

URL, INDEX = urlsplit(os.environ["URL"]), os.environ.get("INDEX", "logs-beat")
HEADERS = json.loads(os.environ["EDITOR"])
EVENTS, BULKS = 500, 20

connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=60)


def ask(method, path, body=None, **headers):
    chunked = not isinstance(body, (bytes, type(None)))
    connection.request(method, path, body, {**HEADERS, **headers}, encode_chunked=chunked)
    answer = connection.getresponse()
    text = answer.read()
    if answer.headers.get("content-encoding") == "gzip":
        text = gzip.decompress(text)
    assert answer.status == 200, (method, path, answer.status, text)
    # The connection is the one with which the session began.
    assert connection.sock is not None, "the connection was closed"
    return json.loads(text) if text else None


for bulk in range(BULKS):
    lines = []
    for event in range(EVENTS):
        lines.append(json.dumps({"create": {"_id": f"{bulk}-{event}"}}))
        lines.append(json.dumps({"bulk": bulk, "event": event, "message": "m" * 300}))
    body = gzip.compress(("\n".join(lines) + "\n").encode())
    # Every second one without a length, in pieces that end anywhere.
    pieces = (body[at:at + 777] for at in range(0, len(body), 777)) if bulk % 2 else body
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip",
               "Accept-Encoding": "gzip", "X-Opaque-Id": f"bulk-{bulk}"}
    if bulk % 2:
        headers["Transfer-Encoding"] = "chunked"
    answer = ask("POST", f"/{INDEX}/_bulk", pieces, **headers)
    assert not answer["errors"] and len(answer["items"]) == EVENTS, answer
ask("POST", f"/{INDEX}/_refresh", b"")
count = ask("GET", f"/{INDEX}/_count")["count"]
assert count == EVENTS * BULKS, count
ask("DELETE", f"/{INDEX}")
print("ok", count, "events")
