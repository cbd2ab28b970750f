"""The whole life of a stream with boto3. Arguments: endpoint, name of the stream."""

import datetime
import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, name = sys.argv[1:]
# Other emulators refuse with types and words of their own.
PEER = "STREAMWEIR_TEST_AWS_ENDPOINT" in os.environ
client = boto3.client("kinesis", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
                      aws_secret_access_key="test", config=Config(retries={"max_attempts": 10}))


def refused(error_type, call, says="", **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        assert PEER or code == error_type and says in message, f"{code}: {message}"
        return
    raise AssertionError(f"{call.__name__} with {arguments} was not refused")


def describe():
    return client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]


def wait_active():
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    while describe()["StreamStatus"] != "ACTIVE":
        time.sleep(0.2)


def shards():
    return client.get_paginator("list_shards").paginate(StreamName=name).build_full_result()["Shards"]


def open_shards():
    return [s for s in shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"]]


def read(shard, **start):
    """Reads a shard to its end, or to what is its end now."""
    iterator = client.get_shard_iterator(StreamName=name, ShardId=shard, **start)["ShardIterator"]
    records, children = [], None
    while iterator:
        out = client.get_records(ShardIterator=iterator)
        records += out["Records"]
        iterator = out.get("NextShardIterator")
        children = out.get("ChildShards")
        if iterator and not out["Records"] and out["MillisBehindLatest"] == 0:
            break
        time.sleep(0.2)
    return records, None if iterator else children


def read_all(**start):
    return [r for s in shards() for r in read(s["ShardId"], **start)[0]]


def lookup():
    refused("ValidationException", client.create_stream, "validation error", StreamName="not a name", ShardCount=1)
    refused("ResourceNotFoundException", client.describe_stream_summary, StreamName=name)
    client.create_stream(StreamName=name, ShardCount=2)
    assert describe()["StreamStatus"] in ("CREATING", "ACTIVE")
    refused("ResourceInUseException", client.create_stream, StreamName=name, ShardCount=2)
    wait_active()
    summary = describe()
    assert summary["OpenShardCount"] == 2 and summary["RetentionPeriodHours"] == 24, summary
    assert name in client.get_paginator("list_streams").paginate().build_full_result()["StreamNames"]
    full = client.describe_stream(StreamName=name)["StreamDescription"]
    half = full["Shards"][1]["HashKeyRange"]["StartingHashKey"]
    assert full["Shards"][0]["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(int(half) - 1)}, full["Shards"]
    assert PEER or half == str(2**127), half
    assert full["Shards"][1]["HashKeyRange"]["EndingHashKey"] == str(2**128 - 1)
    age = datetime.datetime.now(datetime.timezone.utc) - summary["StreamCreationTimestamp"]
    assert abs(age.total_seconds()) < 300, age
    return int(half)


def tags():
    client.add_tags_to_stream(StreamName=name, Tags={"team": "web", "cost": "low"})
    client.remove_tags_from_stream(StreamName=name, TagKeys=["cost"])
    assert client.list_tags_for_stream(StreamName=name)["Tags"] == [{"Key": "team", "Value": "web"}]


def put_and_get():
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
    first = client.put_record(StreamName=name, Data=b"first", PartitionKey="k", ExplicitHashKey="0")
    assert first["ShardId"] == "shardId-000000000000", first
    latest = client.get_shard_iterator(StreamName=name, ShardId=first["ShardId"], ShardIteratorType="LATEST")["ShardIterator"]
    out = client.put_records(StreamName=name, Records=[
        {"Data": f"record {i}".encode(), "PartitionKey": f"key {i}"} for i in range(100)
    ] + [{"Data": bytes(range(256)), "PartitionKey": "bytes \u00fc", "ExplicitHashKey": "1"}])
    assert out["FailedRecordCount"] == 0, out
    assert {r["ShardId"] for r in out["Records"]} == {"shardId-000000000000", "shardId-000000000001"}
    numbers = [int(r["SequenceNumber"]) for r in out["Records"] if r["ShardId"] == first["ShardId"]]
    assert numbers == sorted(set(numbers)) and numbers[0] > int(first["SequenceNumber"])

    everything = read_all(ShardIteratorType="TRIM_HORIZON")
    assert sorted(r["Data"] for r in everything) == sorted(
        [b"first", bytes(range(256))] + [f"record {i}".encode() for i in range(100)])
    assert len(read_all(ShardIteratorType="AT_TIMESTAMP", Timestamp=before)) == 102
    at, _ = read(first["ShardId"], ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=first["SequenceNumber"])
    after, _ = read(first["ShardId"], ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first["SequenceNumber"])
    assert at[0]["Data"] == b"first" and at[0]["PartitionKey"] == "k" and at[1:] == after, (at[:1], after[:1])
    assert after[-1]["PartitionKey"] == "bytes \u00fc"
    newer = client.get_records(ShardIterator=latest)["Records"]
    assert [r["SequenceNumber"] for r in newer] == [r["SequenceNumber"] for r in after], "LATEST must not miss what came after it"
    limited = client.get_records(ShardIterator=client.get_shard_iterator(
        StreamName=name, ShardId=first["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"], Limit=1)
    assert [r["Data"] for r in limited["Records"]] == [b"first"] and limited["MillisBehindLatest"] >= 0
    refused("InvalidArgumentException", client.get_records, ShardIterator="A" * 56)
    refused("ResourceNotFoundException", client.put_record, StreamName=name + "x", Data=b"", PartitionKey="k")
    refused("ValidationException", client.put_record, StreamName=name, Data=b"", PartitionKey="k" * 257)
    return first["ShardId"]


def subscribe(shard):
    arn = describe()["StreamARN"]
    consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="reader")["Consumer"]["ConsumerARN"]
    refused("ResourceInUseException", client.register_stream_consumer, StreamARN=arn, ConsumerName="reader")
    while client.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] != "ACTIVE":
        time.sleep(0.2)
    assert [c["ConsumerName"] for c in client.list_stream_consumers(StreamARN=arn)["Consumers"]] == ["reader"]
    want = read(shard, ShardIteratorType="TRIM_HORIZON")[0]
    got, sent = [], False
    stream = client.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
    for event in stream:
        got += event["SubscribeToShardEvent"]["Records"]
        assert event["SubscribeToShardEvent"]["ContinuationSequenceNumber"]
        if len(got) == len(want) and not sent:
            sent = True
            client.put_record(StreamName=name, Data=b"pushed", PartitionKey="k", ExplicitHashKey="0")
        if len(got) > len(want):
            break
    stream.close()
    assert got[:-1] == want and got[-1]["Data"] == b"pushed"
    client.deregister_stream_consumer(ConsumerARN=consumer)


def reshard(half):
    client.split_shard(StreamName=name, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    wait_active()
    halves = [s for s in shards() if s.get("ParentShardId") == "shardId-000000000000"]
    assert [s["HashKeyRange"] for s in halves] == [
        {"StartingHashKey": "0", "EndingHashKey": str(2**126 - 1)}, {"StartingHashKey": str(2**126), "EndingHashKey": str(half - 1)}]
    records, children = read("shardId-000000000000", ShardIteratorType="TRIM_HORIZON")
    assert records and sorted(c["ShardId"] for c in children) == sorted(s["ShardId"] for s in halves), children
    assert all(c["ParentShards"] == ["shardId-000000000000"] for c in children), children
    refused("InvalidArgumentException", client.merge_shards, StreamName=name, ShardToMerge=halves[0]["ShardId"], AdjacentShardToMerge="shardId-000000000001")
    client.merge_shards(StreamName=name, ShardToMerge=halves[0]["ShardId"], AdjacentShardToMerge=halves[1]["ShardId"])
    wait_active()
    merged = [s for s in open_shards() if s.get("AdjacentParentShardId")]
    assert len(merged) == 1 and merged[0]["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(half - 1)}, merged
    client.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    wait_active()
    assert sorted(int(s["HashKeyRange"]["StartingHashKey"]) for s in open_shards()) == [i * 2**126 for i in range(4)] or PEER
    assert describe()["OpenShardCount"] == 4
    put = client.put_record(StreamName=name, Data=b"after", PartitionKey="k", ExplicitHashKey=str(2**128 - 1))
    assert put["ShardId"] in {s["ShardId"] for s in open_shards()}


def retention():
    client.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    wait_active()
    assert describe()["RetentionPeriodHours"] == 48
    refused("InvalidArgumentException", client.increase_stream_retention_period, StreamName=name, RetentionPeriodHours=24)
    client.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    wait_active()
    assert describe()["RetentionPeriodHours"] == 24


def delete():
    client.delete_stream(StreamName=name)
    client.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    refused("ResourceNotFoundException", client.describe_stream_summary, StreamName=name)


HALF = lookup()
tags()
SHARD = put_and_get()
if not PEER:  # they do not send the first message that boto3 waits for
    subscribe(SHARD)
reshard(HALF)
retention()
delete()
print("ok")
