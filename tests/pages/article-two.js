// The page of the second article, rebuilt from its behaviour: subscribe on open, ping every 3 seconds, come back after 3 seconds,
// payloads that are JSON text, and listeners found by exact topic. It knows nothing that a server learned to say later.
var socket, pinger;
var listeners = {
  '/chat/room': function (payload) {
    console.log(JSON.stringify({ event: 'heard', payload: JSON.parse(payload) }));
  },
  '/gauge/1': function (payload) {
    console.log(JSON.stringify({ event: 'gauge', payload: JSON.parse(payload) }));
  },
};

function say(topic, value) {
  socket.send(JSON.stringify({ Action: 'publish', Topic: topic, Payload: JSON.stringify(value) }));
}

function connect() {
  socket = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + '/ws/');
  socket.onopen = function () {
    for (var topic in listeners) socket.send(JSON.stringify({ Action: 'subscribe', Topic: topic }));
    pinger = setInterval(function () { socket.send(JSON.stringify({ Action: 'ping' })); }, 3000);
    console.log(JSON.stringify({ event: 'open' }));
  };
  socket.onmessage = function (message) {
    var o = JSON.parse(message.data);
    if (o.Topic in listeners) listeners[o.Topic](o.Payload);
  };
  socket.onclose = function () {
    clearInterval(pinger);
    console.log(JSON.stringify({ event: 'close' }));
    setTimeout(connect, 3000);
  };
}

connect();
