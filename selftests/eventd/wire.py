# SPDX-License-Identifier: GPL-2.0
"""What the tests of kvbm-eventd are made of: records, hashes, and consumers that
decode what they get with libraries that kvbm-eventd does not use."""

import os
import random
import socket
import struct
import threading

import msgpack

STORED, REMOVED, CLEARED, CREATED, DESTROYED = range(1, 6)
SNAPSHOT = 1 << 2
RECORD = struct.Struct('<IBBBBQQQIIIIQQQQ')
HEAD = struct.Struct('<QQ')
BLOCK_SIZE = 4
MASK64 = (1 << 64) - 1
TIERS = {1: 'device', 2: 'host_pinned', 3: 'disk', 4: 'external'}
MEDIA = {1: 'GPU', 2: 'CPU', 3: 'DISK', 4: 'EXTERNAL'}


def record(kind, sequence, manager=1, tier=1, key=None, aux=b'', flags=0, version=1,
           size=None, aux_size=None):
    """One struct kvbm_event_record, with what follows it."""
    padded = aux + bytes(-len(aux) % 8)
    key_size = 0 if key is None else 16
    key = key or 0
    return RECORD.pack(RECORD.size + len(padded) if size is None else size, version, kind,
                       tier, key_size, sequence, 0, manager, flags, 0, 1,
                       len(aux) if aux_size is None else aux_size,
                       key & MASK64, key >> 64, 0, 0) + padded


def plh(current, parent, position):
    """A positional lineage hash, as a number of 128 bits."""
    mode = 0
    while position >> (8 * (mode + 1)):
        mode += 1
    bits = 54 - 8 * mode
    return (mode << 126 | position << (64 + bits) | current << bits |
            (parent & ((1 << bits) - 1)))


class Block:
    """A block of a sequence; the first one has no parent."""

    def __init__(self, current, local=0, parent=None, tokens=()):
        self.current = current
        self.local = local
        self.parent = parent
        self.position = parent.position + 1 if parent else 0
        self.tokens = list(tokens)
        self.key = plh(current, parent.current if parent else 0, self.position)

    @property
    def bytes(self):
        return self.key.to_bytes(16, 'big')

    @property
    def aux(self):
        return HEAD.pack(self.local, self.parent.current if self.parent else 0) + \
            struct.pack('<%dI' % len(self.tokens), *self.tokens)


def sequence_of_blocks(rng, n, parent=None):
    """n more blocks of one sequence, with all that any form needs."""
    blocks = []
    for _ in range(n):
        parent = Block(rng.getrandbits(64) or 1, rng.getrandbits(64) or 1, parent,
                       [rng.getrandbits(32) for _ in range(BLOCK_SIZE)])
        blocks.append(parent)
    return blocks


class Recorder:
    """Numbers records as a registry does, and knows what is present."""

    def __init__(self, first=1):
        self.next = first
        self.present = {}       # (manager, block) -> tier
        self.tiers = {}         # manager -> tier

    def _record(self, kind, manager, key=None, aux=b''):
        data = record(kind, self.next, manager, self.tiers[manager], key, aux)
        self.next += 1
        return data

    def create(self, manager, tier=1):
        self.tiers[manager] = tier
        return self._record(CREATED, manager)

    def store(self, *blocks, manager=1):
        data = b''
        for block in blocks:
            self.present[manager, block] = self.tiers[manager]
            data += self._record(STORED, manager, block.key, block.aux)
        return data

    def remove(self, *blocks, manager=1):
        data = b''
        for block in blocks:
            del self.present[manager, block]
            data += self._record(REMOVED, manager, block.key)
        return data

    def clear(self, manager=1):
        for at in [at for at in self.present if at[0] == manager]:
            del self.present[at]
        return self._record(CLEARED, manager)

    def destroy(self, manager):
        data = self.clear(manager) + self._record(DESTROYED, manager)
        del self.tiers[manager]
        return data

    def marker(self, manager=1):
        """A block that comes and goes, and its records: who has heard that it is
        gone has heard all that was before."""
        block = Block(random.getrandbits(64) | 1, 1, tokens=[1] * BLOCK_SIZE)
        return block, self.store(block, manager=manager) + self.remove(block, manager=manager)

    def snapshot(self):
        return b''.join(record(STORED, 0, manager, tier, block.key, block.aux, SNAPSHOT)
                        for (manager, block), tier in self.present.items())

    def hashes(self):
        return {block.bytes for _, block in self.present}

    def by_tier(self, names):
        return {(names[tier], block.current)
                for (_, block), tier in self.present.items()}


def random_operations(rng, recorder, steps):
    """Records of stores, removals and clears over a few managers and tiers."""
    blocks = []
    for _ in range(20):
        blocks += sequence_of_blocks(rng, rng.randrange(1, 12))
    out = [recorder.create(m, 1 + (m - 1) % 4) for m in range(1, 7)]
    for _ in range(steps):
        manager = rng.randrange(1, 7)
        if rng.random() < 0.005:
            out.append(recorder.clear(manager))
            continue
        block = rng.choice(blocks)
        if (manager, block) in recorder.present:
            out.append(recorder.remove(block, manager=manager))
        else:
            out.append(recorder.store(block, manager=manager))
    return out


