package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// Key is the number of a Kafka API.
type Key int16

// The APIs that are served.
const (
	Produce                 Key = 0
	Fetch                   Key = 1
	ListOffsets             Key = 2
	Metadata                Key = 3
	OffsetCommit            Key = 8
	OffsetFetch             Key = 9
	FindCoordinator         Key = 10
	JoinGroup               Key = 11
	Heartbeat               Key = 12
	LeaveGroup              Key = 13
	SyncGroup               Key = 14
	DescribeGroups          Key = 15
	ListGroups              Key = 16
	APIVersions             Key = 18
	CreateTopics            Key = 19
	DeleteTopics            Key = 20
	DeleteRecords           Key = 21
	InitProducerID          Key = 22
	OffsetForLeaderEpoch    Key = 23
	AddPartitionsToTxn      Key = 24
	AddOffsetsToTxn         Key = 25
	EndTxn                  Key = 26
	WriteTxnMarkers         Key = 27
	TxnOffsetCommit         Key = 28
	DescribeConfigs         Key = 32
	AlterConfigs            Key = 33
	DescribeLogDirs         Key = 35
	CreatePartitions        Key = 37
	DeleteGroups            Key = 42
	IncrementalAlterConfigs Key = 44
	OffsetDelete            Key = 47
	DescribeCluster         Key = 60
	DescribeProducers       Key = 61
	DescribeTransactions    Key = 65
	ListTransactions        Key = 66
	ListConfigResources     Key = 74
	DescribeTopicPartitions Key = 75
)

// String is the API's name.
func (k Key) String() string { return kmsg.NameForKey(int16(k)) }

// Versions is a range of an API's versions, both ends included.
type Versions struct{ Min, Max int16 }

// Has says whether v is in the range.
func (r Versions) Has(v int16) bool { return r.Min <= v && v <= r.Max }

// served is what is decoded and answered: the ranges of Apache Kafka 4.3.
var served = map[Key]Versions{
	Produce:                 {3, 13}, // below 3 there were other record formats
	Fetch:                   {4, 18},
	ListOffsets:             {1, 11},
	Metadata:                {0, 13},
	OffsetCommit:            {2, 10},
	OffsetFetch:             {1, 10},
	FindCoordinator:         {0, 6},
	JoinGroup:               {0, 9},
	Heartbeat:               {0, 4},
	LeaveGroup:              {0, 5},
	SyncGroup:               {0, 5},
	DescribeGroups:          {0, 6},
	ListGroups:              {0, 5},
	APIVersions:             {0, 4},
	CreateTopics:            {2, 7},
	DeleteTopics:            {1, 6},
	DeleteRecords:           {0, 2},
	InitProducerID:          {0, 5},
	OffsetForLeaderEpoch:    {2, 4},
	AddPartitionsToTxn:      {0, 5},
	AddOffsetsToTxn:         {0, 4},
	EndTxn:                  {0, 5},
	WriteTxnMarkers:         {1, 2},
	TxnOffsetCommit:         {0, 5},
	DescribeConfigs:         {1, 4},
	AlterConfigs:            {0, 2},
	DescribeLogDirs:         {1, 5},
	CreatePartitions:        {0, 3},
	DeleteGroups:            {0, 2},
	IncrementalAlterConfigs: {0, 1},
	OffsetDelete:            {0, 0},
	DescribeCluster:         {0, 2},
	DescribeProducers:       {0, 0},
	DescribeTransactions:    {0, 0},
	ListTransactions:        {0, 2},
	ListConfigResources:     {0, 1},
	DescribeTopicPartitions: {0, 0},
}

// ServedVersions returns the versions of an API that are served; ok is false
// for an API that is not.
func ServedVersions(k Key) (r Versions, ok bool) {
	r, ok = served[k]
	return r, ok
}

// AdvertisedVersions returns what ApiVersions says of an API. It is what is
// served, but for Produce: librdkafka turns compression and other features off
// where Produce is not advertised from version 0, so Apache Kafka does that, and
// refuses versions 0 to 2 all the same.
func AdvertisedVersions(k Key) (r Versions, ok bool) {
	r, ok = served[k]
	if k == Produce {
		r.Min = 0
	}
	return r, ok
}

// AppendUnsupportedAPIVersions appends the answer to an ApiVersions request of a
// version that is not served: in the encoding of version 0, which every client
// can read, UNSUPPORTED_VERSION and the versions of ApiVersions itself. The
// client asks again with one of those. The answer includes its header.
func AppendUnsupportedAPIVersions(dst []byte, correlationID int32) []byte {
	const unsupportedVersion = 35
	r := served[APIVersions]
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = unsupportedVersion
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MinVersion, key.MaxVersion = int16(APIVersions), r.Min, r.Max
	resp.ApiKeys = append(resp.ApiKeys, key)
	return resp.AppendTo(AppendResponseHeader(dst, correlationID, resp))
}
