// MQTT.js as a judge: any number of its clients, driven by JSON lines on standard input, which say on standard output what they saw.
//
// The same commands and events as judge_paho.py; every command and every event names its client.
//
//   {"do":"connect","client":NAME,"url":…,"version":3|4|5,"id":…,"clean":B, and what is wanted of: "keepAlive":S, "expiry":S,
//    "receiveMaximum":N, "maximumPacketSize":N, "topicAliasMaximum":N, "autoAlias":B, "reconnect":B, "username", "password",
//    "will":{"topic","payload","qos","retain","properties","delay":S}}      → connected | refused
//   {"do":"subscribe","filter":F,"qos":Q,"noLocal":B,"retainAsPublished":B,"retainHandling":N,"identifier":N}     → subscribed
//   {"do":"unsubscribe","filter":F}                                          → unsubscribed
//   {"do":"publish","topic":T,"payload":TEXT,"qos":Q,"retain":B,"properties":{…}}                                 → published
//   {"do":"disconnect","reason":N,"expiry":S}   {"do":"cut"}                 → closed
//
// Properties of a message: contentType, responseTopic, correlation (text), format (boolean), user ([[name, value], …]), expiry,
// identifiers ([N, …], received only), alias.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const mqtt = createRequire(join(process.env.TIDEGATE_TEST_CLIENTS, 'npm', 'package.json'))('mqtt');
const emit = (client, event, more) => process.stdout.write(JSON.stringify({ client, event, ...more }) + '\n');

const clients = new Map();

const withoutUndefined = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

function propertiesToSend({ contentType, responseTopic, correlation, format, user, expiry, alias }) {
  const userProperties = user && {};
  for (const [name, value] of user ?? []) (userProperties[name] ??= []).push(value);
  return withoutUndefined({
    contentType, responseTopic, correlationData: correlation === undefined ? undefined : Buffer.from(correlation),
    payloadFormatIndicator: format, userProperties, messageExpiryInterval: expiry, topicAlias: alias,
  });
}

function propertiesReceived(properties = {}) {
  const user = Object.entries(properties.userProperties ?? {}).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
  return withoutUndefined({
    contentType: properties.contentType, responseTopic: properties.responseTopic, correlation: properties.correlationData?.toString(),
    format: properties.payloadFormatIndicator, user: user.length ? user : undefined, expiry: properties.messageExpiryInterval,
    alias: properties.topicAlias,
    identifiers: properties.subscriptionIdentifier === undefined ? undefined : [properties.subscriptionIdentifier].flat(),
  });
}

const commands = {
  connect(name, options) {
    const isNew = options.version === 5;
    const { will } = options;
    const properties = withoutUndefined({
      sessionExpiryInterval: options.expiry, receiveMaximum: options.receiveMaximum, maximumPacketSize: options.maximumPacketSize,
      topicAliasMaximum: options.topicAliasMaximum,
    });
    const client = mqtt.connect(options.url, withoutUndefined({
      protocolVersion: options.version, protocolId: options.version === 3 ? 'MQIsdp' : 'MQTT', clientId: options.id, clean: options.clean,
      keepalive: options.keepAlive ?? 60, reconnectPeriod: options.reconnect ? 10 : 0, autoAssignTopicAlias: options.autoAlias,
      username: options.username, password: options.password, properties: isNew ? properties : undefined,
      will: will && {
        topic: will.topic, payload: will.payload, qos: will.qos, retain: will.retain ?? false,
        properties: isNew ? withoutUndefined({ ...propertiesToSend(will.properties ?? {}), willDelayInterval: will.delay }) : undefined,
      },
    }));
    const reasons = new Map();
    clients.set(name, { client, reasons });
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'connack' && (packet.reasonCode ?? packet.returnCode)) {
        emit(name, 'refused', { reason: packet.reasonCode ?? packet.returnCode });
      }
      if (packet.cmd === 'puback' || packet.cmd === 'pubrec') reasons.set(packet.messageId, packet.reasonCode ?? 0);
      if (packet.cmd === 'unsuback') reasons.set('unsuback', packet.granted ?? []);
      if (packet.cmd === 'disconnect') emit(name, 'disconnect', { reason: packet.reasonCode });
    });
    client.on('connect', (packet) => emit(name, 'connected', {
      sessionPresent: packet.sessionPresent, assignedIdentifier: packet.properties?.assignedClientIdentifier,
      keepAlive: packet.properties?.serverKeepAlive, expiry: packet.properties?.sessionExpiryInterval,
      receiveMaximum: packet.properties?.receiveMaximum, aliases: packet.properties?.topicAliasMaximum,
      maximumPacketSize: packet.properties?.maximumPacketSize,
    }));
    client.on('message', (topic, payload, packet) => emit(name, 'message', {
      topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, dup: packet.dup,
      properties: propertiesReceived(packet.properties), onTheWire: packet.topic.toString(),
    }));
    client.on('close', () => emit(name, 'closed'));
    client.on('error', () => {}); // what matters shows as refused, disconnect or closed
  },
  subscribe(name, { filter, qos, noLocal, retainAsPublished, retainHandling, identifier }) {
    const options = withoutUndefined({ qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling,
      properties: identifier && { subscriptionIdentifier: identifier } });
    clients.get(name).client.subscribe(filter, options, (error, granted, packet) =>
      emit(name, 'subscribed', { filter, reasons: packet?.granted ?? granted?.map((one) => one.qos) ?? [error.code] }));
  },
  unsubscribe(name, { filter }) {
    const { client, reasons } = clients.get(name);
    client.unsubscribe(filter, () => emit(name, 'unsubscribed', { filter, reasons: reasons.get('unsuback') ?? [] }));
  },
  publish(name, { topic, payload, qos, retain, properties }) {
    const { client, reasons } = clients.get(name);
    const options = { qos, retain: retain ?? false, ...(properties ? { properties: propertiesToSend(properties) } : {}) };
    client.publish(topic, payload, options, (error, packet) =>
      emit(name, 'published', { topic, payload, reason: error?.code ?? reasons.get(packet?.messageId) ?? 0 }));
  },
  disconnect(name, { reason, expiry }) {
    const properties = withoutUndefined({ sessionExpiryInterval: expiry });
    clients.get(name).client.end(false, { reasonCode: reason ?? 0, properties });
  },
  cut(name) {
    const { client } = clients.get(name);
    client.options.reconnectPeriod = 0;
    client.stream.destroy();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command.client, command);
}
process.exit(0);
