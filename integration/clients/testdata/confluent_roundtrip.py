"""A round trip with confluent-kafka (librdkafka): ADDRESS TOPIC GROUP COUNT."""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

address, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
deadline = time.monotonic() + 150


def send(codec, n):
    failed = []
    producer = Producer(
        {"bootstrap.servers": address, "compression.type": codec, "enable.idempotence": True, "linger.ms": 20}
    )
    for i in range(n):
        producer.produce(
            topic, key=str(i), value=b"value", headers={"h": b"v"}, on_delivery=lambda err, _: failed.append(err) if err else None
        )
    left = producer.flush(60)
    if failed or left:
        sys.exit(f"{codec}: {failed[:1]}, {left} not delivered")


def read(n):
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "check.crcs": True,
        }
    )
    consumer.subscribe([topic])
    got = 0
    while got < n:
        if time.monotonic() > deadline:
            sys.exit(f"read {got} of {n}")
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            sys.exit(str(message.error()))
        if message.value() != b"value" or message.headers() != [("h", b"v")]:
            sys.exit(f"read {message.value()} {message.headers()}")
        got += 1
    consumer.commit(asynchronous=False)
    committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], timeout=30)
    ends = [consumer.get_watermark_offsets(p, timeout=30)[1] for p in committed]
    if [max(p.offset, 0) for p in committed] != ends:
        sys.exit(f"committed {committed}, ends {ends}")
    consumer.close()


codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
for codec in codecs:
    send(codec, count)
read(count * len(codecs))
send("none", 3)
read(3)
admin = AdminClient({"bootstrap.servers": address})
if topic not in admin.list_topics(timeout=30).topics:
    sys.exit("the topic is not listed")
description = admin.describe_consumer_groups([group])[group].result(timeout=30)
if description.state.name != "EMPTY":
    sys.exit(f"the group is {description.state}")
print("ok")
