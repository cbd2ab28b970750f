package config

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md: every setting, with what there is to say
// of it. A test keeps the file equal to it; go generate writes it.
//
//go:generate go test -run TestReference -update
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	section := func(title string, keys []Key) {
		fmt.Fprintf(&b, "\n## %s\n", title)
		for i := range keys {
			k := &keys[i]
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n", k.Name, k.Documentation())
			var facts []string
			facts = append(facts, "type "+k.Type.String(), "default "+k.defaultText())
			if k.Unit != "" {
				facts = append(facts, "unit "+k.Unit)
			}
			if k.Check.Text != "" {
				facts = append(facts, "valid: "+k.Check.Text)
			}
			facts = append(facts, "changes "+k.Update.String())
			if k.Ours {
				facts = append(facts, "not a setting of Apache Kafka")
			}
			fmt.Fprintf(&b, "%s. Environment: `%s`\n", strings.Join(facts, "; "), envName(k.Name))
		}
	}
	section("Server, storage, connections, topics", serverKeys())
	section("Log", logKeys())
	section("Groups, producers, transactions", groupKeys())
	section("AWS APIs", awsKeys())
	section("Streams", kinesisKeys())
	b.WriteString(referenceKafka)
	for _, k := range kafkaKeys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Type, k.defaultText(), tableText(k.Documentation()))
	}
	return b.String()
}

func (k *Key) defaultText() string {
	switch {
	case k.Null:
		return "unset"
	case k.Default == "":
		return "empty"
	}
	return "`" + k.Default + "`"
}

func tableText(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const referenceHead = `# Configuration

<!-- Written by go generate ./broker/config; change the tables there. -->

Settings come from a YAML file (` + "`--config FILE`" + `), from the environment and from
` + "`--set KEY=VALUE`" + `; later ones win in this order. ` + "`--data-dir`, `--kafka-addr`, `--aws-addr` and `--admin-addr`" + ` stand for
` + "`data.dir`, `listeners`, `aws.addr` and `admin.listener`" + `; giving one of these both ways is an error. Names are those of Apache Kafka
wherever it has the setting. In the file, each setting stands on a line of its own under
its full name; lists are YAML lists or comma-separated:

` + "```yaml" + `
data.dir: /var/lib/streamweir
listeners: [PLAINTEXT://0.0.0.0:9092]
advertised.listeners: PLAINTEXT://broker.example:9092
log.retention.ms: 86400000
` + "```" + `

In the environment, dots become underscores: ` + "`STREAMWEIR_LOG_RETENTION_MS=86400000`" + `.
An unknown name is an error, and so is a value out of range; the message names the line
and the nearest known name. All errors are reported at once.

Settings that change at run time are changed as in Kafka (AlterConfigs,
IncrementalAlterConfigs, ` + "`kafka-configs --alter --entity-type brokers`" + `), for one
broker or, with the empty name, for all. They are kept in the data directory and win over
the file. Precedence: broker, all brokers, file and flags, default. A topic's own
configs win over all of these: see topics.md.
`

const referenceKafka = `
## Settings of Apache Kafka without effect

These are known so that tools, and config files made for Apache Kafka, work. Setting one
that is marked "accepted" logs a warning at the start; one that would promise what this
server does not do is refused.

| name | type | default | what it is |
|---|---|---|---|
`
