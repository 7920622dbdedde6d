#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""kvbm-eventd from records to consumers: a real NATS server, real ZeroMQ sockets,
decoders that are not ours. As TAP.

usage: EVENTD=path/to/kvbm-eventd eventd_test.py [TEST...]"""

import signal
import struct
import subprocess
import sys

import msgpack
import zmq

from harness import EVENTD, Eventd, NatsServer, Subscriber, main, patience, run
from wire import (BLOCK_SIZE, CREATED, MEDIA, REMOVED, STORED, TIERS, Block, DynamoView,
                  Forwarder, KvbmView, NatsClient, Recorder, VllmView, plh, random_operations, record, rng,
                  sequence_of_blocks)

context = zmq.Context()
NEVER = '--window=60000'


def until_marker(view, marker, receive):
    """Lets the view have what comes until it has heard that the marker is gone."""
    while not {marker.current, marker.bytes} & view.removed:
        receive()


# --- kvbm-logical's form

def full_event_pipeline():
    """5 stored in any order and 5 removed: two batches, in order of position, and
    Shutdown; the bytes are those that another encoder makes."""
    blocks = sequence_of_blocks(rng(), 5)
    recorder = Recorder()
    instance = 0xfedcba9876543210fedcba9876543210
    with NatsServer() as server:
        client = server.client('kvbm.events')
        eventd = Eventd('--kvbm=' + server.url, '--instance-id=%x' % instance, NEVER)
        eventd.feed(recorder.create(1))
        eventd.feed(recorder.store(*(blocks[i] for i in (3, 0, 4, 2, 1))))
        eventd.feed(recorder.remove(*(blocks[i] for i in (3, 0, 4, 2, 1))))
        eventd.stop()
        assert eventd.status == 0, eventd.said()
        identity = instance.to_bytes(16, 'big')
        up = [b.bytes for b in blocks]
        for events in ('Shutdown', {'Create': up}, {'Remove': up[::-1]}, 'Shutdown'):
            subject, payload = client.message()
            assert subject == 'kvbm.events'
            assert payload == msgpack.packb([events, identity]), payload.hex()


def instance_differs_in_each_run():
    ids = set()
    for _ in range(2):
        _, lines = run(b'', '--kvbm=tcp://127.0.0.1:1')
        assert [line['payload'][0] for line in lines] == ['Shutdown']
        ids.add(lines[0]['payload'][1])
    assert len(ids) == 2


def type_switch_and_size_end_batches():
    recorder = Recorder()
    blocks = sequence_of_blocks(rng(), 7)
    data = recorder.create(1) + recorder.store(*blocks[:2]) + recorder.remove(blocks[1]) + \
        recorder.store(*blocks[2:])
    _, lines = run(data, NEVER, '--batch=3')
    kinds = [(k, len(h)) for line in lines if line['payload'][0] != 'Shutdown'
             for k, h in line['payload'][0].items()]
    assert kinds == [('Create', 2), ('Remove', 1), ('Create', 3), ('Create', 2)], kinds


def dry_run_is_json():
    """Both events, and the batch around them."""
    block = Block(0x1234, 5)
    recorder = Recorder()
    data = recorder.create(1) + recorder.store(block) + recorder.remove(block)
    eventd, lines = run(data, '--instance-id=00000000-0000-0000-0000-00000000002a')
    assert eventd.status == 0, eventd.said()
    assert [line['payload'] for line in lines] == [
        [events, '%032x' % 42] for events in
        ('Shutdown', {'Create': [block.bytes.hex()]}, {'Remove': [block.bytes.hex()]},
         'Shutdown')], lines
    assert {line['subject'] for line in lines} == {'kvbm.events'}


def power_of_two_positions():
    blocks = sequence_of_blocks(rng(), 70)
    recorder = Recorder()
    data = recorder.create(1) + recorder.store(*blocks) + recorder.remove(*blocks)
    for policy, wanted in (('power-of-two', [16, 32, 64]), ('power-of-two:32-64', [32, 64]),
                           ('all', list(range(70)))):
        _, lines = run(data, '--policy=' + policy, NEVER)
        created = lines[0]['payload'][0]['Create']
        assert created == [blocks[i].bytes.hex() for i in wanted]
        assert lines[1]['payload'][0]['Remove'] == created[::-1]


def two_tiers_tell_first_store_and_last_removal():
    block = sequence_of_blocks(rng(), 1)[0]
    recorder = Recorder()
    data = recorder.create(1, 1) + recorder.create(2, 2) + recorder.create(3, 2)
    for manager in (1, 2, 3):
        data += recorder.store(block, manager=manager)
    for manager in (2, 1, 3):
        data += recorder.remove(block, manager=manager)
    _, lines = run(data, '--kvbm=tcp://*:1', '--vllm=tcp://*:2', '--dynamo=tcp://*:3', NEVER)
    assert [list(line['payload'][0])[0] for line in lines
            if line['output'] == 'kvbm' and line['payload'][0] != 'Shutdown'] == \
        ['Create', 'Remove']
    # A tier is left when the last of its managers is.
    told = [(e['type'], e.get('medium')) for line in lines if line['output'] == 'vllm'
            for e in line['payload'][1]]
    assert told == [('AllBlocksCleared', None), ('BlockStored', 'GPU'),
                    ('BlockStored', 'CPU'), ('BlockRemoved', 'GPU'),
                    ('BlockRemoved', 'CPU')], told
    told = [(e['storage_tier'], list(e['event']['data'])[0]) for line in lines
            if line['output'] == 'dynamo' for e in line['payload']
            if e['event']['data'] != 'cleared']
    assert told == [('device', 'stored'), ('host_pinned', 'stored'), ('device', 'removed'),
                    ('host_pinned', 'removed')], told


def kvbm_by_zeromq_to_several_subscribers():
    recorder = Recorder()
    with Subscriber(context) as one, Subscriber(context, b'kvbm.') as two:
        two.socket.connect(one.endpoint)
        eventd = Eventd('--kvbm=' + one.endpoint)
        eventd.feed(recorder.create(1))
        one.sync(eventd, recorder)
        two.sync(eventd, recorder)
        eventd.feed(recorder.store(*sequence_of_blocks(rng(), 100)))
        marker, data = recorder.marker()
        eventd.feed(data)
        for subscriber in (one, two):
            view = KvbmView()

            def receive():
                subject, payload = subscriber.receive()
                assert subject == b'kvbm.events'
                view.feed(payload)
            until_marker(view, marker, receive)
            assert view.present == recorder.hashes()
        eventd.stop()
        assert eventd.status == 0, eventd.said()


def zeromq_by_tcp():
    """Bound by us, and connected to a subscriber that is bound."""
    for bound in (True, False):
        recorder, view = Recorder(), KvbmView()
        with Subscriber(context) as subscriber:
            if bound:
                subscriber.socket.connect(subscriber.tcp)
            else:
                subscriber.socket.bind(subscriber.tcp)
            eventd = Eventd('--kvbm=' + ('@' if bound else '') + subscriber.tcp)
            eventd.feed(recorder.create(1))
            subscriber.sync(eventd, recorder)
            eventd.feed(recorder.store(*sequence_of_blocks(rng(), 100)))
            marker, data = recorder.marker()
            eventd.feed(data)
            until_marker(view, marker, lambda: view.feed(subscriber.receive()[1]))
            assert view.present == recorder.hashes()
            eventd.stop()


def nats_with_password():
    """The server asks; and what we say of it shows no password."""
    with NatsServer('--user', 'me', '--pass', 'secret') as server:
        client = NatsClient(server.port, 'kvbm.events', ',"user":"me","pass":"secret"')
        wrong = Eventd('--kvbm=' + server.url.replace('//', '//me:public@'), '--stop-timeout=0')
        for _ in patience():
            if 'no connection' in wrong.said():
                break
        wrong.stop()
        right = Eventd('--kvbm=' + server.url.replace('//', '//me:secret@'))
        right.stop()
        assert right.status == 0, right.said()
        assert client.message()[1][1:10] == b'\xa8Shutdown'
        assert 'public' not in wrong.said() and 'secret' not in right.said()


# --- vLLM's form

def vllm_by_zeromq():
    """Sequences without holes, chains of blocks in one event, all that a decoder
    asks for; the bytes are those that another encoder makes."""
    recorder, blocks = Recorder(), sequence_of_blocks(rng(), 40)
    view = VllmView()
    with Subscriber(context, b'kv@pod@model') as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--topic=kv@pod@model', '--dp-rank=3')
        eventd.feed(recorder.create(1) + recorder.create(2, 2))
        subscriber.sync(eventd, recorder)
        eventd.feed(recorder.store(*blocks))
        eventd.feed(recorder.store(*blocks[:5], manager=2))
        eventd.feed(recorder.remove(*blocks[30:]))
        marker, data = recorder.marker()
        eventd.feed(data)

        def receive():
            topic, sequence, payload = subscriber.receive()
            assert topic == b'kv@pod@model'
            view.feed(sequence, payload)
            decoded = msgpack.unpackb(payload)
            assert decoded[2] == 3
            assert msgpack.packb(decoded) == payload
        until_marker(view, marker, receive)
        assert view.present == recorder.by_tier(MEDIA)
        assert not view.missed
        stored = [e for e in view.events if e['type'] == 'BlockStored' and
                  blocks[3].current in e['block_hashes']]
        event = stored[0]
        at = event['block_hashes'].index(blocks[3].current)
        assert event['token_ids'][at * BLOCK_SIZE:][:BLOCK_SIZE] == blocks[3].tokens
        first = blocks[[b.current for b in blocks].index(event['block_hashes'][0])]
        assert event['parent_block_hash'] == (first.parent and first.parent.current)
        eventd.stop()
        assert eventd.status == 0, eventd.said()


def subscriber_does_not_read():
    """It costs what its queue takes and no more, and it sees that it has missed something.
    The replay socket has that."""
    recorder, view, fresh = Recorder(), VllmView(), VllmView()
    with Subscriber(context, hwm=1) as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--replay=' + subscriber.replay,
                        '--topic=T', '--batch=1', '--zmq-queue=10', '--replay-batches=100000')
        eventd.feed(b''.join(random_operations(rng(), recorder, 10)))
        subscriber.sync(eventd, recorder)
        eventd.feed(b''.join(random_operations(rng(), recorder, 20000)))
        eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        for _ in patience():
            marker, data = recorder.marker()
            eventd.feed(data)
            while subscriber.socket.poll(100):
                view.feed(*subscriber.receive()[1:])
            if marker.current in view.removed:
                break
        assert view.missed
        eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        for number, payload in replay(subscriber.replay, 0):
            fresh.feed(struct.pack('>Q', number), payload)
        assert not fresh.missed and fresh.present == recorder.by_tier(MEDIA)
        eventd.stop()
        assert eventd.status == 0, eventd.said()


def vllm_counts_blocks_without_tokens():
    """They are not published, and neither is their end."""
    recorder = Recorder()
    whole = sequence_of_blocks(rng(), 1)[0]
    local_only, lying = Block(77, 5), Block(78, 5, whole, [1, 2, 3, 4])
    lying.parent = Block(79, 5)
    data = recorder.create(1) + recorder.store(whole, local_only, lying) + \
        recorder.remove(local_only, lying)
    eventd, lines = run(data, '--vllm=tcp://*:1', '--dynamo=tcp://*:1', NEVER)
    vllm, dynamo = eventd.counters()['outputs']
    assert (vllm['events'], vllm['without_aux'], vllm['bad_aux']) == (1, 1, 1), vllm
    assert (dynamo['events'], dynamo['without_aux'], dynamo['bad_aux']) == (3, 0, 1), dynamo
    events = [e for line in lines if line['output'] == 'vllm' for e in line['payload'][1]]
    assert [e['type'] for e in events] == ['AllBlocksCleared', 'BlockStored'], events
    assert events[1]['block_hashes'] == [whole.current]


def cleared_is_said_once():
    """All of device memory gone, and nothing else is known: one word. With another
    tier present, or another tier gone, each block by itself."""
    blocks = sequence_of_blocks(rng(), 9)

    def told(*records):
        _, lines = run(b''.join(records), '--vllm=tcp://*:1', NEVER)
        return [e['type'] for line in lines[1:] for e in line['payload'][1]]
    r = Recorder()
    assert told(r.create(1), r.store(*blocks), r.destroy(1)) == \
        ['BlockStored', 'AllBlocksCleared']
    r = Recorder()
    assert told(r.create(1), r.create(2, 2), r.store(*blocks), r.store(*blocks, manager=2),
                r.clear(1)) == ['BlockStored', 'BlockStored', 'BlockRemoved']
    r = Recorder()
    assert told(r.create(2, 2), r.store(*blocks, manager=2), r.clear(2)) == \
        ['BlockStored', 'BlockRemoved']
    # The other manager of the tier has them, too.
    r = Recorder()
    assert told(r.create(1), r.create(2), r.store(*blocks), r.store(*blocks, manager=2),
                r.clear(1), r.clear(2)) == ['BlockStored', 'AllBlocksCleared']


def replay_request(endpoint, frames):
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.RCVTIMEO, 60000)
    dealer.connect(endpoint)
    dealer.send_multipart(frames)
    return dealer


def replay(endpoint, sequence):
    """Sequences and payloads of the answer."""
    dealer = replay_request(endpoint, [b'', struct.pack('>Q', sequence)])
    out = []
    while True:
        empty, topic, number, payload = dealer.recv_multipart()
        assert empty == b''
        if number == b'\xff' * 8:
            assert (topic, payload) == (b'', b'')
            dealer.close(linger=0)
            return out
        assert topic == b'T'
        out.append((int.from_bytes(number, 'big'), payload))


def vllm_replay():
    """Who comes late asks for all, from the first one on, and has what is present."""
    recorder = Recorder()
    with Subscriber(context, b'T') as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--replay=' + subscriber.replay,
                        '--topic=T', '--batch=8')
        eventd.feed(b''.join(random_operations(rng(), recorder, 500)))
        eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        answer = replay(subscriber.replay, 0)
        assert [n for n, _ in answer] == list(range(len(answer)))
        view = VllmView()
        for _, payload in answer:
            view.apply(payload)
        assert view.present == recorder.by_tier(MEDIA)
        # From the middle: exactly the rest; from the next one: nothing.
        assert replay(subscriber.replay, 7) == answer[7:]
        assert replay(subscriber.replay, len(answer)) == []
        eventd.stop()
        assert eventd.status == 0, eventd.said()


def replay_beyond_what_is_kept():
    """The answer is what is present, and what comes live follows it."""
    recorder = Recorder()
    with Subscriber(context, b'T') as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--replay=' + subscriber.replay,
                        '--topic=T', '--batch=4', '--replay-batches=2')
        eventd.feed(b''.join(random_operations(rng(), recorder, 500)))
        subscriber.sync(eventd, recorder)
        counters = eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        assert counters['outputs'][0]['replay_kept'] == 2
        # Too early; and of an earlier run, that had got further.
        for sequence in (0, 1 << 40):
            view = VllmView()
            for number, payload in replay(subscriber.replay, sequence):
                view.feed(struct.pack('>Q', number), payload)
            assert view.present == recorder.by_tier(MEDIA), view.events[-1]
            assert not view.missed
            assert view.events[0] == {'type': 'AllBlocksCleared'}
        eventd.feed(recorder.marker()[1])
        for _ in patience():
            live = subscriber.receive()
            if int.from_bytes(live[1], 'big') >= view.next:
                break
        assert int.from_bytes(live[1], 'big') == view.next
        eventd.stop()


def replay_socket_ends_no_batches():
    """Only a request does: who asks gets all that was told until then."""
    recorder = Recorder()
    blocks = sequence_of_blocks(rng(), 4)
    with Subscriber(context, b'T') as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--replay=' + subscriber.replay,
                        '--topic=T', NEVER)
        eventd.feed(recorder.create(1))
        for block in blocks:
            eventd.feed(recorder.store(block))
            eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        assert eventd.until(lambda c: True)['outputs'][0]['batches'] == 1
        assert [n for n, _ in replay(subscriber.replay, 0)] == [0, 1]
        eventd.stop()


def malformed_replay_requests():
    """They are counted, and harm nobody."""
    recorder = Recorder()
    requests = [[b''], [b'', b'short'], [b'x', bytes(8)], [b'', bytes(8), b'more'],
                [b'', b''], [bytes(8)], [b'', b'x' * 100000]]
    with Subscriber(context, b'T') as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint, '--replay=' + subscriber.replay,
                        '--topic=T')
        eventd.feed(recorder.create(1))
        sockets = [replay_request(subscriber.replay, frames) for frames in requests]
        eventd.until(lambda c: c['outputs'][0]['replay_malformed'] == len(requests))
        assert [n for n, _ in replay(subscriber.replay, 0)] == [0]
        for s in sockets:
            assert not s.poll(0)
            s.close(linger=0)
        eventd.stop()
        assert eventd.status == 0, eventd.said()


# --- Dynamo's form

def dynamo_by_zeromq():
    recorder, view = Recorder(), DynamoView()
    with Subscriber(context) as subscriber:
        eventd = Eventd('--dynamo=' + subscriber.endpoint, '--namespace=my.ns',
                        '--component=back end', '--worker-id=7', '--publisher-id=12345',
                        '--dp-rank=2', '--batch=8192')
        eventd.feed(recorder.create(1))
        subscriber.sync(eventd, recorder)
        operations = random_operations(rng(), recorder, 2000)
        eventd.feed(b''.join(operations))
        marker, data = recorder.marker()
        eventd.feed(data)
        until_marker(view, marker, lambda: subjects.add(view.frames(subscriber.receive())))
        assert subjects == {b'namespace.my%2Ens.component.back%20end.kv-events'}, subjects
        assert view.present == recorder.by_tier(TIERS)
        for (_, block), _ in recorder.present.items():
            assert view.local[block.current] == block.local
        assert not view.holes
        assert {e['worker_id'] for e in view.events} == {7}
        assert {e['event']['dp_rank'] for e in view.events} == {2}
        eventd.stop()
        assert eventd.status == 0, eventd.said()


subjects = set()


def dynamo_by_nats():
    recorder, view = Recorder(), DynamoView()
    with NatsServer() as server:
        subject = 'namespace.n.component.c.endpoint.e.kv-events'
        client = server.client(subject)
        eventd = Eventd('--dynamo=' + server.url, '--namespace=n', '--component=c',
                        '--endpoint-name=e')
        eventd.feed(b''.join(random_operations(rng(), recorder, 500)))
        marker, data = recorder.marker()
        eventd.feed(data)
        until_marker(view, marker, lambda: view.envelope(client.message()[1]))
        assert view.present == recorder.by_tier(TIERS)
        assert view.events[0]['event']['data'] == 'cleared'
        eventd.stop()
        assert eventd.status == 0, eventd.said()


def dynamo_for_older_routers():
    recorder = Recorder()
    blocks = sequence_of_blocks(rng(), 3)
    data = recorder.create(1) + recorder.store(*blocks) + recorder.remove(*blocks)
    _, lines = run(data, '--dynamo=tcp://*:1', '--single-events', NEVER)
    assert all(isinstance(line['payload'], dict) for line in lines)
    assert [line['sequence'] for line in lines] == [0, 1, 2]
    stored = lines[1]['payload']['event']['data']['stored']
    assert stored['start_position'] == 0 and stored['parent_hash'] is None
    assert [b['block_hash'] for b in stored['blocks']] == [b.current for b in blocks]


# --- What is lost is made up for

def views_of(lines):
    """The consumers of a dry run of all forms."""
    kvbm, vllm, dynamo = KvbmView(), VllmView(), DynamoView()
    for line in lines:
        payload = line['payload']
        if line['output'] == 'kvbm':
            if payload[0] != 'Shutdown':
                (kind, hashes), = payload[0].items()
                kvbm.feed(msgpack.packb([{kind: [bytes.fromhex(h) for h in hashes]},
                                         bytes(16)]))
        elif line['output'] == 'vllm':
            vllm.feed(struct.pack('>Q', line['sequence']), msgpack.packb(payload))
        else:
            for event in payload:
                dynamo.event(event)
    return kvbm, vllm, dynamo


ALL_FORMS = ('--kvbm=tcp://*:1', '--vllm=tcp://*:1', '--dynamo=tcp://*:1')


def random_operations_in_all_forms():
    recorder = Recorder()
    data = random_operations(rng(), recorder, 5000)
    for options in (['--batch=7'], []):
        eventd, lines = run(b''.join(data), *ALL_FORMS, *options)
        assert eventd.status == 0, eventd.said()
        kvbm, vllm, dynamo = views_of(lines)
        assert kvbm.present == recorder.hashes()
        assert vllm.present == recorder.by_tier(MEDIA)
        assert dynamo.present == recorder.by_tier(TIERS)
        assert not vllm.missed and not dynamo.holes
        assert eventd.counters()['lost'] == 0


def holes_in_the_input():
    """Records are missing at random, and each time it can be seen afterwards what is
    present: consumers end up with that."""
    random = rng()
    recorder = Recorder()
    data, lost = [], 0
    for operation in random_operations(random, recorder, 3000):
        if random.random() < 0.02 and data:
            lost += 1
            data.append(recorder.snapshot())
        else:
            data.append(operation)
    data += [recorder.snapshot(), recorder.marker()[1]]
    eventd, lines = run(b''.join(data), *ALL_FORMS)
    assert eventd.status == 0, eventd.said()
    kvbm, vllm, dynamo = views_of(lines)
    assert kvbm.present == recorder.hashes()
    assert vllm.present == recorder.by_tier(MEDIA)
    assert dynamo.present == recorder.by_tier(TIERS)
    counters = eventd.counters()
    assert counters['lost'] >= lost / 2, (counters['lost'], lost)
    assert counters['dumps'] > 1


def begins_with_what_is_present():
    recorder = Recorder(first=1000)
    recorder.create(1)
    recorder.store(*sequence_of_blocks(rng(), 50))
    data = recorder.snapshot() + recorder.marker()[1]
    eventd, lines = run(data, *ALL_FORMS)
    assert views_of(lines)[0].present == recorder.hashes()
    assert eventd.counters()['lost'] == 0


def nats_server_comes_late():
    recorder, view, way = Recorder(), KvbmView(), Forwarder()
    eventd = Eventd('--kvbm=nats://127.0.0.1:%d' % way.port)
    eventd.feed(b''.join(random_operations(rng(), recorder, 300)))
    eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
    with NatsServer() as server:
        client = server.client('kvbm.events')
        way.up(server.port)
        marker, data = recorder.marker()
        eventd.feed(data)
        until_marker(view, marker, lambda: view.feed(client.message()[1]))
        assert view.present == recorder.hashes()
        eventd.stop()
        assert eventd.status == 0, eventd.said()
        way.down()


def lost_server(queue, steps):
    """Both the server and the connection go away, things happen, and another server
    comes. The consumer keeps what it has heard before."""
    recorder, view, way = Recorder(), KvbmView(), Forwarder()
    dynamo = DynamoView()
    random = rng()
    server = NatsServer()
    way.up(server.port)
    eventd = Eventd('--kvbm=nats://127.0.0.1:%d' % way.port,
                    '--dynamo=nats://127.0.0.1:%d' % way.port, '--queue=%d' % queue,
                    '--namespace=n', '--component=c')

    def catch_up():
        # What comes and goes during a gap is never heard of: the marker must not.
        eventd.until(lambda c: c.get('sequence') == recorder.next - 1 and
                     not any(o['gap'] or o['queued'] for o in c['outputs']))
        marker, data = recorder.marker()
        eventd.feed(data)
        until_marker(view, marker, lambda: view.feed(kvbm_client.message()[1]))
        until_marker(dynamo, marker, lambda: dynamo.envelope(dynamo_client.message()[1]))
        assert view.present == recorder.hashes()
        assert dynamo.present == recorder.by_tier(TIERS)

    def listen():
        return (server.client('kvbm.events'),
                server.client('namespace.n.component.c.kv-events'))
    kvbm_client, dynamo_client = listen()
    for round_ in range(3):
        for block in random_operations(random, recorder, steps) if not round_ else \
                more_operations(random, recorder, steps):
            eventd.feed(block)
        if round_:
            eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
            way.up(server.port)
        catch_up()
        way.down()
        server.end()
        eventd.until(lambda c: all(o['losses'] == round_ + 1 for o in c['outputs']))
        server = NatsServer()
        kvbm_client, dynamo_client = listen()
    way.up(server.port)
    catch_up()
    counters = eventd.until(lambda c: True)
    eventd.stop()
    way.down()
    server.end()
    assert eventd.status == 0, eventd.said()
    return counters


def more_operations(random, recorder, steps):
    """Some of what is present goes, and new blocks come."""
    managers = list(recorder.tiers)
    for _ in range(steps):
        if recorder.present and random.random() < 0.5:
            manager, block = random.choice(list(recorder.present))
            yield recorder.remove(block, manager=manager)
        else:
            yield recorder.store(*sequence_of_blocks(random, 1),
                                 manager=random.choice(managers))


def nats_server_lost_and_back():
    """All that happened fits into the queue: nothing has to be compared."""
    counters = lost_server(1 << 20, 200)
    assert all(o['connects'] == 4 and not o['resyncs'] for o in counters['outputs']), counters


def nats_server_lost_and_queue_full():
    """It does not fit: the differences are published."""
    counters = lost_server(4096, 1000)
    assert all(o['refused'] and o['resyncs'] for o in counters['outputs']), counters


def queue_is_bounded():
    """No server ever: the queue stays what it is, and the end says so."""
    recorder = Recorder()
    eventd = Eventd('--kvbm=nats://127.0.0.1:1', '--queue=64Ki', '--stop-timeout=0')
    for data in random_operations(rng(), recorder, 20000):
        eventd.feed(data)
    counters = eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
    output = counters['outputs'][0]
    assert output['bytes'] <= 65536 and output['gap'], output
    eventd.stop()
    assert eventd.status == 1
    assert 'not all could be delivered' in eventd.said()


def hangup_publishes_all_again():
    recorder, view = Recorder(), VllmView()
    with Subscriber(context) as subscriber:
        eventd = Eventd('--vllm=' + subscriber.endpoint)
        eventd.feed(b''.join(random_operations(rng(), recorder, 300)))
        eventd.until(lambda c: c.get('sequence') == recorder.next - 1)
        # One that hears nothing but what comes after the hangup.
        subscriber.sync(eventd, recorder)
        eventd.kill(signal.SIGHUP)
        eventd.until(lambda c: c['outputs'][0]['resyncs'] == 1)
        marker, data = recorder.marker()
        eventd.feed(data)
        until_marker(view, marker, lambda: view.feed(*subscriber.receive()[1:]))
        assert view.present == recorder.by_tier(MEDIA)
        eventd.stop()


# --- The end

def terminate_flushes_and_says_shutdown():
    """What waits for its window goes out, and Shutdown after it."""
    recorder = Recorder()
    blocks = sequence_of_blocks(rng(), 3)
    with NatsServer() as server:
        client = server.client('kvbm.events')
        eventd = Eventd('--kvbm=' + server.url, NEVER)
        eventd.feed(recorder.create(1) + recorder.store(*blocks))
        eventd.until(lambda c: c['changes'] == 4)
        eventd.stop()
        assert eventd.status == 0, eventd.said()
        view = KvbmView()
        while not view.shutdowns:
            view.feed(client.message()[1])
        assert view.present == recorder.hashes()
        assert eventd.counters()['outputs'][0]['queued'] == 0


def interrupt_and_end_of_input_are_the_same():
    recorder = Recorder()
    data = recorder.create(1) + recorder.store(*sequence_of_blocks(rng(), 2))
    for end in (lambda e: e.kill(signal.SIGINT), lambda e: None):
        eventd = Eventd('--dry-run', NEVER)
        eventd.feed(data)
        eventd.until(lambda c: c['changes'] == 3)
        end(eventd)
        out = eventd.wait()
        assert eventd.status == 0
        assert out.count('Create') == 1 and out.count('Shutdown') == 1


# --- Bad input

def malformed_records():
    """Each is named with its place; what came before is published."""
    block = Block(5, 6)
    good = record(CREATED, 1) + record(STORED, 2, key=block.key, aux=block.aux)
    key = plh(9, 0, 0)
    cases = {
        'not a record of this version': record(STORED, 3, key=key, version=2),
        'impossible size': record(STORED, 3, key=key, size=72),
        'a record of an impossible size': record(STORED, 3, key=key, size=1 << 20),
        'of an impossible': record(STORED, 3, key=key, aux=bytes(8), size=84),
        'more aux than record': record(STORED, 3, key=key, aux_size=8),
        'no such tier': record(STORED, 3, tier=5, key=key),
        'no such': record(STORED, 3, tier=0, key=key),
        'a hash of a size': record(STORED, 3),
        'a hash of': record(REMOVED, 3),
        'goes back': record(REMOVED, 2, key=key),
        'that is not about a block': record(REMOVED, 0, key=key, flags=4),
        'half a record': record(STORED, 3, key=key, aux=bytes(16))[:90],
        'half a': b'\0',
    }
    for words, data in cases.items():
        eventd, lines = run(good + data)
        assert eventd.status == 1, (words, eventd.said())
        assert words in eventd.said(), (words, eventd.said())
        assert 'at byte %d:' % len(good) in eventd.said(), eventd.said()
        assert [list(line['payload'][0])[0] for line in lines[:1]] == ['Create'], (words, lines)
        assert lines[-1]['payload'][0] == 'Shutdown'


def random_bytes():
    """Whatever it is, there is no crash: an end with status 0 or 1."""
    random = rng()
    recorder = Recorder()
    whole = b''.join(random_operations(random, recorder, 40))
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(random.randrange(1, 20)):
            data[random.randrange(len(data))] = random.getrandbits(8)
        eventd, _ = run(bytes(data[:random.randrange(len(data))]), *ALL_FORMS)
        assert eventd.status in (0, 1), (eventd.status, eventd.said())


def too_many_managers():
    block = Block(5, 6)
    data = b''.join(record(STORED, 1 + i, manager=1 + i, key=block.key) for i in range(65))
    eventd, _ = run(data)
    assert eventd.status == 1 and 'more than 64 managers' in eventd.said()


def managers_come_and_go():
    """Also when nobody said that they went."""
    recorder = Recorder()
    blocks = sequence_of_blocks(rng(), 3)
    data = recorder.create(1) + recorder.store(*blocks)
    for i in range(2, 300):
        data += recorder.create(i, 1 + i % 4) + recorder.store(*blocks, manager=i)
        data += recorder.clear(i) if i % 2 else recorder.destroy(i)
    eventd, lines = run(data, *ALL_FORMS)
    assert eventd.status == 0, eventd.said()
    kvbm, vllm, dynamo = views_of(lines)
    assert kvbm.present == recorder.hashes()
    assert vllm.present == recorder.by_tier(MEDIA)
    assert dynamo.present == recorder.by_tier(TIERS)


def unknown_types_are_skipped():
    block = Block(5, 6)
    data = record(CREATED, 1) + record(99, 2) + record(STORED, 3, key=block.key)
    eventd, lines = run(data)
    assert eventd.status == 0
    assert lines[0]['payload'][0] == {'Create': [block.bytes.hex()]}


def bad_options():
    cases = {
        'nothing to read': ['--dry-run'],
        'one or the other': ['--from=-', '--registry=x', '--dry-run'],
        'nowhere to publish': ['--from=-'],
        'ZeroMQ only': ['--from=-', '--vllm=nats://h:1'],
        'must begin with': ['--from=-', '--kvbm=http://h:1'],
        'must be 1 to 8192': ['--from=-', '--dry-run', '--batch=0'],
        'must be 1 to 2147483647': ['--from=-', '--dry-run', '--zmq-queue=0'],
        'must be 1 to 60000': ['--from=-', '--dry-run', '--window=0'],
        'not a number': ['--from=-', '--dry-run', '--window=fast'],
        '--policy=some': ['--from=-', '--dry-run', '--policy=some'],
        '--policy=power-of-two:64-16': ['--from=-', '--dry-run',
                                        '--policy=power-of-two:64-16'],
        'have no positions': ['--from=-', '--dry-run', '--schema=opaque',
                              '--policy=power-of-two'],
        '--schema=x': ['--from=-', '--dry-run', '--schema=x'],
        'hexadecimal': ['--from=-', '--dry-run', '--instance-id=xyz'],
        '1 to 32': ['--from=-', '--dry-run', '--instance-id=' + 33 * '1'],
        'four names': ['--from=-', '--dry-run', '--media=GPU,CPU'],
        'must be four': ['--from=-', '--dry-run', '--media=a,b,c,d,e'],
        'there must be one --vllm': ['--from=-', '--dry-run', '--replay=tcp://*:1'],
        'not a subject': ['--from=-', '--dry-run', '--subject=a b'],
        'more than 7 outputs': ['--from=-'] + 8 * ['--kvbm=tcp://*:1'],
        'given twice': ['--registry=x', '--registry=x', '--dry-run'],
        "what is 'x'": ['--from=-', '--dry-run', 'x'],
        '--nats-credentials=/none': ['--from=-', '--dry-run', '--nats-credentials=/none'],
        'no-such-file': ['--from=/no-such-file', '--dry-run'],
        'no-such-device': ['--device=/no-such-device', '--registry=x', '--dry-run'],
        'cannot bind': ['--from=-', '--kvbm=@tcp://256.0.0.1:1'],
        'cannot connect to': ['--from=-', '--vllm=tcp://nowhere'],
    }
    for words, options in cases.items():
        done = subprocess.run([EVENTD, *options], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
        said = done.stderr.decode()
        assert done.returncode == (1 if words in ('--nats-credentials=/none', 'no-such-file', 'no-such-device', 'cannot bind',
                                                  'cannot connect to') else 2), (words, said)
        assert words in said, (words, said)
        assert not done.stdout, (words, done.stdout)


TESTS = [
    full_event_pipeline, instance_differs_in_each_run, type_switch_and_size_end_batches,
    dry_run_is_json, power_of_two_positions, two_tiers_tell_first_store_and_last_removal,
    kvbm_by_zeromq_to_several_subscribers, zeromq_by_tcp, nats_with_password, vllm_by_zeromq,
    subscriber_does_not_read, vllm_counts_blocks_without_tokens,
    cleared_is_said_once, vllm_replay, replay_beyond_what_is_kept, replay_socket_ends_no_batches,
    malformed_replay_requests,
    dynamo_by_zeromq, dynamo_by_nats, dynamo_for_older_routers,
    random_operations_in_all_forms, holes_in_the_input, begins_with_what_is_present,
    nats_server_comes_late, nats_server_lost_and_back, nats_server_lost_and_queue_full,
    queue_is_bounded, hangup_publishes_all_again, terminate_flushes_and_says_shutdown,
    interrupt_and_end_of_input_are_the_same, malformed_records, random_bytes,
    too_many_managers, managers_come_and_go, unknown_types_are_skipped, bad_options,
]

if __name__ == '__main__':
    wanted = set(sys.argv[1:])
    sys.exit(main([t for t in TESTS if not wanted or t.__name__ in wanted]))
