// Command compare measures Streamweir beside Apache Kafka and kfake: the same
// load on each, every run on a fresh process and an empty directory, systems in
// turn over several rounds, and one table of medians with their ratio to Apache
// Kafka at equal durability.
//
// The load generator must cost far less than a broker, or the table would
// measure the generator. Produce requests are encoded once and sent over raw
// connections with only the correlation id patched; fetched bytes are counted
// and thrown away after a look at each batch's header. Only the end-to-end
// latency goes through a real client, franz-go, since that is what a user
// waits for. The generator's own CPU time is measured with the broker's and
// printed beside it.
//
// It imports no package of the project: Streamweir is the built binary.
package main
