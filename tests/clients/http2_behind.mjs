// Servers behind that speak HTTP/2, and a client before them: commands as JSON lines on standard input, events on standard output.
//
//   arguments: CERT, KEY, CA, files
//   {"event":"ready","clear":PORT,"tls":PORT}            the servers, without TLS and with it
//   {"do":"ask","url":URL,"fields":{…},"pieces":[TEXT,…],"trailers":{…}}    a request; {"event":"answer",…} is what came, or "failed"
//
// The servers send back each piece of content as it comes, and behind it what they have heard as trailers, as gRPC has its status there.
import http2 from 'node:http2';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path));
const emit = (event) => process.stdout.write(JSON.stringify(event) + '\n');

function serve(stream, headers) {
  stream.on('error', () => {});
  if (headers[':path'].endsWith('/cut')) {
    stream.respond({ ':status': 200 });
    // close() would end it well before.
    stream.write('part', () => setImmediate(() => stream.destroy(new DOMException('', 'AbortError'))));
    return;
  }
  const heard = { ':status': 200, 'content-type': 'application/grpc', 'x-asked': headers[':authority'] + headers[':path'] };
  if (headers[':protocol']) {
    stream.respond(heard);
  } else {
    stream.respond(heard, { waitForTrailers: true });
    const trailers = { 'grpc-status': '0', 'x-te': headers.te ?? 'none' };
    stream.on('trailers', (sent) => Object.assign(trailers, { 'x-sent': sent['x-sent'] ?? 'none' }));
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  }
  stream.pipe(stream);
}

async function ask({ url, fields, pieces, trailers }) {
  const { origin, pathname, search } = new URL(url);
  const session = http2.connect(origin, { ca });
  session.on('error', (error) => emit({ event: 'failed', reason: error.message }));
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  const isConnect = ':protocol' in fields;
  const head = { ':path': pathname + search, ':method': isConnect ? 'CONNECT' : 'POST', ...fields };
  const stream = session.request(head, { waitForTrailers: !isConnect });
  const answer = { event: 'answer', pieces: [] };
  stream.on('response', (headers) => Object.assign(answer, { head: headers }));
  stream.on('trailers', (headers) => Object.assign(answer, { trailers: headers }));
  stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
  stream.on('error', (error) => emit({ event: 'failed', reason: error.code }));
  stream.setEncoding('utf8');
  // Each piece has to have come back before the next one goes: both sides talk at once, or this never ends.
  const rest = [...pieces];
  const next = () => (rest.length > 0 ? stream.write(rest.shift()) : stream.end());
  stream.on('data', (piece) => (answer.pieces.push(piece), next()));
  stream.on('end', () => {
    if (stream.rstCode === 0) emit(answer);
    session.close();
  });
  next();
}

const settings = { enableConnectProtocol: true };
const servers = [http2.createServer({ settings }), http2.createSecureServer({ settings, cert, key })];
for (const server of servers) {
  server.on('stream', serve);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}
emit({ event: 'ready', clear: servers[0].address().port, tls: servers[1].address().port });
for await (const line of createInterface({ input: process.stdin })) ask(JSON.parse(line));
process.exit(0);
