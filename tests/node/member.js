// A member of a consumer group with kafkajs; prints one JSON object a line.
//
//     member.js BOOTSTRAP GROUP TOPIC SESSION_MS
//
// Logs in where SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD are set. Prints {"assigned":N} with the number of
// partitions, and {"offset":N} for each record, committed before the next one. SIGTERM ends it cleanly: it leaves the
// group. An error that the library does not retry ends it: {"error":TEXT}, exit code 1.
"use strict";

const { Kafka, logLevel } = require("kafkajs");

const [bootstrap, groupId, topic, sessionMs] = process.argv.slice(2);
const show = (thing) => console.log(JSON.stringify(thing));

function fail(error) {
  show({ error: `${error.name}: ${error.message}` });
  process.exit(1);
}

function login() {
  const { SASL_MECHANISM: mechanism, SASL_USERNAME: username, SASL_PASSWORD: password } = process.env;
  return mechanism ? { sasl: { mechanism: mechanism.toLowerCase(), username, password } } : {};
}

async function main() {
  const kafka = new Kafka({ clientId: "kafkajs", brokers: [bootstrap], logLevel: logLevel.WARN, ...login() });
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: Number(sessionMs),
    heartbeatInterval: 1000,
    maxWaitTimeInMs: 500,
  });
  process.on("SIGTERM", async () => {
    await consumer.disconnect();
    process.exit(0);
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
    show({ assigned: (payload.memberAssignment[topic] || []).length }),
  );
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) fail(payload.error);
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      show({ offset: Number(message.offset) });
      const offset = (BigInt(message.offset) + 1n).toString();
      await consumer.commitOffsets([{ topic, partition, offset, metadata: "done" }]);
    },
  });
}

main().catch(fail);
