package kafkaapi

import "github.com/streamweir/streamweir/protocol/kafka"

// handler answers a request: now, or later through the call. It runs on the
// connection's reader, so requests of one connection begin in order, and one
// that has to wait must not do so in its handler.
type handler func(*Server, *call)

// maxKey bounds the API keys.
const maxKey = 128

// handlers has one entry for each API key that is served.
var handlers = [maxKey]handler{
	kafka.Produce:                 (*Server).produce,
	kafka.Fetch:                   (*Server).fetch,
	kafka.ListOffsets:             (*Server).listOffsets,
	kafka.Metadata:                (*Server).metadata,
	kafka.OffsetCommit:            (*Server).offsetCommit,
	kafka.OffsetFetch:             (*Server).offsetFetch,
	kafka.FindCoordinator:         (*Server).findCoordinator,
	kafka.JoinGroup:               (*Server).joinGroup,
	kafka.Heartbeat:               (*Server).heartbeat,
	kafka.LeaveGroup:              (*Server).leaveGroup,
	kafka.SyncGroup:               (*Server).syncGroup,
	kafka.DescribeGroups:          (*Server).describeGroups,
	kafka.ListGroups:              (*Server).listGroups,
	kafka.APIVersions:             (*Server).apiVersions,
	kafka.DeleteRecords:           (*Server).deleteRecords,
	kafka.InitProducerID:          (*Server).initProducerID,
	kafka.DeleteGroups:            (*Server).deleteGroups,
	kafka.OffsetDelete:            (*Server).offsetDelete,
	kafka.OffsetForLeaderEpoch:    (*Server).offsetForLeaderEpoch,
	kafka.AddPartitionsToTxn:      (*Server).addPartitionsToTxn,
	kafka.AddOffsetsToTxn:         (*Server).addOffsetsToTxn,
	kafka.EndTxn:                  (*Server).endTxn,
	kafka.WriteTxnMarkers:         (*Server).writeTxnMarkers,
	kafka.TxnOffsetCommit:         (*Server).txnOffsetCommit,
	kafka.CreateTopics:            (*Server).createTopics,
	kafka.DeleteTopics:            (*Server).deleteTopics,
	kafka.DescribeConfigs:         (*Server).describeConfigs,
	kafka.AlterConfigs:            (*Server).alterConfigs,
	kafka.DescribeLogDirs:         (*Server).describeLogDirs,
	kafka.CreatePartitions:        (*Server).createPartitions,
	kafka.IncrementalAlterConfigs: (*Server).incrementalAlterConfigs,
	kafka.DescribeCluster:         (*Server).describeCluster,
	kafka.DescribeProducers:       (*Server).describeProducers,
	kafka.DescribeTransactions:    (*Server).describeTransactions,
	kafka.ListTransactions:        (*Server).listTransactions,
	kafka.ListConfigResources:     (*Server).listConfigResources,
	kafka.DescribeTopicPartitions: (*Server).describeTopicPartitions,
}
