"""A session of an official Python client, through elastauth or straight at the cluster."""

import json
import os

CLIENT = os.environ["CLIENT"]
URL = os.environ["URL"]
INDEX = os.environ.get("INDEX", "logs-session")
LARGE = int(os.environ.get("LARGE_BYTES", "0"))

if CLIENT == "elasticsearch":
    import elasticsearch as library
    from elasticsearch import helpers

    Client = library.Elasticsearch
    Forbidden, Conflict = library.AuthorizationException, library.ConflictError
else:
    import opensearchpy as library
    from opensearchpy import helpers

    Client = library.OpenSearch
    Forbidden, Conflict = library.AuthorizationException, library.ConflictError
NotFound = library.NotFoundError


# The two libraries have different names for it.
TIMEOUT = {"request_timeout": 120} if CLIENT == "elasticsearch" else {"timeout": 120}


def client(headers):
    # A retry would hide a fault.
    return Client([URL], headers=json.loads(headers), http_compress=True, max_retries=0,
                  retry_on_timeout=False, **TIMEOUT)


def ok(name):
    print("ok", name, flush=True)


def raises(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


def request(one, method, path, body=None, headers=None):
    """A request that the client has no method for: its answer's body."""
    if CLIENT == "elasticsearch":
        headers = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
        return one.perform_request(method, path, body=body, headers=headers).body
    return one.transport.perform_request(method, path, body=body, headers=headers or {})


editor, viewer = client(os.environ["EDITOR"]), client(os.environ["VIEWER"])

assert editor.info()["version"]["number"]
ok("info")

if editor.indices.exists(index=INDEX):
    editor.indices.delete(index=INDEX)
mappings = {"properties": {"number": {"type": "long"}, "blob": {"type": "object", "enabled": False}}}
if CLIENT == "elasticsearch":
    editor.indices.create(index=INDEX, mappings=mappings)
else:
    editor.indices.create(index=INDEX, body={"mappings": mappings})
ok("create an index")


def put(one, name, document, **more):
    if CLIENT == "elasticsearch":
        return one.index(index=INDEX, id=name, document=document, **more)
    return one.index(index=INDEX, id=name, body=document, **more)


NAMES = ["plain", "a/b", "a b", "ü", "a%2Fb", "..", "semi;colon", "a+b", "q?x=1", "[x]"]
for number, name in enumerate(NAMES):
    put(editor, name, {"number": number, "name": name})
for number, name in enumerate(NAMES):
    found = editor.get(index=INDEX, id=name)
    assert found["_id"] == name and found["_source"]["number"] == number, found
ok("names that have to be escaped")

raises(NotFound, lambda: editor.get(index=INDEX, id="nobody"))
raises(Conflict, lambda: put(editor, "plain", {}, op_type="create"))
ok("404 and 409")

documents = ({"_index": INDEX, "_id": f"bulk-{n}", "number": n, "text": "x" * 200} for n in range(5_000))
written, errors = helpers.bulk(editor, documents, chunk_size=1_000)
assert (written, errors) == (5_000, []), (written, errors)
editor.indices.refresh(index=INDEX)
assert editor.count(index=INDEX)["count"] == 5_000 + len(NAMES)
ok("bulk with gzip")

query = {"range": {"number": {"gte": 0}}}
seen = {hit["_id"] for hit in helpers.scan(editor, index=INDEX, query={"query": query}, size=700)}
assert len(seen) == 5_000 + len(NAMES), len(seen)
ok("scroll")

if CLIENT == "elasticsearch":
    pit = editor.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
else:
    pit = editor.create_pit(index=INDEX, params={"keep_alive": "1m"})["pit_id"]
seen, after = 0, None
while True:
    body = {"size": 1_000, "query": query, "sort": [{"number": "asc"}],
            "pit": {"id": pit, "keep_alive": "1m"}}
    if after:
        body["search_after"] = after
    hits = request(editor, "POST", "/_search", body)["hits"]["hits"]
    if not hits:
        break
    seen, after = seen + len(hits), hits[-1]["sort"]
assert seen >= 5_000, seen
if CLIENT == "elasticsearch":
    editor.close_point_in_time(id=pit)
else:
    editor.delete_pit(body={"pit_id": [pit]})
ok("point in time")

hits = request(editor, "GET", f"/{INDEX}/_search", {"query": {"term": {"number": 4_321}}})["hits"]
assert hits["hits"][0]["_id"] == "bulk-4321", hits
ok("GET with a body")

assert viewer.get(index=INDEX, id="bulk-1")["_source"]["number"] == 1
raises(Forbidden, lambda: put(viewer, "not-allowed", {}))
raises(NotFound, lambda: editor.get(index=INDEX, id="not-allowed"))
ok("a viewer reads and cannot write")

if LARGE:
    blob = {"text": "0123456789abcdef" * (LARGE // 16)}
    put(editor, "large", {"blob": blob})
    back = editor.get(index=INDEX, id="large")
    assert back["_source"]["blob"] == blob
    del back, blob
    ok(f"a document of {LARGE} bytes")

editor.indices.delete(index=INDEX)
ok("delete the index")
