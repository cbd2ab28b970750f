package kafkaapi

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// refuseToVerify is for a server without a transaction coordinator: it knows of
// no transaction.
func refuseToVerify(txnID string, _ int64, _ int16, _ string, _ int32, _ bool, done func(error)) {
	done(fmt.Errorf("%w: there is no transaction coordinator for %q", kerr.InvalidTxnState, txnID))
}
