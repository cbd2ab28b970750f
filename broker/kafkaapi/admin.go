package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// logFailure writes down what went wrong inside of the broker while it worked
// on a request: the client gets no more than a code.
func (s *Server) logFailure(k *call, what string, err error) {
	k.c.log.Error(what, zap.String("request", kmsg.NameForKey(int16(k.key))), zap.Error(err))
}

// repeats counts how often each value stands in a list.
func repeats[T any, K comparable](list []T, key func(*T) K) map[K]int {
	n := make(map[K]int, len(list))
	for i := range list {
		n[key(&list[i])]++
	}
	return n
}
