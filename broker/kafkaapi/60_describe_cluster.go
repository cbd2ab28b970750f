package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// DescribeCluster, versions 0 to 2. This server is a broker to its clients:
// who asks for the controllers' endpoints (1+) is told that they are not here.

const (
	endpointBrokers     = 1
	endpointControllers = 2
)

func (s *Server) describeCluster(k *call) {
	req := k.req.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ControllerID, resp.ClusterAuthorizedOperations = -1, unknownOperations
	resp.EndpointType = endpointBrokers
	var err error
	switch req.EndpointType {
	case endpointBrokers:
	case endpointControllers:
		err = topic.Refuse(kerr.MismatchedEndpointType, "the request went to a broker's endpoint and asks for the controllers'")
	default:
		err = topic.Refuse(kerr.UnsupportedEndpointType, "%d is no type of endpoint", req.EndpointType)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
		k.reply(resp)
		return
	}
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID, b.Host, b.Port = s.core.NodeID(), k.c.listener.host, k.c.listener.port
	resp.Brokers = append(resp.Brokers, b)
	resp.ClusterID, resp.ControllerID = s.core.Topics.ClusterID(), s.core.NodeID()
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	k.reply(resp)
}
