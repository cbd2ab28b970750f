package kinesisapi

// dataPlane has the actions on records.
func dataPlane() table {
	return table{}
}
