import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CompletionException;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.model.KeyType;
import software.amazon.awssdk.services.dynamodb.model.ProjectionType;
import software.amazon.awssdk.services.dynamodb.model.ResourceInUseException;
import software.amazon.awssdk.services.dynamodb.model.ScalarAttributeType;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * One worker of a KCL application. It writes what it processes to a file, a line each, before it checkpoints: "record SHARD
 * SEQUENCE SUBSEQUENCE KEY DATA", and with the time in milliseconds "start SHARD TIME", "end SHARD TIME" and "lost SHARD
 * TIME". Arguments: endpoint of Kinesis, of DynamoDB,
 * stream, application, name of the worker, "polling" or "fanout", the file.
 */
public final class Worker {
    private Worker() {}

    public static void main(String[] args) throws Exception {
        URI endpoint = URI.create(args[0]);
        URI dynamo = URI.create(args[1]);
        String stream = args[2];
        String application = args[3];
        String name = args[4];
        boolean fanOut = args[5].equals("fanout");
        Log log = new Log(Path.of(args[6]));

        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(
                KinesisAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1));
        DynamoDbAsyncClient leases = DynamoDbAsyncClient.builder().endpointOverride(dynamo).region(Region.US_EAST_1).build();
        createLeaseTable(leases, application);
        // Never called: metrics are switched off below.
        CloudWatchAsyncClient metrics = CloudWatchAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).build();
        ConfigsBuilder configs = new ConfigsBuilder(stream, application, kinesis, leases, metrics, name, () -> new Processor(log));
        var retrieval = configs.retrievalConfig()
                .initialPositionInStreamExtended(InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        if (fanOut) {
            retrieval.retrievalSpecificConfig(new FanOutConfig(kinesis).streamName(stream).applicationName(application));
        } else {
            retrieval.retrievalSpecificConfig(new PollingConfig(stream, kinesis).maxRecords(1000).idleTimeBetweenReadsInMillis(250));
        }
        // A test has no minutes to wait for what a service in production takes its time with.
        var leasing = configs.leaseManagementConfig()
                .failoverTimeMillis(5_000).shardSyncIntervalMillis(2_000).leasesRecoveryAuditorExecutionFrequencyMillis(2_000)
                .listShardsBackoffTimeInMillis(200);
        leasing.workerUtilizationAwareAssignmentConfig().workerMetricsReporterFreqInMillis(1_000).disableWorkerMetrics(true);
        var coordinator = configs.coordinatorConfig()
                .parentShardPollIntervalMillis(500).shardConsumerDispatchPollIntervalMillis(100).skipShardSyncAtWorkerInitializationIfLeasesExist(false);
        Scheduler scheduler = new Scheduler(
                configs.checkpointConfig(), coordinator, leasing, configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()), configs.processorConfig(), retrieval);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                scheduler.startGracefulShutdown().get();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        scheduler.run();
    }

    /** The library adds an index to its table, which dynalite does not; so it finds a table that has the index already. */
    private static void createLeaseTable(DynamoDbAsyncClient client, String table) {
        try {
            client.createTable(r -> r.tableName(table).billingMode(BillingMode.PAY_PER_REQUEST)
                            .attributeDefinitions(
                                    a -> a.attributeName("leaseKey").attributeType(ScalarAttributeType.S),
                                    a -> a.attributeName("leaseOwner").attributeType(ScalarAttributeType.S))
                            .keySchema(k -> k.attributeName("leaseKey").keyType(KeyType.HASH))
                            .globalSecondaryIndexes(i -> i.indexName("LeaseOwnerToLeaseKeyIndex")
                                    .keySchema(
                                            k -> k.attributeName("leaseOwner").keyType(KeyType.HASH),
                                            k -> k.attributeName("leaseKey").keyType(KeyType.RANGE))
                                    .projection(p -> p.projectionType(ProjectionType.KEYS_ONLY))))
                    .join();
        } catch (CompletionException e) {
            if (!(e.getCause() instanceof ResourceInUseException)) { // another worker has made it
                throw e;
            }
        }
        client.waiter().waitUntilTableExists(r -> r.tableName(table)).join();
    }

    /** The file of one worker: a line is written out before anything is checkpointed. */
    private static final class Log {
        private final BufferedWriter out;

        Log(Path path) throws IOException {
            out = Files.newBufferedWriter(path, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }

        synchronized void lines(StringBuilder lines) {
            try {
                out.append(lines);
                out.flush();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private static final class Processor implements ShardRecordProcessor {
        private final Log log;
        private String shard;

        Processor(Log log) {
            this.log = log;
        }

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            note("start");
        }

        private void note(String what) {
            log.lines(new StringBuilder(what).append(' ').append(shard).append(' ').append(System.currentTimeMillis()).append('\n'));
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            StringBuilder lines = new StringBuilder();
            for (KinesisClientRecord r : input.records()) {
                lines.append("record ").append(shard).append(' ').append(r.sequenceNumber()).append(' ').append(r.subSequenceNumber())
                        .append(' ').append(r.partitionKey()).append(' ').append(StandardCharsets.UTF_8.decode(r.data())).append('\n');
            }
            log.lines(lines);
            checkpoint(input.checkpointer());
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            note("lost");
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            note("end");
            checkpoint(input.checkpointer());
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        private void checkpoint(software.amazon.kinesis.processor.RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (ShutdownException e) {
                // The lease is somebody else's now, who reads on from the last checkpoint.
            } catch (InvalidStateException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
