//go:build !race

package badgerstore

// raceDetector says whether this is a build with the race detector. Badger's
// collection begins with a look at the highest version, which its writer
// changes without a lock (v4.9.6, DB.MaxVersion). An older value than the
// newest does no harm there, but the detector rightly reports it, so that
// commits and collection take turns in such a build, and only there.
const raceDetector = false
