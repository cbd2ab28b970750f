package kinesisapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// seeds have, for each action, no member, and those that it needs and few more.
func seeds() map[string][]string {
	const (
		stream   = `"StreamName":"s"`
		arn      = `"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"`
		resource = `"ResourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"`
		consumer = `"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"`
		shard    = `"ShardId":"shardId-000000000000"`
	)
	out := map[string][]string{
		"CreateStream":                           {`{"StreamName":"t"}`, `{"StreamName":"t","ShardCount":3,"StreamModeDetails":{"StreamMode":"PROVISIONED"}}`},
		"AddTagsToStream":                        {`{` + stream + `,"Tags":{"k":"v"}}`},
		"RemoveTagsFromStream":                   {`{` + stream + `,"TagKeys":["k"]}`},
		"TagResource":                            {`{` + resource + `,"Tags":{"k":"v"}}`},
		"UntagResource":                          {`{` + resource + `,"TagKeys":["k"]}`},
		"ListTagsForResource":                    {`{` + resource + `}`},
		"PutResourcePolicy":                      {`{` + resource + `,"Policy":"{}"}`},
		"GetResourcePolicy":                      {`{` + resource + `}`, `{"ResourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"}`},
		"DeleteResourcePolicy":                   {`{` + resource + `}`},
		"SplitShard":                             {`{` + stream + `,"ShardToSplit":"shardId-000000000000","NewStartingHashKey":"10"}`},
		"MergeShards":                            {`{` + stream + `,"ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`},
		"UpdateShardCount":                       {`{` + stream + `,"TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`},
		"UpdateStreamMode":                       {`{` + arn + `,"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`},
		"UpdateMaxRecordSize":                    {`{` + arn + `,"MaxRecordSizeInKiB":2048}`, `{"MaxRecordSizeInKiB":2048}`},
		"UpdateStreamWarmThroughput":             {`{` + arn + `,"WarmThroughputMiBps":10}`, `{"WarmThroughputMiBps":10}`},
		"UpdateStreamRecordDistributionStrategy": {`{` + arn + `,"RecordDistributionStrategy":"AUTO"}`},
		"UpdateAccountSettings":                  {`{"MinimumThroughputBillingCommitment":{"Status":"ENABLED"}}`},
		"IncreaseStreamRetentionPeriod":          {`{` + stream + `,"RetentionPeriodHours":48}`},
		"DecreaseStreamRetentionPeriod":          {`{` + stream + `,"RetentionPeriodHours":24}`},
		"EnableEnhancedMonitoring":               {`{` + stream + `,"ShardLevelMetrics":["ALL"]}`},
		"DisableEnhancedMonitoring":              {`{` + stream + `,"ShardLevelMetrics":["IncomingBytes"]}`},
		"StartStreamEncryption":                  {`{` + stream + `,"EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`},
		"StopStreamEncryption":                   {`{` + stream + `,"EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`},
		"RegisterStreamConsumer":                 {`{` + arn + `,"ConsumerName":"c"}`},
		"DeregisterStreamConsumer":               {`{` + consumer + `}`, `{` + arn + `,"ConsumerName":"c"}`},
		"DescribeStreamConsumer":                 {`{` + consumer + `}`, `{` + arn + `}`},
		"ListStreamConsumers":                    {`{` + arn + `}`},
		"ListShards":                             {`{` + stream + `,"ShardFilter":{"Type":"AT_TIMESTAMP"}}`, `{"NextToken":"x"}`},
		"ListStreams":                            {`{"Limit":1,"ExclusiveStartStreamName":"a"}`, `{"NextToken":"x"}`},
		"PutRecord":                              {`{` + stream + `,"Data":""}`, `{` + stream + `,"Data":"","PartitionKey":"k","SequenceNumberForOrdering":"0"}`},
		"PutRecords":                             {`{` + stream + `,"Records":[{"Data":""}]}`, `{` + stream + `,"Records":[{"Data":"","PartitionKey":"k","ExplicitHashKey":"0"}]}`},
		"GetShardIterator":                       {`{` + stream + `,` + shard + `,"ShardIteratorType":"AT_TIMESTAMP"}`, `{` + stream + `,` + shard + `,"ShardIteratorType":"AT_SEQUENCE_NUMBER"}`},
		"GetRecords":                             {`{"ShardIterator":"AAAA"}`},
		"SubscribeToShard":                       {`{` + consumer + `,` + shard + `,"StartingPosition":{"Type":"AT_SEQUENCE_NUMBER"}}`, `{` + consumer + `,` + shard + `,"StartingPosition":{"Type":"AT_TIMESTAMP"}}`},
		"CreateChannel":                          {`{"ChannelName":"c","ServiceExecutionRoleARN":"arn:aws:iam::000000000000:role/r","StreamConfigurationList":[{` + arn + `}]}`},
	}
	for _, action := range kinesis.Actions {
		out[action] = append(out[action], `{}`, `{`+stream+`}`, `{`+arn+`}`)
	}
	return out
}

// FuzzActions: whatever a client asks, no handler panics or fails inside.
func FuzzActions(f *testing.F) {
	for i, action := range kinesis.Actions {
		for _, body := range seeds()[action] {
			f.Add(byte(i), []byte(body))
		}
	}
	l := newLive(f, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		action := kinesis.Actions[int(which)%len(kinesis.Actions)]
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Fatalf("%s %s: the handler panicked", action, body)
				}
			}()
			l.ServeHTTP(w, request(t, "http://x/", action, body).WithContext(ctx))
		}()
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != aws.ContentTypeJSON && w.Code == 400 {
			t.Fatalf("%s %s: %d %s", action, body, w.Code, w.Body)
		}
	})
}
