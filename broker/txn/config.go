package txn

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamweir/streamweir/broker/config"
)

// Config holds the coordinator's settings. Where Apache Kafka has a setting of
// the same meaning, the comment gives its name.
type Config struct {
	// Partitions of __transaction_state (transaction.state.log.num.partitions).
	// It must not change once the topic exists: it decides which transactional
	// id lives where.
	Partitions int32
	// MaxTimeoutMs is the longest timeout that a producer may ask for
	// (transaction.max.timeout.ms).
	MaxTimeoutMs int32
	// TimeoutsCheck is how often transactions over their timeout are looked for
	// (transaction.abort.timed.out.transaction.cleanup.interval.ms).
	TimeoutsCheck time.Duration
	// Expiration is how long an id without activity is remembered
	// (transactional.id.expiration.ms), and ExpirationCheck how often that is
	// looked at (transaction.remove.expired.transaction.cleanup.interval.ms).
	Expiration, ExpirationCheck time.Duration
	// AddWait is how long an addition to a transaction waits for the end of the
	// one before (add.partitions.to.txn.retry.backoff.max.ms).
	AddWait time.Duration
	// RetryBackoff is the first pause before a marker is tried again; it doubles
	// up to ten seconds.
	RetryBackoff time.Duration

	// The limits below have no counterpart in Apache Kafka; over them the
	// client gets POLICY_VIOLATION.

	// MaxIDs bounds the transactional ids of one coordinator.
	MaxIDs int
	// MaxPartitions bounds the partitions of one transaction.
	MaxPartitions int
	// MaxRecordBytes bounds the record of one transaction.
	MaxRecordBytes int64
	// MaxBytes bounds the memory of all ids and their partitions.
	MaxBytes int64
}

// DefaultConfig returns Apache Kafka's defaults and generous limits.
func DefaultConfig() Config {
	return Config{
		Partitions:      50,
		MaxTimeoutMs:    900_000,
		TimeoutsCheck:   10 * time.Second,
		Expiration:      7 * 24 * time.Hour,
		ExpirationCheck: time.Hour,
		AddWait:         100 * time.Millisecond,
		RetryBackoff:    100 * time.Millisecond,
		MaxIDs:          100_000,
		MaxPartitions:   10_000,
		MaxRecordBytes:  512 << 10,
		MaxBytes:        256 << 20,
	}
}

// FromSettings takes over what the configuration of the server says. partitions
// is what __transaction_state has, or will have when it is created.
func FromSettings(s *config.Config, partitions int32) Config {
	ms := func(n int32) time.Duration { return time.Duration(n) * time.Millisecond }
	c := DefaultConfig()
	c.Partitions = partitions
	c.MaxTimeoutMs = s.TransactionMaxTimeoutMs
	c.TimeoutsCheck = ms(s.TransactionTimeoutsCheckMs)
	c.Expiration = ms(s.TransactionalIDExpirationMs)
	c.ExpirationCheck = ms(s.TransactionalIDExpirationCheckMs)
	c.AddWait = ms(s.AddPartitionsToTxnWaitMs)
	c.MaxIDs = int(s.MaxTransactionalIDs)
	c.MaxPartitions = int(s.MaxTransactionPartitions)
	return c
}

// Validate names every setting that cannot be.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Partitions > 0, "transaction.state.log.num.partitions is %d; it must be at least 1", c.Partitions)
	check(c.MaxTimeoutMs > 0, "transaction.max.timeout.ms is %d; it must be at least 1", c.MaxTimeoutMs)
	check(c.TimeoutsCheck > 0, "transaction.abort.timed.out.transaction.cleanup.interval.ms is %v; it must be above 0", c.TimeoutsCheck)
	check(c.Expiration > 0, "transactional.id.expiration.ms is %v; it must be above 0", c.Expiration)
	check(c.ExpirationCheck > 0, "transaction.remove.expired.transaction.cleanup.interval.ms is %v; it must be above 0", c.ExpirationCheck)
	check(c.AddWait >= 0, "add.partitions.to.txn.retry.backoff.max.ms is %v; it must not be negative", c.AddWait)
	check(c.RetryBackoff > 0, "the pause before a marker is tried again is %v; it must be above 0", c.RetryBackoff)
	check(c.MaxIDs > 0, "max.transactional.ids is %d; it must be at least 1", c.MaxIDs)
	check(c.MaxPartitions > 0, "max.transaction.partitions is %d; it must be at least 1", c.MaxPartitions)
	check(c.MaxRecordBytes > 0, "the limit on a transaction's record is %d; it must be at least 1", c.MaxRecordBytes)
	check(c.MaxBytes > 0, "the limit on the memory of transactions is %d; it must be at least 1", c.MaxBytes)
	return errors.Join(errs...)
}
