// Package harness starts the built binary and gives tests real clients to
// drive it with. It imports no package of the project: what it checks is what
// a user sees.
//
// A test package calls Main from its TestMain, takes a server with Shared (one
// for the whole test process) or Start (its own, which it may stop, kill, pause
// and restart), and waits for conditions with Eventually.
//
// The environment says what is tested:
//
//	STREAMWEIR_BIN             the binary; without it `go build` makes one
//	STREAMWEIR_PLAIN_BIN       the same without the race detector, for tests that
//	                           measure; without it `go build` makes one
//	STREAMWEIR_TEST_RACE=0     build it without the race detector
//	STREAMWEIR_TEST_SCALE=0.1  size of the big tests as a factor (default 1)
//	STREAMWEIR_TEST_PEER=apache-kafka
//	                           run the same tests against a real Apache Kafka:
//	                           a test that it does not pass is a wrong test
//	STREAMWEIR_TEST_BOOTSTRAP=host:port
//	                           with the peer set: the broker that Shared returns
//	                           (Start still makes its own)
//	STREAMWEIR_KAFKA_SCRIPT    the script that runs Apache Kafka and its tools
//	STREAMWEIR_TEST_AWS_ENDPOINT=URL
//	                           run the tests of the Kinesis API against another
//	                           emulator, as far as it has what they need
//	STREAMWEIR_TEST_LOGS=DIR   keep every server's log there
package harness
