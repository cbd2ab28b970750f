import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
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
 * One worker of a KCL application. It writes what it processes to a file, a line each: "start SHARD", "record SHARD
 * SEQUENCE SUBSEQUENCE KEY DATA" and "end SHARD", before it checkpoints. Arguments: endpoint of Kinesis, of DynamoDB,
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
            log.lines(new StringBuilder("start ").append(shard).append('\n'));
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
            log.lines(new StringBuilder("lost ").append(shard).append('\n'));
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            log.lines(new StringBuilder("end ").append(shard).append('\n'));
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
