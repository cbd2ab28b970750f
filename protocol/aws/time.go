package aws

import "time"

// Time is a timestamp as the protocols carry it, in milliseconds since the epoch.
// In JSON it is a number of seconds with a fraction, in CBOR a whole number of
// milliseconds with tag 1.
type Time int64

// TimeOf returns t to the millisecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Time returns t as the standard library has it, in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }
