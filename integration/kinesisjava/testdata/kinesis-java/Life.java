import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/**
 * The whole life of a stream with the AWS SDK for Java v2: CBOR, and HTTP/2 for subscriptions. Arguments: endpoint, name
 * of the stream.
 */
public final class Life {
    /** Other emulators refuse with types of their own, and have no HTTP/2 in clear text. */
    private static final boolean PEER = System.getenv("STREAMWEIR_TEST_AWS_ENDPOINT") != null;

    private final KinesisClient kinesis;
    private final KinesisAsyncClient async;
    private final String name;

    private Life(URI endpoint, String name) {
        this.kinesis = KinesisClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).build();
        this.async = KinesisAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).build();
        this.name = name;
    }

    public static void main(String[] args) throws Exception {
        Life life = new Life(URI.create(args[0]), args[1]);
        life.create();
        String shard = life.putAndGet();
        if (!PEER) {
            life.subscribe(shard);
        }
        life.reshard(shard);
        life.retention();
        life.delete();
        System.out.println("ok");
        System.exit(0);
    }

    private static void check(boolean right, Object what) {
        if (!right) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    private static <T extends KinesisException> void refused(Class<T> type, Runnable call) {
        try {
            call.run();
        } catch (KinesisException e) {
            check(PEER || type.isInstance(e), e);
            return;
        }
        throw new AssertionError("not refused: want " + type.getSimpleName());
    }

    private StreamDescriptionSummary describe() {
        return kinesis.describeStreamSummary(r -> r.streamName(name)).streamDescriptionSummary();
    }

    private void active() throws InterruptedException {
        kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name));
        while (describe().streamStatus() != StreamStatus.ACTIVE) {
            TimeUnit.MILLISECONDS.sleep(200);
        }
    }

    private List<Shard> shards() {
        List<Shard> all = new ArrayList<>();
        ListShardsResponse page = kinesis.listShards(r -> r.streamName(name));
        all.addAll(page.shards());
        while (page.nextToken() != null) {
            String token = page.nextToken();
            page = kinesis.listShards(r -> r.nextToken(token));
            all.addAll(page.shards());
        }
        return all;
    }

    private List<Shard> open() {
        return shards().stream().filter(s -> s.sequenceNumberRange().endingSequenceNumber() == null).toList();
    }

    private record Read(List<software.amazon.awssdk.services.kinesis.model.Record> records, List<ChildShard> children) {}

    /** Reads a shard to its end, or to what is its end now. */
    private Read read(String shard, Consumer<GetShardIteratorRequest.Builder> start) throws InterruptedException {
        String iterator = kinesis.getShardIterator(r -> start.accept(r.streamName(name).shardId(shard))).shardIterator();
        List<software.amazon.awssdk.services.kinesis.model.Record> records = new ArrayList<>();
        while (true) {
            String at = iterator;
            GetRecordsResponse out = kinesis.getRecords(r -> r.shardIterator(at));
            records.addAll(out.records());
            iterator = out.nextShardIterator();
            if (iterator == null) {
                return new Read(records, out.childShards());
            }
            if (out.records().isEmpty() && out.millisBehindLatest() == 0) {
                return new Read(records, List.of());
            }
            TimeUnit.MILLISECONDS.sleep(200);
        }
    }

    private void create() throws InterruptedException {
        refused(ResourceNotFoundException.class, this::describe);
        kinesis.createStream(r -> r.streamName(name).shardCount(2));
        refused(ResourceInUseException.class, () -> kinesis.createStream(r -> r.streamName(name).shardCount(2)));
        active();
        check(kinesis.listStreamsPaginator().streamNames().stream().anyMatch(name::equals), "not in the list");
        Duration age = Duration.between(describe().streamCreationTimestamp(), Instant.now()).abs();
        check(age.toMinutes() < 5, "created " + age + " ago");
        kinesis.addTagsToStream(r -> r.streamName(name).tags(Map.of("team", "web")));
        List<Tag> tags = kinesis.listTagsForStream(r -> r.streamName(name)).tags();
        check(tags.equals(List.of(Tag.builder().key("team").value("web").build())), tags);
    }

    private PutRecordResponse put(String data) {
        return kinesis.putRecord(
                r -> r.streamName(name).data(SdkBytes.fromUtf8String(data)).partitionKey("k").explicitHashKey("0"));
    }

    private String putAndGet() throws InterruptedException {
        Instant before = Instant.now().minusSeconds(5);
        PutRecordResponse first = put("first");
        String shard = first.shardId();
        check(shard.equals("shardId-000000000000"), shard);
        String latest = kinesis.getShardIterator(
                        r -> r.streamName(name).shardId(shard).shardIteratorType(ShardIteratorType.LATEST))
                .shardIterator();
        List<PutRecordsRequestEntry> entries = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            entries.add(PutRecordsRequestEntry.builder()
                    .data(SdkBytes.fromUtf8String("record " + i)).partitionKey("key " + i).build());
        }
        PutRecordsResponse out = kinesis.putRecords(r -> r.streamName(name).records(entries));
        check(out.failedRecordCount() == 0 && out.records().size() == 100, out);

        int total = 0;
        for (Shard s : shards()) {
            total += read(s.shardId(), r -> r.shardIteratorType(ShardIteratorType.TRIM_HORIZON)).records().size();
        }
        check(total == 101, total);
        String number = first.sequenceNumber();
        var at = read(shard, r -> r.shardIteratorType(ShardIteratorType.AT_SEQUENCE_NUMBER).startingSequenceNumber(number)).records();
        var after = read(shard, r -> r.shardIteratorType(ShardIteratorType.AFTER_SEQUENCE_NUMBER).startingSequenceNumber(number)).records();
        var since = read(shard, r -> r.shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(before)).records();
        check(at.get(0).data().asUtf8String().equals("first"), at.get(0));
        check(at.subList(1, at.size()).equals(after) && since.equals(at), after.size() + " " + since.size());
        check(Duration.between(at.get(0).approximateArrivalTimestamp(), Instant.now()).abs().toMinutes() < 5, at.get(0));
        var newer = kinesis.getRecords(r -> r.shardIterator(latest)).records();
        check(newer.equals(after), "LATEST must not miss what came after it: " + newer.size());
        refused(InvalidArgumentException.class, () -> kinesis.getRecords(r -> r.shardIterator("A".repeat(56))));
        return shard;
    }

    private void subscribe(String shard) throws Exception {
        String arn = describe().streamARN();
        String consumer = kinesis.registerStreamConsumer(r -> r.streamARN(arn).consumerName("reader")).consumer().consumerARN();
        while (kinesis.describeStreamConsumer(r -> r.consumerARN(consumer)).consumerDescription().consumerStatus()
                != ConsumerStatus.ACTIVE) {
            TimeUnit.MILLISECONDS.sleep(200);
        }
        List<String> want = read(shard, r -> r.shardIteratorType(ShardIteratorType.TRIM_HORIZON)).records().stream()
                .map(r -> r.data().asUtf8String()).toList();
        List<String> got = new ArrayList<>();
        CompletableFuture<Void> done = new CompletableFuture<>();
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
                .subscriber(SubscribeToShardResponseHandler.Visitor.builder()
                        .onSubscribeToShardEvent(e -> {
                            if (e.continuationSequenceNumber() == null) {
                                done.completeExceptionally(new AssertionError(e));
                            }
                            e.records().forEach(r -> got.add(r.data().asUtf8String()));
                            if (got.size() == want.size()) {
                                put("pushed");
                            }
                            if (got.size() > want.size()) {
                                done.complete(null);
                            }
                        })
                        .build())
                .onError(done::completeExceptionally)
                .build();
        async.subscribeToShard(
                r -> r.consumerARN(consumer).shardId(shard).startingPosition(p -> p.type(ShardIteratorType.TRIM_HORIZON)), handler);
        done.get(60, TimeUnit.SECONDS);
        check(got.subList(0, want.size()).equals(want) && got.get(want.size()).equals("pushed"), got);
        kinesis.deregisterStreamConsumer(r -> r.consumerARN(consumer));
    }

    private void reshard(String shard) throws InterruptedException {
        kinesis.splitShard(r -> r.streamName(name).shardToSplit(shard).newStartingHashKey("1000"));
        active();
        List<String> halves = shards().stream().filter(s -> shard.equals(s.parentShardId())).map(Shard::shardId).toList();
        Read ended = read(shard, r -> r.shardIteratorType(ShardIteratorType.TRIM_HORIZON));
        check(halves.size() == 2 && ended.children().size() == 2, ended.children());
        for (ChildShard c : ended.children()) {
            check(halves.contains(c.shardId()) && c.parentShards().equals(List.of(shard)), c);
        }
        kinesis.mergeShards(r -> r.streamName(name).shardToMerge(halves.get(0)).adjacentShardToMerge(halves.get(1)));
        active();
        check(open().stream().filter(s -> halves.get(1).equals(s.adjacentParentShardId())).count() == 1, open());
        kinesis.updateShardCount(r -> r.streamName(name).targetShardCount(4).scalingType(ScalingType.UNIFORM_SCALING));
        active();
        check(open().size() == 4, open());
    }

    private void retention() throws InterruptedException {
        kinesis.increaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(48));
        active();
        check(describe().retentionPeriodHours() == 48, describe());
        kinesis.decreaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(24));
        active();
    }

    private void delete() {
        kinesis.deleteStream(r -> r.streamName(name));
        kinesis.waiter().waitUntilStreamNotExists(r -> r.streamName(name));
        refused(ResourceNotFoundException.class, this::describe);
    }
}
