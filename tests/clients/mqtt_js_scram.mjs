// One MQTT.js client that authenticates by SCRAM-SHA-256 (MQTT 5.0 §4.12), its key derivation being node's own.
//
//   argument 1: {"url":…, "username":U, "password":P, "ca":FILE}
//   {"do":"renew"}   authenticates once more, in session     {"do":"ping"}   publishes to itself meanwhile
//
// Events: connected (once the server has proven itself too), renewed, echo, refused, closed, disconnect.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const mqtt = createRequire(join(process.env.TIDEGATE_TEST_CLIENTS, 'npm', 'package.json'))('mqtt');
const emit = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const { url, username, password, ca } = JSON.parse(process.argv[2]);

const authenticationMethod = 'SCRAM-SHA-256';
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** One exchange: the client's first message, its answer to the server's, and what the server must say last. */
class Scram {
  constructor() {
    this.bare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${randomBytes(18).toString('base64')}`;
    this.first = Buffer.from('n,,' + this.bare);
  }

  answer(serverFirst) {
    const [nonce, salt, iterations] = serverFirst.split(',').map((attribute) => attribute.slice(2));
    const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const withoutProof = `c=biws,r=${nonce}`;
    const signed = [this.bare, serverFirst, withoutProof].join(',');
    const signature = hmac(createHash('sha256').update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at])).toString('base64');
    this.serverFinal = 'v=' + hmac(hmac(salted, 'Server Key'), signed).toString('base64');
    return Buffer.from(`${withoutProof},p=${proof}`);
  }
}

let scram = new Scram();
const client = mqtt.connect(url, {
  protocolVersion: 5, clientId: 'scram', ca: ca && readFileSync(ca), rejectUnauthorized: true, reconnectPeriod: 0,
  properties: { authenticationMethod, authenticationData: scram.first },
});

client.handleAuth = (packet, callback) => {
  const data = String(packet.properties.authenticationData);
  if (packet.reasonCode === 0) {
    emit({ event: 'renewed', isProven: data === scram.serverFinal });
    return callback();
  }
  callback(null, { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod, authenticationData: scram.answer(data) } });
};
client.on('connect', (packet) => {
  const { authenticationMethod: method, authenticationData } = packet.properties;
  client.subscribe('echo', () => emit({ event: 'connected', method, isProven: String(authenticationData) === scram.serverFinal }));
});
client.on('message', (topic) => emit({ event: 'echo', topic }));
client.on('error', (error) => emit({ event: 'refused', code: error.code }));
client.on('disconnect', (packet) => emit({ event: 'disconnect', reason: packet.reasonCode }));
client.on('close', () => emit({ event: 'closed' }));

const commands = {
  renew: () => {
    scram = new Scram();
    // MQTT.js has a handler for AUTH, but no call of its own that begins one.
    client._sendPacket({ cmd: 'auth', reasonCode: 0x19, properties: { authenticationMethod, authenticationData: scram.first } });
  },
  ping: () => client.publish('echo', ''),
};
for await (const line of createInterface({ input: process.stdin })) {
  commands[JSON.parse(line).do]();
}
process.exit(0);
