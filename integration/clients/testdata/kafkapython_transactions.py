"""Transactions with kafka-python: ADDRESS TOPIC GROUP COUNT."""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

address, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
deadline = time.monotonic() + 150
partitions = [TopicPartition(topic, p) for p in range(3)]


def transactional():
    producer = KafkaProducer(bootstrap_servers=address, transactional_id=group + "-producer", linger_ms=5)
    producer.init_transactions()
    return producer


def read(isolation, want):
    consumer = KafkaConsumer(
        bootstrap_servers=address, isolation_level=isolation, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    found = {p.partition: [] for p in partitions}
    while any(consumer.position(p) < ends[p] for p in partitions):
        if time.monotonic() > deadline:
            sys.exit(f"{isolation}: {found} after so long; ends {ends}")
        for at, records in consumer.poll(timeout_ms=1000).items():
            found[at.partition] += [r.value.decode() for r in records]
    consumer.close()
    if found != want:
        sys.exit(f"{isolation}: {found}, want {want}")


want = {p: [] for p in range(3)}
every = {p: [] for p in range(3)}
offsets = {TopicPartition(topic, 0): OffsetAndMetadata(7, "seven", -1)}
producer = transactional()
for n in range(4):
    producer.begin_transaction()
    for i in range(count):
        value = f"{n}.{i}"
        producer.send(topic, value=value.encode(), partition=i % 3)
        every[i % 3].append(value)
        if n % 2 == 0:
            want[i % 3].append(value)
    if n % 2 == 0:
        producer.send_offsets_to_transaction(offsets, group)
        producer.commit_transaction()
    else:
        producer.flush(timeout=60)  # so that there is something to abort
        producer.abort_transaction()
read("read_committed", want)
read("read_uncommitted", every)

observer = KafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False)
committed = observer.committed(TopicPartition(topic, 0))
observer.close()
if committed != 7:
    sys.exit(f"the offset that was committed with a transaction is {committed}, want 7")

# A second producer of the same id ends the first one and its transaction.
producer.begin_transaction()
producer.send(topic, value=b"of the fenced", partition=0).get(timeout=60)
second = transactional()
second.begin_transaction()
second.send(topic, value=b"of the second", partition=0)
second.commit_transaction()
try:
    producer.commit_transaction()
    sys.exit("a fenced producer could commit")
except KafkaError as e:
    print("as it should be:", repr(e))
want[0].append("of the second")
read("read_committed", want)
print("ok")
