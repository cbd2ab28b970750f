package storage

// AddEpoch returns epochs with one that begins with a batch at start. Only a
// higher epoch than the last begins anything, and it takes the place of those
// under which nothing was written.
func AddEpoch(epochs []EpochStart, epoch int32, start int64) []EpochStart {
	n := len(epochs)
	if epoch < 0 || n > 0 && epochs[n-1].Epoch >= epoch {
		return epochs
	}
	for n > 0 && epochs[n-1].StartOffset >= start {
		n--
	}
	return append(epochs[:n], EpochStart{Epoch: epoch, StartOffset: start})
}

// TrimEpochs returns epochs as far as they reach into a log that begins at
// start: those that ended before it are gone, and the first one left begins no
// earlier than start. The last epoch always stays, so that an empty log still
// knows it. The slice is changed in place.
func TrimEpochs(epochs []EpochStart, start int64) []EpochStart {
	for len(epochs) > 1 && epochs[1].StartOffset <= start {
		epochs = epochs[1:]
	}
	if len(epochs) > 0 {
		epochs[0].StartOffset = max(epochs[0].StartOffset, start)
	}
	return epochs
}
