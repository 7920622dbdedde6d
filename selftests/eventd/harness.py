# SPDX-License-Identifier: GPL-2.0
"""Runs kvbm-eventd and servers, and prints TAP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback

import zmq

from wire import NatsClient

EVENTD = os.environ.get('EVENTD', 'kvbm-eventd')
PATIENCE = 60       # seconds until a test gives up; none is expected to come near


class Eventd:
    """A running kvbm-eventd, which has said that it is ready. Records go to its
    stdin."""

    def __init__(self, *options):
        self.stderr = tempfile.NamedTemporaryFile('ab')
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind('')    # an abstract name of the kernel's choice
            manager.settimeout(PATIENCE)
            name = '@' + manager.getsockname()[1:].decode()
            self.process = subprocess.Popen(
                [EVENTD, '--from=-', '--block-size=4', *options], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self.stderr,
                env={**os.environ, 'NOTIFY_SOCKET': name})
            assert manager.recv(64) == b'READY=1'

    def feed(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def kill(self, number):
        self.process.send_signal(number)

    def wait(self):
        """What it printed. Ends its input."""
        try:
            out = self.process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return out.decode()

    def stop(self):
        self.kill(signal.SIGTERM)
        return self.wait()

    @property
    def status(self):
        return self.process.returncode

    def said(self):
        with open(self.stderr.name, encoding='utf-8') as said:
            return said.read()

    def counters(self):
        """The last ones that it printed."""
        lines = [line for line in self.said().splitlines() if ': {"registry"' in line]
        return json.loads(lines[-1].split(': ', 1)[1])

    def until(self, condition):
        """Asks for its counters until they are as they should be."""
        for _ in patience():
            seen = self.said().count(': {"registry"')
            self.kill(signal.SIGUSR1)
            for _ in patience():
                if self.said().count(': {"registry"') > seen:
                    break
            counters = self.counters()
            if condition(counters):
                return counters
        raise TimeoutError(self.said())


def patience(step=0.01):
    """For loops that wait for something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(step)
    raise TimeoutError


def run(data, *options):
    """From beginning to end, over records; stdout as lines of JSON."""
    eventd = Eventd('--dry-run', *options)
    try:
        out = eventd.process.communicate(data, timeout=PATIENCE)[0].decode()
    except subprocess.TimeoutExpired:
        eventd.process.kill()
        raise
    return eventd, [json.loads(line) for line in out.splitlines()]


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class NatsServer:
    """A nats-server on loopback."""

    def __init__(self, *options):
        self.port = free_port()
        program = shutil.which('nats-server', path=os.environ['PATH'] + ':/usr/sbin')
        self.process = subprocess.Popen(
            [program, '-a', '127.0.0.1', '-p', str(self.port), *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in patience():
            try:
                socket.create_connection(('127.0.0.1', self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None, 'nats-server has ended'

    @property
    def url(self):
        return 'nats://127.0.0.1:%d' % self.port

    def client(self, subject):
        return NatsClient(self.port, subject)

    def end(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Subscriber:
    """A ZeroMQ subscriber, and the endpoints that kvbm-eventd gets."""

    def __init__(self, context, topic=b'', hwm=0):
        self.directory = tempfile.mkdtemp()
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.SUBSCRIBE, topic)
        self.socket.setsockopt(zmq.RCVHWM, hwm)
        self.socket.setsockopt(zmq.RCVTIMEO, PATIENCE * 1000)
        self.socket.connect(self.endpoint)
        self.tcp = 'tcp://127.0.0.1:%d' % free_port()

    @property
    def endpoint(self):
        return 'ipc://%s/events' % self.directory

    @property
    def replay(self):
        return 'ipc://%s/replay' % self.directory

    def sync(self, eventd, recorder):
        """A publisher does not wait for subscribers: until one is heard, blocks
        come, and then they go."""
        for _ in patience():
            eventd.feed(recorder.marker()[1])
            if self.socket.poll(50):
                break

    def receive(self):
        return self.socket.recv_multipart()

    def close(self):
        self.socket.close(linger=0)
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(tests):
    """A test passes when it returns."""
    failed = 0
    print('TAP version 13\n1..%d' % len(tests), flush=True)
    for number, test in enumerate(tests, 1):
        try:
            test()
            print('ok %d %s' % (number, test.__name__), flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('not ok %d %s' % (number, test.__name__), flush=True)
    return 1 if failed else 0
