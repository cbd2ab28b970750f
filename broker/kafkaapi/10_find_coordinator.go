package kafkaapi

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// FindCoordinator, versions 0 to 6: one key up to version 3, many from 4 on.
// The first question for a group creates __consumer_offsets, the first one for a
// transactional id __transaction_state. Share groups have no coordinator yet.

const (
	findsMany = 4

	groupCoordinator = 0 // key types
	txnCoordinator   = 1
	shareCoordinator = 2
)

func (s *Server) findCoordinator(k *call) {
	req := k.req.(*kmsg.FindCoordinatorRequest)
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.Version < findsMany {
		c := s.coordinatorFor(k, req.CoordinatorType, req.CoordinatorKey)
		resp.NodeID, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode, c.ErrorMessage
		k.reply(resp)
		return
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, s.coordinatorFor(k, req.CoordinatorType, key))
	}
	k.reply(resp)
}

func (s *Server) coordinatorFor(k *call, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	if err := s.ensureCoordinator(kind); err != nil {
		c.ErrorCode, c.ErrorMessage = errorCode(err), errorMessage(err)
		return c
	}
	c.NodeID, c.Host, c.Port = s.core.NodeID(), k.c.listener.host, k.c.listener.port
	return c
}

// ensureCoordinator makes sure that the coordinator of a kind has its topic.
func (s *Server) ensureCoordinator(kind int8) error {
	var name string
	switch kind {
	case groupCoordinator:
		name = topic.ConsumerOffsets
	case txnCoordinator:
		name = topic.TransactionState
	case shareCoordinator:
		return fmt.Errorf("%w: share groups are not served", kerr.InvalidRequest)
	default:
		return fmt.Errorf("%w: there is no coordinator of type %d", kerr.InvalidRequest, kind)
	}
	if _, err := s.core.Topics.Ensure(name); err != nil {
		return fmt.Errorf("%w: %s cannot be created: %v", kerr.CoordinatorNotAvailable, name, err)
	}
	return nil
}
