package kinesisapi

// controlPlane has the actions on streams, shards, consumers, tags, policies and
// the account.
func controlPlane() table {
	return table{
		"CreateStream":          acknowledges((*Server).createStream),
		"DeleteStream":          acknowledges((*Server).deleteStream),
		"DescribeStream":        answers((*Server).describeStream),
		"DescribeStreamSummary": answers((*Server).describeStreamSummary),
		"ListStreams":           answers((*Server).listStreams),

		"IncreaseStreamRetentionPeriod":          acknowledges((*Server).increaseRetention),
		"DecreaseStreamRetentionPeriod":          acknowledges((*Server).decreaseRetention),
		"EnableEnhancedMonitoring":               answers((*Server).enableMonitoring),
		"DisableEnhancedMonitoring":              answers((*Server).disableMonitoring),
		"StartStreamEncryption":                  acknowledges((*Server).startEncryption),
		"StopStreamEncryption":                   acknowledges((*Server).stopEncryption),
		"UpdateStreamMode":                       acknowledges((*Server).updateStreamMode),
		"UpdateMaxRecordSize":                    acknowledges((*Server).updateMaxRecordSize),
		"UpdateStreamWarmThroughput":             answers((*Server).updateWarmThroughput),
		"UpdateStreamRecordDistributionStrategy": acknowledges((*Server).updateDistribution),

		"ListShards":       answers((*Server).listShards),
		"SplitShard":       acknowledges((*Server).splitShard),
		"MergeShards":      acknowledges((*Server).mergeShards),
		"UpdateShardCount": answers((*Server).updateShardCount),

		"RegisterStreamConsumer":   answers((*Server).registerConsumer),
		"DeregisterStreamConsumer": acknowledges((*Server).deregisterConsumer),
		"DescribeStreamConsumer":   answers((*Server).describeConsumer),
		"ListStreamConsumers":      answers((*Server).listConsumers),

		"AddTagsToStream":      acknowledges((*Server).addTags),
		"RemoveTagsFromStream": acknowledges((*Server).removeTags),
		"ListTagsForStream":    answers((*Server).listTags),
		"TagResource":          acknowledges((*Server).tagResource),
		"UntagResource":        acknowledges((*Server).untagResource),
		"ListTagsForResource":  answers((*Server).listResourceTags),

		"PutResourcePolicy":    acknowledges((*Server).putPolicy),
		"GetResourcePolicy":    answers((*Server).getPolicy),
		"DeleteResourcePolicy": acknowledges((*Server).deletePolicy),

		"DescribeLimits":          answers((*Server).describeLimits),
		"DescribeAccountSettings": answers((*Server).describeAccount),
		"UpdateAccountSettings":   answers((*Server).updateAccount),
	}
}
