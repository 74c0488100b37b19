# SPDX-License-Identifier: Apache-2.0
"""The user's side: orders a name, sets up what the case wants, answers the challenge, and reads what came of it."""
import hashlib
import os
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hostile"))

import acme  # pylint: disable=wrong-import-position
from acme import b64  # pylint: disable=wrong-import-position

POLL_S = 0.15


class Proof:
    """One challenge of one name."""

    def __init__(self, client, name, method):
        self.name, self.method, self.client = name, method, client
        order = client.new_order(name)
        if order.status != 201:
            raise AssertionError(f"newOrder for {name}: {order}")
        self.authz = order.json["authorizations"][0]
        found = [c for c in client.post(self.authz).json["challenges"] if c["type"] == method]
        if not found:
            raise AssertionError(f"{name} was offered no {method}")
        self.url, self.token = found[0]["url"], found[0]["token"]
        self.thumbprint = client.key.thumbprint()
        self.key_authorization = f"{self.token}.{self.thumbprint}"
        self.digest = hashlib.sha256(self.key_authorization.encode()).digest()
        self.record = b64(self.digest)
        self.path = f"/.well-known/acme-challenge/{self.token}"
        self.status, self.error, self.type, self.seconds = "", "", "", 0.0

    def prove(self, limit):
        """Answers the challenge and waits. What a client's user reads is in error and type."""
        begun = time.monotonic()
        reply = self.client.post(self.url, {})
        while reply.status == 200 and reply.json["status"] in ("pending", "processing"):
            if time.monotonic() - begun > limit:
                raise AssertionError(f"{self.name}: {reply.json['status']} for over {limit} s")
            time.sleep(POLL_S)
            reply = self.client.post(self.url)
        if reply.status != 200:
            raise AssertionError(f"{self.name}: the challenge reads {reply}")
        self.seconds = time.monotonic() - begun
        self.status = reply.json["status"]
        error = reply.json.get("error", {})
        self.error, self.type = error.get("detail", ""), error.get("type", "").removeprefix(acme.URN)

    def words(self, text):
        """A wanted text with what differs from run to run filled in."""
        for key, value in {"TOKEN8": self.token[:8], "THUMB8": self.thumbprint[:8], "TOKEN": self.token,
                           "NAME": self.name, "RECORD": self.record}.items():
            text = text.replace("{" + key + "}", value)
        return text


def all_at_once(work, items, workers=24):
    """work(item) for each, in threads; the texts of those that failed."""
    failures, todo, lock = [], list(items), threading.Lock()

    def run():
        while True:
            with lock:
                if not todo:
                    return
                item = todo.pop(0)
            try:
                work(item)
            except AssertionError as e:
                failures.append(str(e))
            except Exception:  # pylint: disable=broad-except
                failures.append(f"{item}: {traceback.format_exc()}")

    threads = [threading.Thread(target=run) for _ in range(min(workers, len(todo)))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failures
