// The demo page: chat and a gauge over the JSON Action dialect.
//
// Tide is the connection and knows nothing of the page; below it each part of the page listens to a topic.
'use strict';

const CHAT = 'demo/chat';
const GAUGE = 'demo/gauge';

/* ---------------------------------------------------------------- the connection ---------------------------------------------- */

/// One WebSocket that comes back by itself, with its subscriptions.
class Tide {
  #address;
  #socket = null;
  #listeners = new Map();
  #waiting = new Map();
  #lastId = 0;
  #failures = 0;
  #retryAfterMs = 0;
  #retryTimer = 0;
  #pingTimer = 0;

  // What the page may set.
  onstate = () => {};
  onframe = () => {};
  onlatency = () => {};
  onerror = () => {};

  constructor(address) {
    this.#address = address;
    window.addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.retryNow();
    });
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#retryTimer);
    this.onstate('connecting');
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = () => this.#closed(socket);
  }

  /// Ends a wait for the next attempt; does nothing while connected.
  retryNow() {
    if (this.#socket?.readyState === WebSocket.CLOSED) this.connect();
  }

  /// Calls `listener` with the payload of every message on `topic`, over reconnections.
  subscribe(topic, listener) {
    this.#listeners.set(topic, listener);
    if (this.isOpen) this.#ask({ Action: 'subscribe', Topic: topic });
  }

  /// Whether the message went out. `answered` is told the outcome.
  publish(topic, payload, options = {}, answered = null) {
    return this.#ask({ Action: 'publish', Topic: topic, Payload: payload, ...options }, answered);
  }

  #opened() {
    this.#failures = 0;
    this.#retryAfterMs = 0;
    let left = this.#listeners.size;
    for (const topic of this.#listeners.keys()) {
      this.#ask({ Action: 'subscribe', Topic: topic }, (answer) => {
        if (answer.Action === 'ack' && --left === 0) this.onstate('open');
      });
    }
    this.#ping();
  }

  #ask(message, answered = null) {
    if (!this.isOpen) return false;
    if (answered) {
      message.Id = ++this.#lastId;
      this.#waiting.set(message.Id, answered);
    }
    const text = JSON.stringify(message);
    this.#socket.send(text);
    this.onframe('out', message, text);
    return true;
  }

  #received(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    this.onframe('in', message, text);
    if (message.Action === 'publish') {
      this.#listeners.get(message.Topic)?.(payloadText(message));
      return;
    }
    if (message.Action === 'closing') this.#retryAfterMs = Number(message.RetryAfterMs) || 0;
    if (message.Action === 'error') this.onerror(message);
    const answered = this.#waiting.get(message.Id);
    this.#waiting.delete(message.Id);
    answered?.(message);
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#pingTimer);
    this.#waiting.clear();
    // Doubling, and anywhere in the upper half of it: a thousand pages that lost the same server do not return in one instant.
    const ceiling = Math.min(15000, 500 * 2 ** this.#failures++);
    const delayMs = this.#retryAfterMs + ceiling / 2 + Math.random() * (ceiling / 2);
    this.#retryTimer = setTimeout(() => this.connect(), delayMs);
    this.onstate('waiting', delayMs);
  }

  #ping() {
    clearTimeout(this.#pingTimer);
    const sentAt = performance.now();
    this.#ask({ Action: 'ping' }, () => this.onlatency(performance.now() - sentAt));
    this.#pingTimer = setTimeout(() => this.#ping(), document.hidden ? 20000 : 2500);
  }
}

function payloadText(message) {
  if (message.Encoding !== 'base64') return message.Payload;
  return `(${atob(message.Payload).length} bytes)`;
}

/* ---------------------------------------------------------------- small things -------------------------------------------------- */

