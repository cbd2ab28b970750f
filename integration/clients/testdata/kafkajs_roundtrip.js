// A round trip with kafkajs: ADDRESS TOPIC GROUP COUNT.
'use strict'

const { Kafka, CompressionTypes, logLevel } = require('kafkajs')

const [address, topic, groupId, countText] = process.argv.slice(2)
const count = Number(countText)
const kafka = new Kafka({ clientId: 'kafkajs-test', brokers: [address], logLevel: logLevel.ERROR })

async function send(compression, n) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = Array.from({ length: n }, (_, i) => ({ key: String(i), value: 'value', headers: { h: 'v' } }))
  await producer.send({ topic, compression, messages, acks: -1 })
  await producer.disconnect()
}

async function read(n) {
  const consumer = kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let got = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (e) => reject(e.payload.error))
    consumer
      .run({
        eachMessage: async ({ message }) => {
          if (message.value.toString() !== 'value' || message.headers.h.toString() !== 'v') {
            reject(new Error(`read ${message.value} ${JSON.stringify(message.headers)}`))
          }
          got++
          if (got === n) resolve()
        },
      })
      .catch(reject)
  })
  await consumer.stop() // commits what was read
  await consumer.disconnect()
  if (got !== n) throw new Error(`read ${got}, want ${n}`)
}

async function main() {
  // The other codecs need packages of their own.
  const codecs = [CompressionTypes.None, CompressionTypes.GZIP]
  for (const codec of codecs) await send(codec, count)
  await read(count * codecs.length)
  await send(CompressionTypes.None, 3)
  await read(3)
  const admin = kafka.admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  const total = offsets.reduce((sum, p) => sum + Number(p.high), 0)
  if (total !== count * codecs.length + 3) throw new Error(`the topic holds ${total} records`)
  await admin.disconnect()
  console.log('ok')
}

const limit = setTimeout(() => {
  console.error('not done within 150 s')
  process.exit(1)
}, 150000)

main().then(
  () => clearTimeout(limit),
  (err) => {
    console.error(err)
    process.exit(1)
  },
)
