"""Transactions with confluent-kafka (librdkafka): ADDRESS TOPIC GROUP COUNT."""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

address, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
deadline = time.monotonic() + 150
output = topic + "-copy"


def transactional(name):
    producer = Producer(
        {"bootstrap.servers": address, "transactional.id": group + name, "transaction.timeout.ms": 30000, "linger.ms": 5}
    )
    producer.init_transactions(60)
    return producer


def consumer(group_id, isolation="read_committed"):
    return Consumer(
        {
            "bootstrap.servers": address,
            "group.id": group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )


def values(of, isolation):
    """All values of a topic, by partition, in the order in which they stand there."""
    reader = consumer(group + "-reader", isolation)
    found = {p: [] for p in range(3)}
    reader.assign([TopicPartition(of, p, 0) for p in found])
    ended = set()
    while len(ended) < len(found):
        if time.monotonic() > deadline:
            sys.exit(f"{of}, {isolation}: only {ended} read to their ends")
        message = reader.poll(1)
        if message is None:
            continue
        if message.error():  # the end of a partition
            if message.error().name() != "_PARTITION_EOF":
                sys.exit(f"{of}: {message.error()}")
            ended.add(message.partition())
        else:
            found[message.partition()].append(message.value().decode())
    reader.close()
    return found


def expect(of, isolation, want):
    found = values(of, isolation)
    if found != want:
        sys.exit(f"{of}, {isolation}: {found}, want {want}")


def commit_and_abort():
    want = {p: [] for p in range(3)}
    every = {p: [] for p in range(3)}
    producer = transactional("-plain")
    for n in range(4):
        producer.begin_transaction()
        for i in range(count):
            value = f"{n}.{i}"
            producer.produce(topic, value=value, partition=i % 3)
            every[i % 3].append(value)
            if n % 2 == 0:
                want[i % 3].append(value)
        if n % 2 == 0:
            producer.commit_transaction(60)
        else:
            producer.flush(60)  # so that there is something to abort
            producer.abort_transaction(60)
    expect(topic, "read_committed", want)
    expect(topic, "read_uncommitted", every)
    return want


def copy(want):
    """Consume, transform, produce: the first try is aborted, the second one counts."""
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics([NewTopic(output, 3, 1)]).values():
        future.result(30)
    total = sum(len(v) for v in want.values())
    for attempt in ("abort", "commit", "nothing is left"):
        producer, source = transactional("-copy"), consumer(group)
        source.subscribe([topic])
        read, ended = 0, set()
        producer.begin_transaction()
        while len(ended) < 3:
            if time.monotonic() > deadline:
                sys.exit(f"copy, {attempt}: {read} of {total} read")
            message = source.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().name() != "_PARTITION_EOF":
                    sys.exit(f"copy, {attempt}: {message.error()}")
                ended.add(message.partition())
                continue
            read += 1
            producer.produce(output, value=message.value().upper() + b"!", partition=message.partition())
        positions = source.position(source.assignment())
        producer.send_offsets_to_transaction(positions, source.consumer_group_metadata(), 60)
        if attempt == "abort":
            producer.abort_transaction(60)
        else:
            producer.commit_transaction(60)
        source.close()
        if read != (0 if attempt == "nothing is left" else total):
            sys.exit(f"copy, {attempt}: {read} read, there were {total}")
    expect(output, "read_committed", {p: [v + "!" for v in vs] for p, vs in want.items()})


def fence(want):
    """A second producer of the same id ends the first one and its transaction."""
    first = transactional("-fenced")
    first.begin_transaction()
    first.produce(topic, value="of the fenced", partition=0)
    first.flush(60)
    second = transactional("-fenced")
    second.begin_transaction()
    second.produce(topic, value="of the second", partition=0)
    second.commit_transaction(60)
    try:
        first.commit_transaction(60)
        sys.exit("a fenced producer could commit")
    except KafkaException as e:
        error = e.args[0]
        if not error.fatal() or error.name() not in ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"):
            sys.exit(f"a fenced producer's commit: {error.name()}: {error}")
    want[0].append("of the second")
    expect(topic, "read_committed", want)


committed = commit_and_abort()
copy(committed)
fence(committed)
print("ok")
