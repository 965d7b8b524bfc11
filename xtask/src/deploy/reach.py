"""Prints which of the addresses ADDRESS:PORT given as arguments accept a connection."""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def reachable(place):
    address, port = place.rsplit(":", 1)
    try:
        with socket.create_connection((address, int(port)), timeout=2):
            return place
    except OSError:
        return None


with ThreadPoolExecutor(64) as pool:
    print("\n".join(filter(None, pool.map(reachable, sys.argv[1:]))))
