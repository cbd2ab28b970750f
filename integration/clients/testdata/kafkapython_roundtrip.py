"""A round trip with kafka-python: ADDRESS TOPIC GROUP COUNT."""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer

address, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
deadline = time.monotonic() + 150


def send(codec, n):
    producer = KafkaProducer(bootstrap_servers=address, compression_type=codec, acks="all", linger_ms=20)
    futures = [producer.send(topic, key=str(i).encode(), value=b"value", headers=[("h", b"v")]) for i in range(n)]
    producer.flush(timeout=60)
    for future in futures:
        future.get(timeout=60)
    producer.close()


def read(n):
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    got = 0
    while got < n:
        if time.monotonic() > deadline:
            sys.exit(f"read {got} of {n}")
        for records in consumer.poll(timeout_ms=1000).values():
            for record in records:
                if record.value != b"value" or list(record.headers) != [("h", b"v")]:
                    sys.exit(f"read {record}")
                got += 1
    if got != n:
        sys.exit(f"read {got}, want {n}")
    consumer.commit()
    consumer.close()


# The other codecs need packages of their own.
codecs = [None, "gzip"]
for codec in codecs:
    send(codec, count)
read(count * len(codecs))
send(None, 3)
read(3)
print("ok")
