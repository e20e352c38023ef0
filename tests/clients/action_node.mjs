// The second article's page as a node program: the same script, with the WebSocket of the npm package `ws` as its browser.
//
//   arguments: SCRIPT, the page's JavaScript; ORIGIN, what stands for location.host in it, as in https://127.0.0.1:8443; CA, a file
//
// Whatever the script logs goes to standard output; each line of standard input is run in the script's own scope.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import vm from 'node:vm';

const [script, origin, ca] = process.argv.slice(2);
const Socket = createRequire(join(process.env.TIDEGATE_TEST_CLIENTS, 'npm', 'package.json'))('ws');
const trusted = readFileSync(ca);

class WebSocket extends Socket {
  constructor(url) {
    super(url, { ca: trusted, origin });
    this.on('error', () => {}); // a browser's socket does not throw: it closes
  }
}
const context = vm.createContext({
  WebSocket, location: new URL(origin), console, setTimeout, setInterval, clearInterval, clearTimeout, JSON,
});
vm.runInContext(readFileSync(script, 'utf8'), context);
for await (const line of createInterface({ input: process.stdin })) vm.runInContext(line, context);
process.exit(0);
