// The whole life of a stream with the AWS SDK for JavaScript v3, over HTTP/2.
// Arguments: endpoint, name of the stream.
import assert from "node:assert/strict";
import {
  KinesisClient, AddTagsToStreamCommand, CreateStreamCommand, DecreaseStreamRetentionPeriodCommand, DeleteStreamCommand,
  DeregisterStreamConsumerCommand, DescribeStreamConsumerCommand, DescribeStreamSummaryCommand, GetRecordsCommand,
  GetShardIteratorCommand, IncreaseStreamRetentionPeriodCommand, ListTagsForStreamCommand, MergeShardsCommand, PutRecordCommand,
  PutRecordsCommand, RegisterStreamConsumerCommand, SplitShardCommand, SubscribeToShardCommand, UpdateShardCountCommand,
  ListShardsCommand, paginateListStreams, waitUntilStreamExists, waitUntilStreamNotExists,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const [endpoint, StreamName] = process.argv.slice(2);
// Other emulators have no HTTP/2 in clear text, and refuse with types of their own.
const peer = process.env.STREAMWEIR_TEST_AWS_ENDPOINT !== undefined;
const client = new KinesisClient({ endpoint, ...(peer ? { requestHandler: new NodeHttpHandler() } : {}) });
const send = (command) => client.send(command);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const text = (data) => Buffer.from(data).toString();
const bytes = (s) => Buffer.from(s);

async function refused(name, command) {
  const error = await send(command).then(() => assert.fail(`not refused: ${command.constructor.name}`), (e) => e);
  assert(peer || error.name === name, `${error.name}: ${error.message}`);
}

const describe = async () => (await send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary;

async function active() {
  await waitUntilStreamExists({ client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { StreamName });
  while ((await describe()).StreamStatus !== "ACTIVE") await pause(200);
}

async function shards() {
  const all = [];
  let page = { StreamName };
  do {
    const out = await send(new ListShardsCommand(page));
    all.push(...out.Shards);
    page = { NextToken: out.NextToken };
  } while (page.NextToken);
  return all;
}

const isOpen = (shard) => shard.SequenceNumberRange.EndingSequenceNumber === undefined;

// read reads a shard to its end, or to what is its end now.
async function read(ShardId, start) {
  let { ShardIterator } = await send(new GetShardIteratorCommand({ StreamName, ShardId, ...start }));
  const records = [];
  for (;;) {
    const out = await send(new GetRecordsCommand({ ShardIterator }));
    records.push(...out.Records);
    if (!out.NextShardIterator) return { records, children: out.ChildShards };
    if (out.Records.length === 0 && out.MillisBehindLatest === 0) return { records };
    ShardIterator = out.NextShardIterator;
    await pause(200);
  }
}

await refused("ResourceNotFoundException", new DescribeStreamSummaryCommand({ StreamName }));
await refused("ValidationException", new CreateStreamCommand({ StreamName: "not a name", ShardCount: 1 }));
await send(new CreateStreamCommand({ StreamName, ShardCount: 2 }));
await active();
const names = [];
for await (const page of paginateListStreams({ client }, {})) names.push(...page.StreamNames);
assert(names.includes(StreamName));
const created = (await describe()).StreamCreationTimestamp;
assert(Math.abs(created - Date.now()) < 300_000, `created ${created}`);
await send(new AddTagsToStreamCommand({ StreamName, Tags: { team: "web" } }));
assert.deepEqual((await send(new ListTagsForStreamCommand({ StreamName }))).Tags, [{ Key: "team", Value: "web" }]);

// Put, and get by every iterator.
const before = new Date(Date.now() - 5000);
const first = await send(new PutRecordCommand({ StreamName, Data: bytes("first"), PartitionKey: "k", ExplicitHashKey: "0" }));
const shard = first.ShardId;
assert.equal(shard, "shardId-000000000000");
const latest = (await send(new GetShardIteratorCommand({ StreamName, ShardId: shard, ShardIteratorType: "LATEST" }))).ShardIterator;
const put = await send(new PutRecordsCommand({
  StreamName, Records: Array.from({ length: 100 }, (_, i) => ({ Data: bytes(`record ${i}`), PartitionKey: `key ${i}` })),
}));
assert.equal(put.FailedRecordCount, 0);
let total = 0;
for (const s of await shards()) total += (await read(s.ShardId, { ShardIteratorType: "TRIM_HORIZON" })).records.length;
assert.equal(total, 101);
const at = await read(shard, { ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: first.SequenceNumber });
const after = await read(shard, { ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: first.SequenceNumber });
const since = await read(shard, { ShardIteratorType: "AT_TIMESTAMP", Timestamp: before });
assert.equal(text(at.records[0].Data), "first");
assert.equal(at.records.length, after.records.length + 1);
assert.equal(since.records.length, at.records.length);
assert(Math.abs(at.records[0].ApproximateArrivalTimestamp - Date.now()) < 300_000);
const newer = (await send(new GetRecordsCommand({ ShardIterator: latest }))).Records;
assert.deepEqual(newer.map((r) => r.SequenceNumber), after.records.map((r) => r.SequenceNumber));

if (!peer) {
  // Enhanced fan-out: what is there, and then what comes.
  const StreamARN = (await describe()).StreamARN;
  const { ConsumerARN } = (await send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "reader" }))).Consumer;
  const consumer = async () => (await send(new DescribeStreamConsumerCommand({ ConsumerARN }))).ConsumerDescription;
  while ((await consumer()).ConsumerStatus !== "ACTIVE") await pause(200);
  const { EventStream } = await send(new SubscribeToShardCommand({ ConsumerARN, ShardId: shard, StartingPosition: { Type: "TRIM_HORIZON" } }));
  const got = [];
  for await (const event of EventStream) {
    assert(event.SubscribeToShardEvent.ContinuationSequenceNumber);
    got.push(...event.SubscribeToShardEvent.Records.map((r) => text(r.Data)));
    if (got.length === at.records.length) {
      await send(new PutRecordCommand({ StreamName, Data: bytes("pushed"), PartitionKey: "k", ExplicitHashKey: "0" }));
    }
    if (got.length > at.records.length) break;
  }
  assert.deepEqual(got, [...at.records.map((r) => text(r.Data)), "pushed"]);
  await send(new DeregisterStreamConsumerCommand({ ConsumerARN }));
}

