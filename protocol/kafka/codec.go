package kafka

import "fmt"

// Codec is how a batch's records are compressed; its number is that of the
// batch attributes.
type Codec uint8

// The codecs of the record batch format.
const (
	CodecNone   Codec = 0
	CodecGzip   Codec = 1
	CodecSnappy Codec = 2
	CodecLZ4    Codec = 3
	CodecZstd   Codec = 4

	numCodecs = 5
)

var codecNames = [numCodecs]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid says whether the codec exists.
func (c Codec) Valid() bool { return c < numCodecs }

// String is the codec's name in configs: none, gzip, snappy, lz4, zstd.
func (c Codec) String() string {
	if !c.Valid() {
		return fmt.Sprintf("codec %d", uint8(c))
	}
	return codecNames[c]
}

// CodecByName finds a codec by its name in client configs. (The values
// "uncompressed" and "producer" of a topic's compression.type are
// TargetByName's.)
func CodecByName(name string) (c Codec, ok bool) {
	for i, n := range codecNames {
		if n == name {
			return Codec(i), true
		}
	}
	return 0, false
}

// Target is what a topic's compression.type makes of a batch. The zero value is
// "producer": the batch stays as the producer compressed it.
type Target struct {
	Recompress bool  // to Codec, where the batch has another one
	Codec      Codec // meaningful with Recompress
	Level      int   // for gzip, lz4 and zstd; 0 is the codec's default
}

// TargetByName reads a topic's compression.type: producer, uncompressed, gzip,
// snappy, lz4 or zstd.
func TargetByName(name string, level int) (Target, error) {
	switch name {
	case "producer":
		return Target{}, nil
	case "uncompressed":
		return Target{Recompress: true, Codec: CodecNone}, nil
	case "gzip", "snappy", "lz4", "zstd":
		c, _ := CodecByName(name)
		return Target{Recompress: true, Codec: c, Level: level}, nil
	}
	return Target{}, fmt.Errorf("compression.type %q is unknown; use producer, uncompressed, gzip, snappy, lz4 or zstd", name)
}
