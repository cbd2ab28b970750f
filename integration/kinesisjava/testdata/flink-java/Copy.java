import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kinesis.sink.KinesisStreamsSink;
import org.apache.flink.connector.kinesis.source.KinesisStreamsSource;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.connectors.kinesis.FlinkKinesisConsumer;

/**
 * A Flink job on a cluster of its own that copies one stream to another, with checkpoints. Arguments: endpoint, the stream
 * to read, its ARN, the stream to write, and "source" for KinesisStreamsSource or "fanout" for FlinkKinesisConsumer with
 * enhanced fan-out.
 */
public final class Copy {
    private Copy() {}

    public static void main(String[] args) throws Exception {
        String endpoint = args[0];
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(2, cluster());
        env.enableCheckpointing(1000);
        DataStream<String> records;
        if (args[4].equals("source")) {
            Configuration config = new Configuration();
            client(endpoint).forEach((key, value) -> config.setString((String) key, (String) value));
            config.setString("flink.stream.initpos", "TRIM_HORIZON");
            config.setString("flink.shard.discovery.intervalmillis", "500");
            records = env.fromSource(
                    KinesisStreamsSource.<String>builder()
                            .setStreamArn(args[2]).setSourceConfig(config).setDeserializationSchema(new SimpleStringSchema()).build(),
                    WatermarkStrategy.noWatermarks(), "stream", Types.STRING);
        } else {
            Properties config = client(endpoint);
            config.setProperty("flink.stream.initpos", "TRIM_HORIZON");
            config.setProperty("flink.shard.discovery.intervalmillis", "500");
            config.setProperty("flink.stream.recordpublisher", "EFO");
            config.setProperty("flink.stream.efo.consumername", "flink");
            records = env.addSource(new FlinkKinesisConsumer<>(args[1], new SimpleStringSchema(), config));
        }
        records.sinkTo(KinesisStreamsSink.<String>builder()
                .setKinesisClientProperties(client(endpoint)).setStreamName(args[3]).setFailOnError(true)
                .setSerializationSchema(new SimpleStringSchema()).setPartitionKeyGenerator(String::valueOf).build());
        env.execute("copy");
    }

    /** A cluster that nobody else can reach. */
    private static Configuration cluster() {
        Configuration config = new Configuration();
        for (String key : new String[] {"jobmanager.bind-host", "taskmanager.bind-host", "rest.bind-address"}) {
            config.setString(key, "127.0.0.1");
        }
        return config;
    }

    private static Properties client(String endpoint) {
        Properties p = new Properties();
        p.setProperty("aws.endpoint", endpoint);
        p.setProperty("aws.region", "us-east-1");
        p.setProperty("aws.credentials.provider", "ENV_VAR");
        return p;
    }
}