const byId = (id) => document.getElementById(id);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const stopwatch = new Intl.DateTimeFormat('en-GB', { minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

/// Appends to a scrolling list, keeps it at its end if it was there, and drops the oldest beyond `countMax`.
function append(list, item, countMax) {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.childElementCount > countMax) list.firstElementChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

/// What a payload says, or null where it is not one of ours but, say, a line from a terminal.
function parsed(payload) {
  try {
    const value = JSON.parse(payload);
    return value && typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

const me = {
  // Tells this window's messages from those of others with the same name.
  id: Array.from(crypto.getRandomValues(new Uint8Array(3)), (byte) => byte.toString(16).padStart(2, '0')).join(''),
  name: sessionStorage.getItem('name') || anyName(),
};

function anyName() {
  const names = ['Avocet', 'Curlew', 'Dunlin', 'Eider', 'Fulmar', 'Gannet', 'Heron', 'Knot', 'Petrel', 'Plover', 'Tern', 'Turnstone'];
  return names[Math.floor(Math.random() * names.length)];
}

const address = new URL('ws/', location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
address.search = address.hash = '';
const tide = new Tide(address.href);

/* ---------------------------------------------------------------- the state of the line ----------------------------------------- */

const link = byId('link');
let countdown = 0;
let wasOpen = false;
let isLost = false;

tide.onstate = (state, delayMs) => {
  clearInterval(countdown);
  link.dataset.state = state;
  byId('link-retry').hidden = state !== 'waiting';
  byId('link-latency').hidden = state !== 'open';
  if (state === 'open') {
    byId('link-state').textContent = 'Connected';
    if (isLost) note('Connected again.');
    wasOpen = true;
    isLost = false;
  } else if (state === 'connecting') {
    byId('link-state').textContent = 'Connecting';
  } else {
    if (wasOpen && !isLost) note('The connection was lost. It comes back by itself.');
    isLost = true;
    const retryAt = performance.now() + delayMs;
    const tell = () => {
      const seconds = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
      byId('link-state').textContent = `Offline, next try in ${seconds} s`;
    };
    tell();
    countdown = setInterval(tell, 500);
  }
};

byId('link-retry').addEventListener('click', () => tide.retryNow());

const latencies = [];
tide.onlatency = (ms) => {
  latencies.push(ms);
  if (latencies.length > 30) latencies.shift();
  byId('latency').textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
  const top = Math.max(1, ...latencies);
  byId('spark').setAttribute('points', latencies.map((value, index) => {
    const x = 60 - (latencies.length - 1 - index) * (60 / 29);
    return `${x.toFixed(1)},${(17 - (value / top) * 16).toFixed(1)}`;
  }).join(' '));
};

tide.onerror = (error) => note(`${error.Code}: ${error.Reason}`, 'note-error');

/* ---------------------------------------------------------------- the gauge ----------------------------------------------------- */

const slider = byId('slider');
let isHeld = false;
let unsent = null;
let lastSentAt = 0;

function showLevel(level) {
  const text = String(Math.round(level));
  byId('gauge').style.setProperty('--level', level);
  slider.style.setProperty('--level', level);
  byId('reading-dry').textContent = text;
  byId('reading-wet').textContent = text;
  byId('gauge-name').textContent = `Water level ${text} of 100`;
}

/// Sends the newest level, at most some thirty times a second: what lies between would be stale when it arrives.
function sendLevel() {
  if (unsent === null) return;
  const wait = lastSentAt + 33 - performance.now();
  if (wait > 0) {
    setTimeout(sendLevel, wait);
    return;
  }
  const payload = JSON.stringify({ level: unsent, by: me.id, name: me.name });
  unsent = null;
  lastSentAt = performance.now();
  // Retained, so that a window opened later begins at the same level.
  tide.publish(GAUGE, payload, { Retain: true });
}

slider.addEventListener('input', () => {
  const isIdle = unsent === null;
  unsent = slider.valueAsNumber;
  showLevel(unsent);
  byId('moved').textContent = 'Moved by you.';
  if (isIdle) sendLevel();
});
slider.addEventListener('pointerdown', () => { isHeld = true; });
for (const event of ['pointerup', 'pointercancel', 'blur']) slider.addEventListener(event, () => { isHeld = false; });

tide.subscribe(GAUGE, (payload) => {
  const said = parsed(payload);
  const level = Number(said ? said.level : payload);
  if (payload === '' || !Number.isFinite(level)) return;
  // One's own moves come back late, and would tug at the hand.
  if (said?.by === me.id || isHeld) return;
  const shown = Math.min(100, Math.max(0, level));
  slider.value = String(shown);
  showLevel(shown);
  byId('moved').textContent = `Moved by ${said?.name ? String(said.name).slice(0, 24) : 'somebody at a terminal'}.`;
});

/* ---------------------------------------------------------------- the conversation ---------------------------------------------- */

const messages = byId('messages');
const pending = new Map();
let lastBy = null;
let lastNumber = 0;

function note(text, className = '') {
  lastBy = null;
  append(messages, element('li', `note ${className}`, text), 200);
}

function showMessage({ by, name, words, at, isShell = false }) {
  byId('hush')?.remove();
  const isOwn = by === me.id;
  const item = element('li', 'message');
  item.classList.toggle('message-own', isOwn);
  item.classList.toggle('message-shell', isShell);
  item.classList.toggle('message-next', lastBy === `${by} ${name}`);
  lastBy = `${by} ${name}`;
  const caption = element('p', 'message-by');
  caption.append(element('b', '', isOwn ? 'You' : name), element('time', '', clock.format(at)));
  item.append(caption, element('p', 'message-words', words));
  append(messages, item, 200);
  return item;
}

tide.subscribe(CHAT, (payload) => {
  const said = parsed(payload);
  if (!said || typeof said.words !== 'string') {
    showMessage({ by: 'terminal', name: 'terminal', words: payload.slice(0, 500), at: new Date(), isShell: true });
    return;
  }
  const mine = said.by === me.id && pending.get(said.number);
  if (mine) {
    mine.classList.remove('message-pending');
    pending.delete(said.number);
    return;
  }
  showMessage({
    by: String(said.by), name: String(said.name || 'somebody').slice(0, 24), words: said.words.slice(0, 500), at: new Date(),
  });
});

byId('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const words = byId('words').value.trim();
  if (!words) return;
  if (!tide.isOpen) {
    note('Not connected: this was not sent.', 'note-error');
    return;
  }
  const number = ++lastNumber;
  const item = showMessage({ by: me.id, name: me.name, words, at: new Date() });
  item.classList.add('message-pending');
  messages.scrollTop = messages.scrollHeight;
  pending.set(number, item);
  tide.publish(CHAT, JSON.stringify({ number, by: me.id, name: me.name, words }), {}, (answer) => {
    if (answer.Action === 'error') pending.delete(number);
  });
  byId('words').value = '';
});

byId('name').value = me.name;
byId('name').addEventListener('input', (event) => {
  me.name = event.target.value.trim() || 'somebody';
  sessionStorage.setItem('name', me.name);
});

/* ---------------------------------------------------------------- the wire ------------------------------------------------------ */

const frames = byId('frames');
const counts = { in: 0, out: 0 };
let isPaused = false;

tide.onframe = (way, message, text) => {
  counts[way] += 1;
  byId(`count-${way}`).textContent = counts[way].toLocaleString();
  if (isPaused) return;
  const item = element('li', `frame frame-${way}`);
  item.classList.toggle('frame-ping', message.Action === 'ping' || message.Action === 'pong');
  item.classList.toggle('frame-error', message.Action === 'error');
  item.append(element('time', '', stopwatch.format(new Date())), element('span', 'frame-way', way === 'out' ? '↑' : '↓'), painted(text));
  item.children[1].title = way === 'out' ? 'sent' : 'received';
  append(frames, item, 150);
};

/// JSON with its keys, strings and other scalars told apart.
function painted(text) {
  const line = element('span', 'frame-text');
  const shown = text.length > 400 ? `${text.slice(0, 400)}…` : text;
  let end = 0;
  for (const match of shown.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/g)) {
    line.append(shown.slice(end, match.index));
    const kind = match[2] ? 'key' : match[1] ? 'string' : 'scalar';
    line.append(element('span', kind, match[1] ?? match[0]), match[2] ?? '');
    end = match.index + match[0].length;
  }
  line.append(shown.slice(end));
  return line;
}

byId('address').textContent = address.href;
byId('show-pings').addEventListener('change', (event) => {
  frames.classList.toggle('with-pings', event.target.checked);
  frames.scrollTop = frames.scrollHeight;
});
byId('wire-clear').addEventListener('click', () => frames.replaceChildren());
byId('wire-pause').addEventListener('click', (event) => {
  isPaused = !isPaused;
  event.target.setAttribute('aria-pressed', String(isPaused));
});

/* ---------------------------------------------------------------- the terminal -------------------------------------------------- */

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const command = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = 'Copied';
    } catch {
      // Without permission (or without TLS) the text is at least selected.
      getSelection().selectAllChildren(command);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1600);
  });
}

showLevel(slider.valueAsNumber);
tide.connect();
