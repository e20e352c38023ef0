// A page that stands for several devices and speaks JSON Actions: it signs as docs/envelope.md says, with what every browser has.
const encoder = new TextEncoder();
let socket;

// RFC 8785: JSON.stringify writes numbers and strings as it wants them; what is left is the order of the members.
function canonical(value) {
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => JSON.stringify(name) + ':' + canonical(value[name]));
  return '{' + members.join(',') + '}';
}

const fromHex = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const toHex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');

async function seal(key, clientId, data) {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signed = [timestamp, clientId, 'reading', canonical(data)].join('.');
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', fromHex(key), algorithm, false, ['sign']);
  const token = toHex(await crypto.subtle.sign(algorithm.name, imported, encoder.encode(signed)));
  return { timestamp, client_id: clientId, message_type: 'reading', data, token };
}

function publish(topic, envelope, id) {
  socket.send(JSON.stringify({ Action: 'publish', Topic: topic, Payload: JSON.stringify(envelope), QoS: 1, Id: id }));
}

function open(username, password) {
  socket = new WebSocket('wss://' + location.host + '/ws/');
  socket.onmessage = (message) => {
    const { Action, Id, Code } = JSON.parse(message.data);
    console.log(JSON.stringify({ event: Action, id: Id, code: Code }));
  };
  socket.onopen = () => {
    socket.send(JSON.stringify({ Action: 'connect', Username: username, Password: password, Id: 'login' }));
  };
}
