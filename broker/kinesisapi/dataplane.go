package kinesisapi

// dataPlane has the actions on records.
func dataPlane() table {
	return table{
		"PutRecord":        answers((*Server).putRecord),
		"PutRecords":       answers((*Server).putRecords),
		"GetShardIterator": answers((*Server).getShardIterator),
		"GetRecords":       answers((*Server).getRecords),
		"SubscribeToShard": subscribes((*Server).subscribeToShard),
	}
}
