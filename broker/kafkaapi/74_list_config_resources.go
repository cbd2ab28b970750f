package kafkaapi

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources, versions 0 to 1. Version 0 lists subscriptions of client
// metrics, of which there are none here; version 1 lists the types that it is
// asked for, or all. Groups and loggers have no configs here, so none is listed.

func (s *Server) listConfigResources(k *call) {
	req := k.req.(*kmsg.ListConfigResourcesRequest)
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	types := []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}
	if k.version >= 1 {
		types = append(types, kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeGroupConfig)
	}
	wanted := func(t kmsg.ConfigResourceType) bool {
		return slices.Contains(types, t) && (len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(t)))
	}
	for _, t := range req.ResourceTypes {
		if !slices.Contains(types, kmsg.ConfigResourceType(t)) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			k.reply(resp)
			return
		}
	}
	add := func(t kmsg.ConfigResourceType, name string) {
		rr := kmsg.NewListConfigResourcesResponseConfigResource()
		rr.Type, rr.Name = int8(t), name
		resp.ConfigResources = append(resp.ConfigResources, rr)
	}
	if wanted(kmsg.ConfigResourceTypeBroker) {
		add(kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(s.core.NodeID())))
	}
	if wanted(kmsg.ConfigResourceTypeTopic) {
		for _, t := range s.core.Topics.Topics() {
			add(kmsg.ConfigResourceTypeTopic, t.Name)
		}
	}
	k.reply(resp)
}
