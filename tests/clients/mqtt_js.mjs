// One MQTT.js client for a test: commands as JSON lines on standard input, events as JSON lines on standard output.
//
//   argument 1: {"url":…, "options":{…}, "ca":FILE}
//   {"do":"subscribe","filter":F,"qos":Q}   {"do":"unsubscribe","filter":F}
//   {"do":"publish","topic":T,"payload":BASE64,"qos":Q,"retain":B}
//   {"do":"end"}
//
// A message comes out as {"event":"message","topic","qos","retain","dup","length","digest"}: SHA-256 of the payload, in hex.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const clients = process.env.TIDEGATE_TEST_CLIENTS;
const mqtt = createRequire(join(clients, 'npm', 'package.json'))('mqtt');
const emit = (event) => process.stdout.write(JSON.stringify(event) + '\n');

const { url, options, ca } = JSON.parse(process.argv[2]);
const client = mqtt.connect(url, { ...options, ca: ca && readFileSync(ca), rejectUnauthorized: true });

client.on('connect', (packet) => emit({ event: 'connected', sessionPresent: packet.sessionPresent, properties: packet.properties }));
client.on('close', () => emit({ event: 'closed' }));
client.on('error', (error) => emit({ event: 'error', text: String(error), code: error.code }));
client.on('disconnect', (packet) => emit({ event: 'disconnect', reason: packet.reasonCode }));
client.on('message', (topic, payload, { qos, retain, dup, properties }) => emit({
  event: 'message', topic, qos, retain, dup, length: payload.length,
  digest: createHash('sha256').update(payload).digest('hex'),
  contentType: properties?.contentType, userProperties: properties?.userProperties,
}));

const report = (event) => (error, result, packet) =>
  emit(error ? { event: 'failed', of: event, text: String(error), code: error.code } : { event, result: result ?? null, reasons: packet?.granted });

const commands = {
  subscribe: ({ filter, qos }) => client.subscribe(filter, { qos }, report('subscribed')),
  unsubscribe: ({ filter }) => client.unsubscribe(filter, report('unsubscribed')),
  publish: ({ topic, payload, qos, retain, properties }) =>
    client.publish(topic, Buffer.from(payload, 'base64'), { qos, retain: retain ?? false, properties }, (error) =>
      emit(error ? { event: 'failed', of: 'published', text: String(error), code: error.code } : { event: 'published', topic })),
  end: () => client.end(false, () => process.exit(0)),
};
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command);
}
process.exit(0);
