package kafkaapi

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/txn"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// ApiVersions, versions 0 to 4. A version that is not served is answered before
// it comes here, in version 0 (KIP-511). The one feature that is finalized is
// transaction.version, by which clients know that each end of a transaction
// raises their epoch, and that produce requests add their partitions by
// themselves (KIP-890).

// clientSoftware is what a client may be called (KIP-511).
var clientSoftware = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (s *Server) apiVersions(k *call) {
	req := k.req.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if k.version >= 3 {
		if !clientSoftware.MatchString(req.ClientSoftwareName) || !clientSoftware.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = kerr.InvalidRequest.Code
			k.reply(resp)
			return
		}
		k.c.log.Debug("a client introduced itself", zap.String("client_id", k.clientID),
			zap.String("software", req.ClientSoftwareName), zap.String("software_version", req.ClientSoftwareVersion))
	}
	for _, key := range s.served {
		if v, ok := kafka.AdvertisedVersions(key); ok {
			rk := kmsg.NewApiVersionsResponseApiKey()
			rk.ApiKey, rk.MinVersion, rk.MaxVersion = int16(key), v.Min, v.Max
			resp.ApiKeys = append(resp.ApiKeys, rk)
		}
	}
	announceFeatures(resp, s.core.Partitions.Epoch())
	k.reply(resp)
}

// featuresFromZero is the first version whose clients can read a feature that is
// supported from level 0 on (KAFKA-17492).
const featuresFromZero = 4

// announceFeatures says what all of the cluster agrees on (KIP-584). The epoch
// must rise when that changes, which only another release does: it is the number
// of starts.
func announceFeatures(resp *kmsg.ApiVersionsResponse, epoch int32) {
	const transactionVersion = "transaction.version"
	if resp.Version >= featuresFromZero {
		supported := kmsg.NewApiVersionsResponseSupportedFeature()
		supported.Name, supported.MaxVersion = transactionVersion, txn.Version
		resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
	}
	finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
	finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = transactionVersion, txn.Version, txn.Version
	resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
	resp.FinalizedFeaturesEpoch = int64(epoch)
}