class KvbmView:
    """A consumer of kvbm-logical's form."""

    def __init__(self):
        self.present = set()
        self.removed = set()
        self.shutdowns = 0
        self.batches = []

    def feed(self, payload):
        events, instance = msgpack.unpackb(payload, raw=False)
        assert isinstance(instance, bytes) and len(instance) == 16
        if events == 'Shutdown':
            self.shutdowns += 1
            return
        (kind, hashes), = events.items()
        assert all(isinstance(h, bytes) and len(h) == 16 for h in hashes)
        self.batches.append((kind, hashes))
        if kind == 'Create':
            self.present.update(hashes)
        else:
            assert kind == 'Remove', kind
            self.removed.update(hashes)
            self.present.difference_update(hashes)


class VllmView:
    """A consumer of vLLM's form. Holes in the sequence are kept in .missed."""

    def __init__(self):
        self.present = set()
        self.removed = set()
        self.next = None
        self.missed = []
        self.events = []

    def feed(self, sequence, payload):
        sequence = int.from_bytes(sequence, 'big')
        if self.next is not None and sequence != self.next:
            self.missed.append((self.next, sequence))
        self.next = sequence + 1
        self.apply(payload)

    def apply(self, payload):
        time, events, rank = msgpack.unpackb(payload, raw=False)
        assert isinstance(time, float) and isinstance(rank, int)
        for event in events:
            self.events.append(event)
            if event['type'] == 'AllBlocksCleared':
                assert list(event) == ['type']
                self.present.clear()
            elif event['type'] == 'BlockStored':
                self.stored(event)
            else:
                assert event['type'] == 'BlockRemoved'
                self.removed.update(event['block_hashes'])
                for h in event['block_hashes']:
                    self.present.discard((event['medium'], h))

    def stored(self, event):
        n = len(event['block_hashes'])
        assert n and len(event['token_ids']) == n * event['block_size']
        for key in ('lora_id', 'lora_name'):
            assert event[key] is None
        self.present.update((event['medium'], h) for h in event['block_hashes'])


class DynamoView:
    """A consumer of Dynamo's form, after envelope() or frames()."""

    def __init__(self):
        self.present = set()
        self.removed = set()
        self.local = {}
        self.event_id = None
        self.sequence = None
        self.events = []
        self.holes = 0

    def frames(self, frames):
        subject, publisher, sequence, body = frames
        assert body[0] == 1
        length, = struct.unpack('>I', body[1:5])
        assert length == len(body) - 5
        envelope = self.envelope(body[5:])
        assert envelope['publisher_id'] == int.from_bytes(publisher, 'big')
        assert envelope['sequence'] == int.from_bytes(sequence, 'big')
        return subject

    def envelope(self, data):
        envelope = msgpack.unpackb(data, raw=False)
        assert list(envelope) == ['publisher_id', 'sequence', 'published_at', 'topic',
                                  'payload']
        assert envelope['topic'] == 'kv-events'
        if self.sequence is not None:
            assert envelope['sequence'] >= self.sequence
        self.sequence = envelope['sequence']
        events = msgpack.unpackb(envelope['payload'], raw=False)
        for event in events if isinstance(events, list) else [events]:
            self.event(event)
        return envelope

    def event(self, event):
        tier, inner = event['storage_tier'], event['event']
        data = inner['data']
        if self.event_id is not None and inner['event_id'] != self.event_id + 1:
            self.holes += 1
        self.event_id = inner['event_id']
        self.events.append(event)
        if data == 'cleared':
            self.present.clear()
        elif 'stored' in data:
            for block in data['stored']['blocks']:
                assert block['mm_extra_info'] is None
                self.present.add((tier, block['block_hash']))
                self.local[block['block_hash']] = block['tokens_hash']
        else:
            self.removed.update(data['removed']['block_hashes'])
            for h in data['removed']['block_hashes']:
                self.present.discard((tier, h))


class NatsClient:
    """Just enough of the protocol of NATS to subscribe."""

    def __init__(self, port, subject, login=''):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
        self.buffer = b''
        assert self.line().startswith(b'INFO ')
        self.socket.sendall(b'CONNECT {"verbose":false,"pedantic":false%s}\r\n'
                            b'SUB ' % login.encode() + subject.encode() + b' 1\r\nPING\r\n')
        # What is published after this answer, we get.
        assert self.line() == b'PONG'

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self):
        while b'\r\n' not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b'\r\n', 1)
        return line

    def message(self):
        """The next one: subject and payload."""
        while True:
            line = self.line()
            if line == b'PING':
                self.socket.sendall(b'PONG\r\n')
            if line.startswith(b'MSG '):
                break
        size = int(line.split()[-1])
        while len(self.buffer) < size + 2:
            self.more()
        payload, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return line.split()[1].decode(), payload

    def close(self):
        self.socket.close()


class Forwarder:
    """Between kvbm-eventd and a server, so that a test says when there is a way."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = probe.getsockname()[1]
        self.listener = None
        self.open = []
        self.lock = threading.Lock()

    def up(self, target):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(('127.0.0.1', self.port))
        listener.listen()
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener, target), daemon=True).start()

    def accept(self, listener, target):
        while True:
            try:
                here = listener.accept()[0]
            except OSError:
                return
            there = socket.create_connection(('127.0.0.1', target))
            with self.lock:
                self.open += [here, there]
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def down(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()
            self.open = []


def rng():
    """Another seed: KVBM_SEED."""
    return random.Random(int(os.environ.get('KVBM_SEED', '1')))
