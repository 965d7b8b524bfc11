"""Stands in for a program that no package registry has, over TLS with the certificate of the
compose file. `stand_in.py authelia`: who has a session says the cookie, `authelia_session=NAME:GROUPS`.
`stand_in.py kibana`: asks Elasticsearch who the request's login is, and passes the answer on.
"""

import http.server
import re
import ssl
import sys
import urllib.error
import urllib.request

PORTAL = "https://auth.example.org/"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Authelia(Handler):
    def do_GET(self):
        session = re.search(r"authelia_session=(\w+):([\w,-]*)", self.headers.get("Cookie", ""))
        if self.path != "/api/authz/forward-auth":
            self.answer(200, body=b"the sign-in page")
        elif self.headers.get("X-Forwarded-Proto") != "https":
            self.answer(400)
        elif not session:
            self.answer(302, [("Location", PORTAL)])
        else:
            name, groups = session.groups()
            self.answer(200, [("Remote-User", name), ("Remote-Groups", groups),
                              ("Remote-Email", f"{name}@example.org"), ("Remote-Name", name)])


class Kibana(Handler):
    def do_GET(self):
        login = {"Authorization": self.headers.get("Authorization", "")}
        asked = urllib.request.Request("https://elasticsearch:9200/_security/_authenticate", headers=login)
        trust = ssl.create_default_context(cafile="/certs/ca.crt")
        try:
            with urllib.request.urlopen(asked, context=trust) as told:
                self.answer(told.status, body=told.read())
        except urllib.error.HTTPError as refused:
            self.answer(refused.code, body=refused.read())


handler, port, folder = {
    "authelia": (Authelia, 9091, "/secrets"),
    "kibana": (Kibana, 5601, "/certs"),
}[sys.argv[1]]
server = http.server.ThreadingHTTPServer(("", port), handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
