// Drives one headless Chromium for a test: commands as JSON lines on standard input, events as JSON lines on standard output.
//
//   {"do":"open","page":NAME,"url":URL}                 a new page; {"event":"opened","page":NAME} once it has loaded
//   {"do":"evaluate","page":NAME,"script":JS,"argument":ANY}     runs `async (argument) => { JS }` in the page
//   {"do":"screenshot","page":NAME,"path":FILE}
//   {"do":"close","page":NAME}
//
// A line that a page writes with console.log comes out as it is, if it is a JSON object, with the page's name added.
// Standard input's end ends the browser.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const clients = process.env.TIDEGATE_TEST_CLIENTS;
const { chromium } = createRequire(join(clients, 'npm', 'package.json'))('playwright-core');

const emit = (event) => process.stdout.write(JSON.stringify(event) + '\n');

// The page has no business outside this machine, and the browser none of its own.
const browser = await chromium.launch({
  executablePath: process.env.TIDEGATE_TEST_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
  ],
});
const context = await browser.newContext({ ignoreHTTPSErrors: true });
const pages = new Map();

function onConsole(name, text) {
  try {
    const event = JSON.parse(text);
    if (event !== null && typeof event === 'object') return emit({ ...event, page: name });
  } catch { /* not JSON: somebody's plain words */ }
  emit({ event: 'console', page: name, text });
}

const commands = {
  async open({ page: name, url }) {
    const page = await context.newPage();
    pages.set(name, page);
    page.on('console', (message) => onConsole(name, message.text()));
    page.on('pageerror', (error) => emit({ event: 'pageerror', page: name, text: String(error) }));
    page.on('request', (request) => emit({ event: 'request', page: name, url: request.url() }));
    const response = await page.goto(url);
    emit({ event: 'opened', page: name, status: response.status() });
  },
  async evaluate({ page: name, script, argument }) {
    const run = ([body, value]) => new (Object.getPrototypeOf(async () => {}).constructor)('argument', body)(value);
    const value = await pages.get(name).evaluate(run, [script, argument]);
    emit({ event: 'evaluated', page: name, value: value ?? null });
  },
  async screenshot({ page: name, path }) {
    await pages.get(name).screenshot({ path });
    emit({ event: 'shot', page: name });
  },
  async close({ page: name }) {
    await pages.get(name).close();
    pages.delete(name);
    emit({ event: 'closed', page: name });
  },
};

emit({ event: 'ready', version: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    await commands[command.do](command);
  } catch (error) {
    emit({ event: 'failed', command: command.do, page: command.page, text: String(error) });
  }
}
await browser.close();
