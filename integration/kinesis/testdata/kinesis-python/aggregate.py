"""Puts a record into which others are aggregated, as the Kinesis Producer Library
does. Arguments: endpoint, stream, explicit hash key, then KEY=DATA for each user record."""

import sys

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator

endpoint, stream, hash_key, *records = sys.argv[1:]
aggregator = RecordAggregator()
for record in records:
    key, _, data = record.partition("=")
    assert aggregator.add_user_record(key, data.encode(), hash_key) is None, "they do not fit into one record"
key, _, data = aggregator.clear_and_get().get_contents()
client = boto3.client("kinesis", endpoint_url=endpoint)
out = client.put_record(StreamName=stream, PartitionKey=key, ExplicitHashKey=hash_key, Data=data)
iterator = client.get_shard_iterator(StreamName=stream, ShardId=out["ShardId"], ShardIteratorType="AT_SEQUENCE_NUMBER",
                                     StartingSequenceNumber=out["SequenceNumber"])["ShardIterator"]
assert client.get_records(ShardIterator=iterator, Limit=1)["Records"][0]["Data"] == data, "the aggregate was changed"
print("ok")
