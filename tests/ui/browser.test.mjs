// Pages of the cluster beside the lesson: a pane with an origin of its own.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { axe, browse, clean, invented, open, serve, shows, type } from './drive.mjs';

const only = { skip: invented ? false : 'needs a program of its own' };
const seen = [];
let server, browser, program, port;
before(async () => {
  program = createServer((request, response) => {
    seen.push(request);
    if (request.url === '/old') return response.writeHead(302, { location: `http://localhost:${port}/new` }).end();
    response.writeHead(request.url === '/none' ? 404 : 200, { 'content-type': 'text/html', 'x-host': 'web-1', 'x-frame-options': 'DENY', 'set-cookie': 'own=1' });
    response.end(`<!doctype html><html lang="en"><title>App</title><body><h1>${request.url}</h1><a href="/old">old</a></body></html>`);
  });
  await new Promise((resolve) => program.listen(0, '127.0.0.1', resolve));
  port = program.address().port;
  browser = await browse();
});
beforeEach(async () => {
  server = await serve();
});
afterEach(() => server.stop());
after(async () => {
  await browser?.close();
  program?.close();
});

/** The frame of the pane, once it shows this. */
async function frame(page, heading) {
  const found = await page.waitForFrame((one) => one.url().includes('.localhost'));
  await found.waitForFunction((wanted) => document.querySelector('h1')?.textContent.includes(wanted), {}, heading);
  return found;
}

test('a port of the workstation is shown with its address, its headers, the way back, and never our cookie', only, async () => {
  const page = await open(browser, server.url);
  await page.click('.rest .tool[title="Pages of your cluster"]');
  await page.waitForSelector('.address');
  await axe(page, 'the empty pane');
  await page.type('.address', `localhost:${port}/first\r`);
  const shown = await frame(page, '/first');
  await page.waitForSelector('.browser .status:not([hidden])');
  assert.equal(await page.$eval('.address', (field) => field.value), `http://localhost:${port}/first`);
  const [high, whole] = await page.$eval('.browser-page iframe', (frame) => [frame.getBoundingClientRect().height, frame.closest('.panel').getBoundingClientRect().height]);
  assert.ok(high > whole - 60, `the page has the whole pane: ${high} of ${whole}`);
  await page.click('.browser .status');
  assert.match(await page.$eval('.headers', (list) => list.textContent), /200 OK.*x-hostweb-1/);
  assert.equal(seen.at(-1).headers.host, `localhost:${port}`);
  assert.ok(seen.every((request) => !/drydock/.test(request.headers.cookie ?? '')), 'our cookie stays here');
  await shown.$eval('a', (link) => link.click());
  await frame(page, '/new');
  await page.waitForFunction((wanted) => document.querySelector('.address').value === wanted, {}, `http://localhost:${port}/new`);
  await page.click('.browser-bar .tool[aria-label="Back"]');
  await frame(page, '/first');
  await axe(page, 'a page in the pane');
  await page.reload();
  await frame(page, '/first');
  await clean(page);
  await page.close();
});

test('what does not answer is said, and a forward is one click away', only, async () => {
  const page = await open(browser, server.url);
  await page.click('.rest .tool[title="Pages of your cluster"]');
  await page.type('.address', 'localhost:1\r');
  await frame(page, 'Nothing answers at localhost:1');
  await page.waitForSelector('.browser .status[data-fine="false"]');
  await page.click('.tab');
  await type(page, `echo "Forwarding from 127.0.0.1:${port} -> 80"; cat`);
  await shows(page, 'Forwarding from');
  await page.waitForSelector('.offered:not([hidden])');
  await page.click('.offered');
  await frame(page, '/');
  await page.keyboard.press('Escape');
  await page.click('.tab');
  await page.focus('.panel:not([hidden]) .xterm-helper-textarea');
  await page.keyboard.down('Control');
  await page.keyboard.press('c');
  await page.keyboard.up('Control');
  await page.waitForSelector('.offered', { hidden: true });
  await page.goto(`${new URL(server.url).origin}/ch03`);
  await page.waitForSelector('.page-link');
  await page.click('.page-link');
  await page.waitForFunction(() => document.querySelector('.address')?.value === 'http://localhost:8080/');
  await page.close();
});

test('a load balancer is opened from the picture, and a forward from the line of a connection', only, async () => {
  const page = await open(browser, server.url);
  await type(page, `kubectl expose web --port=${port}`);
  await page.waitForSelector('.object[data-kind="Service"] .opens');
  assert.equal(await page.$eval('.opens', (button) => button.getAttribute('aria-label')), 'Open web in the browser pane');
  await page.click('.opens');
  await frame(page, '/');
  assert.equal(await page.$eval('.address', (field) => field.value), `http://localhost:${port}/`);
  await axe(page, 'a load balancer in the pane');
  await page.click('.browser-bar .tool[aria-label="Load again"]');
  await page.click('.tab');
  await type(page, `clear; echo Handling connection "for" ${port}`);
  await shows(page, `Handling connection for ${port}`);
  await page.waitForSelector('.tab[data-mode="prompt"]');
  const place = await page.$eval('.panel:not([hidden]) .xterm-screen', (screen) => screen.getBoundingClientRect().toJSON());
  const row = await page.evaluate(() => window.drydock.terminalText('main').split('\n').findIndex((line) => line.startsWith('Handling connection')));
  const height = await page.$eval('.panel:not([hidden]) .xterm-rows, .panel:not([hidden]) .xterm-screen', (screen) => screen.getBoundingClientRect().height);
  const rows = await page.$eval('.panel:not([hidden]) .xterm-screen', (screen) => Math.round(screen.getBoundingClientRect().height / 17));
  assert.ok(row >= 0 && rows > 0);
  await page.mouse.move(place.x + 40, place.y + (row + 0.5) * (height / rows));
  await page.mouse.down();
  await page.mouse.up();
  await page.waitForSelector('.browser .address');
  await page.waitForFunction((wanted) => document.querySelector('.panel:not([hidden]) .address')?.value === wanted, {}, `http://localhost:${port}/`);
  await clean(page);
  await page.close();
});

test('a program in the pane cannot reach the page, and other sites cannot reach the program', only, async () => {
  const page = await open(browser, server.url);
  const own = new URL(server.url);
  await page.click('.rest .tool[title="Pages of your cluster"]');
  await page.type('.address', `localhost:${port}/app\r`);
  const shown = await frame(page, '/app');
  const reached = await shown.evaluate(async (origin) => {
    const ask = (path, init) => fetch(`${origin}${path}`, { credentials: 'include', ...init }).then((answer) => answer.status, () => 'refused');
    return [await ask('/api/progress'), await ask('/api/reset', { method: 'POST', body: '{}' })];
  }, own.origin);
  assert.deepEqual(reached, ['refused', 'refused']);
  const pushed = await page.evaluate((to) => fetch(to, { method: 'POST', mode: 'no-cors' }).then((answer) => answer.type, () => 'refused'), `http://p${port}.localhost:${own.port}/app`);
  assert.notEqual(pushed, 'basic');
  assert.ok(seen.every((request) => request.method === 'GET'), 'nothing was posted');
  await page.close();
});
