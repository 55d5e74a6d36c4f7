#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fake_kubernetes.py - as much of a Kubernetes API server as a Lease needs, and all that can go wrong

usage: fake_kubernetes.py DIR

Makes a CA and a certificate with openssl in DIR (ca.crt, as a pod finds it) and a token, listens on
127.0.0.1 and writes its port to DIR/port. Exits with 77 if openssl is not there. DIR/faults, read
before each request, is a JSON object: percentages `conflict` (a 409 that nothing caused), `refuse`
(500, nothing done), `away` (404, and not of the API server's), `lose` (done, and no answer), `twice` (done, the answer is that of a
repetition), `delay` (done after up to 100 ms); `garbage`, a text that is the answer to all; and
`overtake`, a reign that another writes when a write was done, which is then answered as a repetition."""
import http.server
import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time
import uuid

LEASES = "/apis/coordination.k8s.io/v1/namespaces/training/leases"
TOKEN = "not-a-secret." + "x" * 900


class Refused(Exception):
    def __init__(self, status, message, **more):
        super().__init__(message)
        self.status, self.more = status, more


class Leases:
    """Objects by name, each with a version that grows."""

    def __init__(self):
        self.lock, self.objects, self.version = threading.Lock(), {}, 1000

    def get(self, name):
        with self.lock:
            if name not in self.objects:
                raise Refused(404, f'leases.coordination.k8s.io "{name}" not found', reason="NotFound", code=404,
                              details={"name": name, "group": "coordination.k8s.io", "kind": "leases"})
            return self.objects[name]

    def keep(self, name, lease):
        self.version += 1
        lease["metadata"]["resourceVersion"] = str(self.version)
        self.objects[name] = lease
        return lease

    def create(self, lease):
        name = lease["metadata"]["name"]
        with self.lock:
            if name in self.objects:
                raise Refused(409, f'leases.coordination.k8s.io "{name}" already exists')
            lease["metadata"]["uid"] = str(uuid.uuid4())
            return self.keep(name, lease)

    def replace(self, name, lease):
        with self.lock:
            if name not in self.objects:
                raise Refused(404, "not found")
            now = self.objects[name]["metadata"]
            if lease["metadata"].get("resourceVersion") != now["resourceVersion"]:
                raise Refused(409, "the object has been modified")
            if lease["metadata"].get("uid") != now["uid"]:
                raise Refused(422, "uid is immutable")
            return self.keep(name, lease)

    def overtake(self, lease, reign):
        with self.lock:
            later = json.loads(json.dumps(lease))
            later["metadata"]["annotations"]["muster/reign"] = reign
            self.keep(later["metadata"]["name"], later)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.leases, self.seed = folder, Leases(), random.Random(1)

    def faults(self):
        try:
            with open(os.path.join(self.folder, "faults"), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def handle_error(self, request, client_address):
        pass  # clients hang up


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def act(self, body):
        if self.headers.get("Authorization") != "Bearer " + TOKEN:
            raise Refused(401, "Unauthorized")
        leases, name = self.server.leases, self.path[len(LEASES) + 1:]
        if not self.path.startswith(LEASES):
            raise Refused(403, f"{self.path} is forbidden")
        if self.command == "GET":
            return 200, leases.get(name)
        if self.command == "POST" and not name:
            return 201, leases.create(body)
        if self.command == "PUT":
            return 200, leases.replace(name, body)
        raise Refused(405, "method not allowed")

    def try_to(self, body):
        try:
            return self.act(body)
        except Refused as why:
            return why.status, {"kind": "Status", "status": "Failure", "message": str(why), **why.more}

    def serve(self):
        size = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(size)
        faults, writes = self.server.faults(), self.command != "GET"

        def strikes(name):
            return self.server.seed.random() * 100 < faults.get(name, 0)

        if faults.get("garbage") is not None:
            return self.say(200, faults["garbage"])
        if strikes("refuse"):
            return self.say(500, {"message": "etcdserver: request timed out"})
        if strikes("away"):
            return self.say(404, "404 page not found")
        if writes and strikes("conflict"):
            return self.say(409, {"message": "made up"})
        if strikes("delay"):
            time.sleep(self.server.seed.random() / 10)
        status, answer = self.try_to(json.loads(text) if text else None)
        if writes and faults.get("overtake"):
            self.server.leases.overtake(answer, faults["overtake"])
        if writes and (faults.get("overtake") or strikes("twice")):
            status, answer = self.try_to(json.loads(text))
        if strikes("lose"):
            self.close_connection = True
            return None
        return self.say(status, answer)

    do_GET = do_POST = do_PUT = serve


def make_certificates(folder):
    """A CA, and a certificate of it for 127.0.0.1."""
    def at(name):
        return os.path.join(folder, name)

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                at("ca.key"), "-out", at("ca.crt"), "-subj", "/CN=fake-ca", "-days", "2")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                at("server.key"), "-out", at("server.csr"), "-subj", "/CN=fake-kubernetes")
        with open(at("names"), "w", encoding="utf-8") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", at("server.csr"), "-CA", at("ca.crt"), "-CAkey", at("ca.key"),
                "-CAcreateserial", "-out", at("server.crt"), "-days", "2", "-extfile", at("names"))
    except FileNotFoundError:
        sys.exit(77)


def main(folder):
    make_certificates(folder)
    with open(os.path.join(folder, "token"), "w", encoding="utf-8") as file:
        file.write(TOKEN + "\n")
    server = Server(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server.crt"), os.path.join(folder, "server.key"))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with open(os.path.join(folder, "port.new"), "w", encoding="utf-8") as file:
        file.write(str(server.server_address[1]))
    os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