// Split, merge, reshard.
await send(new SplitShardCommand({ StreamName, ShardToSplit: shard, NewStartingHashKey: "1000" }));
await active();
const halves = (await shards()).filter((s) => s.ParentShardId === shard);
const ended = await read(shard, { ShardIteratorType: "TRIM_HORIZON" });
assert(peer || ended.records.length === at.records.length + 1);
assert.deepEqual(ended.children.map((c) => [c.ShardId, c.ParentShards]).sort(), halves.map((s) => [s.ShardId, [shard]]).sort());
await send(new MergeShardsCommand({ StreamName, ShardToMerge: halves[0].ShardId, AdjacentShardToMerge: halves[1].ShardId }));
await active();
assert.equal((await shards()).filter((s) => isOpen(s) && s.AdjacentParentShardId === halves[1].ShardId).length, 1);
await send(new UpdateShardCountCommand({ StreamName, TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" }));
await active();
assert.equal((await shards()).filter(isOpen).length, 4);

await send(new IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 48 }));
await active();
assert.equal((await describe()).RetentionPeriodHours, 48);
await send(new DecreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 24 }));
await active();
await send(new DeleteStreamCommand({ StreamName }));
await waitUntilStreamNotExists({ client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { StreamName });
await refused("ResourceNotFoundException", new DescribeStreamSummaryCommand({ StreamName }));
client.destroy();
console.log("ok");
