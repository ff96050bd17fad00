# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A stand-in for the controller's telemetry socket, scripted by a test."""

import json
import os
import socket
import threading
import time


def parse_request(text):
    endpoint, _, tail = text.partition(",")
    params = dict(item.split("=", 1) for item in tail.split(",")) if tail else {}
    return endpoint, params


class FakeController:
    """Answers requests by `answers[endpoint]`: a dict, or a function of the parameters.

    requests records (endpoint, params) in the order of arrival. turned_away counts down: that many
    connections are closed at once, as DPDK does with an eleventh client.
    """

    def __init__(self, folder):
        self.path = os.path.join(folder, "dpdk_telemetry.v2")
        self.answers = {}
        self.requests = []
        self.turned_away = 0
        self.connections = 0
        self.open_connections = 0
        self.raw_answer = None
        self.delay_s = 0
        self.drop_request = False
        self.greeting = {"version": "DPDK 22.11.11", "pid": os.getpid(), "max_output_len": 16384}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        if self._stopping:
            return
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self):
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection:
            if self.turned_away:
                self.turned_away -= 1
                return
            self.open_connections += 1
            try:
                connection.send(json.dumps(self.greeting).encode())
                while self._answer(connection):
                    pass
            except OSError:
                pass
            finally:
                self.open_connections -= 1

    def _answer(self, connection):
        data = connection.recv(2048)
        if not data:
            return False
        endpoint, params = parse_request(data.decode())
        self.requests.append((endpoint, params))
        if self.drop_request:
            return False
        time.sleep(self.delay_s)
        if self.raw_answer is not None:
            connection.send(self.raw_answer)
            return True
        answer = self.answers.get(endpoint)
        if callable(answer):
            answer = answer(params)
        connection.send(json.dumps({endpoint: answer}).encode())
        return True
