package kinesisapi

// controlPlane has the actions on streams, shards, consumers, tags, policies and
// the account.
func controlPlane() table {
	return table{}
}
