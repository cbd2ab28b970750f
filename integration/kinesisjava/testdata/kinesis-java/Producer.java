import com.google.common.util.concurrent.ListenableFuture;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * Puts numbered records with the Kinesis Producer Library, which aggregates them. Arguments: port of the TLS endpoint on
 * this machine, stream, the first number, how many, a directory for its native program.
 */
public final class Producer {
    private Producer() {}

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        String stream = args[1];
        int first = Integer.parseInt(args[2]);
        int count = Integer.parseInt(args[3]);
        KinesisProducerConfiguration config = new KinesisProducerConfiguration()
                .setKinesisEndpoint("127.0.0.1").setKinesisPort(port)
                .setStsEndpoint("127.0.0.1").setStsPort(port)
                .setCloudwatchEndpoint("127.0.0.1").setCloudwatchPort(port)
                .setVerifyCertificate(false).setMetricsLevel("none").setRegion("us-east-1").setLogLevel("warning")
                .setTempDirectory(args[4]).setRecordMaxBufferedTime(200).setRecordTtl(120_000).setAggregationEnabled(true);
        KinesisProducer producer = new KinesisProducer(config);
        List<ListenableFuture<UserRecordResult>> results = new ArrayList<>();
        for (int i = first; i < first + count; i++) {
            ByteBuffer data = ByteBuffer.wrap(String.valueOf(i).getBytes(StandardCharsets.UTF_8));
            results.add(producer.addUserRecord(stream, "key-" + i, data));
        }
        producer.flush();
        for (ListenableFuture<UserRecordResult> result : results) {
            UserRecordResult r = result.get(120, TimeUnit.SECONDS);
            if (!r.isSuccessful() || r.getShardId() == null || r.getSequenceNumber() == null) {
                throw new AssertionError("a record was not put: " + r.getAttempts());
            }
        }
        producer.destroy();
        System.out.println("ok");
        System.exit(0);
    }
}
