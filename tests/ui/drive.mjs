// Starts the page and a browser, and drives both. Nothing here waits for a time: only for what the page shows.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

/** The invented course is there: its blocks and checks are known by name. */
export const invented = !process.env.DRYDOCK_URL;
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** A server of our own with an empty memory, or the one of DRYDOCK_URL; on the port and with the memory of an earlier one when told. */
export async function serve({ port = 0, state } = {}) {
  if (!invented) return { url: process.env.DRYDOCK_URL, stop: async () => {} };
  state ??= await mkdtemp(join(tmpdir(), 'drydock-ui-'));
  const server = spawn(process.env.DRYDOCK_DEV, ['--port', String(port), '--boot', '100', '--state', state], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [url] = await once(createInterface({ input: server.stdout }), 'line');
  const stop = async () => {
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
  states.add(state);
  return { url, state, stop };
}

const states = new Set();
process.on('exit', () => states.forEach((state) => rmSync(state, { recursive: true, force: true })));

export async function browse() {
  return puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
}

/** A page that remembers everything it should not have done. */
export async function open(browser, url, { width = 1440, height = 900, dark = false, script = true, enters = true, path } = {}) {
  const page = await browser.newPage();
  const trouble = [];
  page.on('pageerror', (error) => trouble.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A refusal of the server (4xx) is an answer; the browser logs it all the same.
    const refusal = /the server responded with a status of 4\d\d/.test(message.text());
    if (message.type() === 'error' && !refusal) trouble.push(`console: ${message.text()}`);
  });
  const home = new URL(url).host;
  page.on('request', (request) => {
    const to = new URL(request.url());
    const pane = to.hostname.endsWith('.localhost') && to.port === new URL(url).port;
    if (!['data:', 'blob:'].includes(to.protocol) && to.host !== home && !pane) trouble.push(`request: ${to}`);
  });
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  // A link works once, and several browsers come here.
  if (process.env.DRYDOCK_COOKIE) await browser.setCookie(JSON.parse(process.env.DRYDOCK_COOKIE));
  await page.setViewport({ width, height });
  await page.setJavaScriptEnabled(script);
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ]);
  // A server's own address is that of the whole track; what is tested is a chapter, unless said otherwise.
  await page.goto(path === undefined && new URL(url).pathname === '/' ? url.replace(/\/(?=#|$)/, '/ch02') : url);
  if (script && enters && path === undefined) await ready(page);
  return Object.assign(page, { trouble });
}

/** The cluster is ready and the shell waits at its prompt. */
export async function ready(page) {
  await page.waitForSelector('.chip[data-state="ready"]');
  await page.waitForSelector('.tab[data-mode="prompt"], .tab[data-mode="busy"]');
}

export const text = (page, session = 'main') => page.evaluate((name) => window.drydock.terminalText(name) ?? '', session);

/** Until the terminal shows this. */
export async function shows(page, wanted, session = 'main') {
  const seen = (name, part) => (window.drydock.terminalText(name) ?? '').replaceAll('\n', '').includes(part);
  await page.waitForFunction(seen, { timeout: 10_000 }, session, wanted).catch(async () => {
    assert.fail(`the terminal does not show ${JSON.stringify(wanted)} but\n${await text(page, session)}`);
  });
}

/** Type a line into the terminal that has a prompt. */
export async function type(page, line) {
  await page.focus('.panel:not([hidden]) .xterm-helper-textarea');
  await page.keyboard.type(`${line}\r`);
}

export const state = (page, check, wanted) => page.waitForSelector(`#check-${check}[data-state="${wanted}"]`, { timeout: 10_000 });

/** What axe has to say; nothing, if all is well. */
export async function axe(page, name) {
  await page.evaluate(AXE);
  // Colors are measured where they are at rest.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const says = violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary.replaceAll('\n', ' ')}`));
  assert.deepEqual(says, [], name);
}

/** Nothing was asked of another host, nothing was logged, nothing broke the content security policy. */
export async function clean(page) {
  assert.deepEqual(page.trouble, []);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
}
