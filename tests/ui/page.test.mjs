// What holds on every page: readable, safe, accessible, remembered.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axe, browse, clean, invented, open, ready, serve, shows, type } from './drive.mjs';

let server, browser;
before(async () => {
  server = await serve();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('without scripts the chapter is a readable page', async () => {
  const page = await open(browser, server.url, { script: false });
  const html = await (await fetch(page.url())).text();
  assert.match(html, /<h1/);
  assert.match(html, /class="command"/);
  const height = await page.$eval('#lesson', (lesson) => lesson.getBoundingClientRect().height);
  assert.ok(height > 900, 'the whole lesson is laid out');
  await page.close();
});

test('nothing inline, nothing from elsewhere, nothing in the console', async () => {
  const page = await open(browser, server.url);
  const policy = (await fetch(page.url())).headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  if (invented) {
    await page.click('.listing[data-path] .act');
    await page.waitForSelector('.cm-content');
  }
  await page.click('.tab');
  await type(page, 'echo $((40+2))');
  await shows(page, '42');
  await clean(page);
  await page.close();
});

for (const dark of [false, true]) {
  const color = dark ? 'dark' : 'light';
  test(`axe has nothing to say (${color})`, async () => {
    const page = await open(browser, server.url, { dark });
    await axe(page, 'as it opens');
    if (invented) {
      await type(page, 'kubectl run hello-web');
      await page.waitForSelector('#check-pod-runs[data-state="fail"] .why:not([hidden])');
      await page.click('#check-pod-runs .why');
      await page.click('#check-pod-runs .hint');
      await page.waitForSelector('#check-pod-runs .hints li');
      await axe(page, 'a red check with its reasons');
      await page.click('.listing[data-path] .act');
      await page.waitForSelector('.cm-content');
      await axe(page, 'the editor');
      await page.click('button[aria-label="Close this tab"]');
      await type(page, 'kubectl reset all');
    }
    await page.click('button[aria-label="Keys and help"]');
    await axe(page, 'help');
    await page.keyboard.press('Escape');
    await page.click('.search-button');
    await axe(page, 'search');
    await page.keyboard.press('Escape');
    await page.setViewport({ width: 390, height: 844 });
    await page.click('[data-menu]');
    await page.waitForSelector('.contents[data-open]');
    await axe(page, 'contents on a phone');
    await page.close();
  });
}

test('a reload loses nothing: text, scroll, panes, colors', async () => {
  const page = await open(browser, server.url);
  await page.click('.tab');
  await type(page, 'echo remember-$((6*7))');
  await shows(page, 'remember-42');
  await page.click('[data-panes="split"]');
  await page.focus('.split:not(.row)');
  for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowLeft');
  const divided = await page.$eval('.split:not(.row)', (line) => line.getAttribute('aria-valuenow'));
  await page.$eval('#lesson', (lesson) => lesson.scrollTo(0, 700));
  await page.click('button[aria-label^="Colors"]');
  const theme = await page.evaluate(() => document.documentElement.dataset.theme);
  // Kept by the server once things are quiet; the page says when.
  await page.waitForResponse((response) => response.url().endsWith('/api/layout'));
  await page.waitForFunction(() => Math.abs(Object.values(JSON.parse(localStorage.getItem('drydock.layout')).scroll ?? {})[0] - 700) < 80);
  await page.reload();
  await ready(page);
  await shows(page, 'remember-42');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
  const now = await page.$eval('.split:not(.row)', (line) => line.getAttribute('aria-valuenow'));
  assert.ok(Math.abs(Number(now) - Number(divided)) <= 1, `${now} is not ${divided}`);
  const scrolled = await page.$eval('#lesson', (lesson) => lesson.scrollTop);
  assert.ok(Math.abs(scrolled - 700) < 80, `scrolled to ${scrolled}`);
  await page.evaluate(() => localStorage.clear());
  await page.close();
});

test('a flood can be stopped', async () => {
  const page = await open(browser, server.url);
  await page.click('.tab');
  await type(page, 'yes flood');
  await shows(page, 'flood'.repeat(30));
  await page.keyboard.down('Control');
  await page.keyboard.press('c');
  await page.keyboard.up('Control');
  // An unoptimized build on a busy machine takes its time, but not the ten seconds of a task that never yields.
  await page.waitForSelector('.tab[data-mode="prompt"]', { timeout: 6000 });
  await type(page, 'echo calm-$((20+3))');
  await shows(page, 'calm-23');
  await page.close();
});

for (const width of [320, 390, 768, 1024]) {
  test(`nothing sticks out at ${width} pixels`, async () => {
    const page = await open(browser, server.url, { width, height: 800 });
    const wide = await page.evaluate(() => ({ page: document.documentElement.scrollWidth, lesson: document.querySelector('#lesson').scrollWidth - document.querySelector('#lesson').clientWidth }));
    assert.equal(wide.page, width);
    assert.equal(wide.lesson, 0);
    await page.close();
  });
}

test('a site under another name, or a browser without the cookie, gets nothing', async () => {
  const page = await open(browser, server.url);
  const { port, origin } = new URL(server.url);
  const { request } = await import('node:http');
  const answer = (path, headers) =>
    new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, path, headers }, (got) => resolve(got.resume().statusCode));
      asked.on('error', reject).end();
    });
  assert.equal(await answer('/', { host: 'evil.example' }), 403);
  assert.equal(await answer('/api/files?path=x', {}), 401);
  const status = async (path, init) => (await fetch(`${origin}${path}`, init)).status;
  assert.equal(await status('/api/reset', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"scope":"chapter","chapter":"ch02"}' }), 401);
  assert.equal(await page.evaluate(() => document.cookie), '', 'scripts do not see the cookie');
  assert.doesNotMatch(await page.content(), /[0-9a-f]{40}/, 'nothing in the document opens anything');
  await page.close();
});

test('a link works once; without one the book can be read and says how to get in', { skip: invented ? false : 'needs a link of its own' }, async () => {
  const own = await serve();
  const page = await open(browser, own.url);
  assert.doesNotMatch(page.url(), /link/);
  await page.close();
  const other = await browser.createBrowserContext();
  const stranger = await open(other, own.url, { enters: false });
  await stranger.waitForSelector('.reading');
  assert.match(await stranger.$eval('.reading', (notice) => notice.textContent), /has been used.*drydock serve/s);
  assert.match(await stranger.$eval('#lesson h1', (title) => title.textContent), /Pods/);
  assert.equal(await stranger.$('.bench'), null);
  await axe(stranger, 'the book alone');
  await stranger.goto(own.url.replace(/#.*/, 'ch03'));
  await stranger.waitForSelector('.reading');
  assert.doesNotMatch(await stranger.$eval('.reading', (notice) => notice.textContent), /has been used/);
  await clean(stranger);
  await other.close();
  await own.stop();
});

test('a browser that loses its cookie is told, and comes back with a fresh link', { skip: invented ? false : 'needs a link of its own' }, async () => {
  const own = await serve();
  const page = await open(browser, own.url);
  await browser.deleteMatchingCookies({ name: `drydock-${new URL(own.url).port}`, url: own.url });
  await own.stop();
  const again = await serve({ port: new URL(own.url).port, state: own.state });
  await page.waitForSelector('.reading', { timeout: 20_000 });
  await page.goto(again.url.replace('/#', '/ch02#'));
  await page.reload();
  await ready(page);
  await page.close();
  await again.stop();
});

test('the whole track: chapters, minutes, how far, and the way on', { skip: invented ? false : 'needs the invented course' }, async () => {
  const own = await serve();
  const page = await open(browser, own.url, { path: '/' });
  await page.waitForSelector('.track li:nth-child(6)');
  assert.match(await page.$eval('.resume', (row) => row.textContent), /Begin with chapter 2/);
  assert.match(await page.$eval('.track li:nth-child(2) .facts', (facts) => facts.textContent), /27 min · 3 exercises · 1 lab/);
  await page.goto(`${new URL(own.url).origin}/ch02#kill-it`);
  await ready(page);
  await page.click('#run-run-hello .run');
  await page.waitForSelector('#check-pod-runs[data-state="pass"]');
  await page.click('.brand');
  await page.waitForFunction(() => document.querySelector('.resume')?.textContent.includes('Continue'));
  await page.waitForFunction(() => document.querySelector('.track li:nth-child(2) .far')?.textContent === '1 of 7 checks');
  await axe(page, 'the whole track');
  await page.click('.resume .button');
  await ready(page);
  assert.match(page.url(), /ch02#/);
  assert.match(await page.$eval('.neighbors', (nav) => nav.textContent), /Next3 Connecting Pods with Services/);
  await page.keyboard.press('/');
  await page.waitForSelector('dialog.search[open]');
  await page.keyboard.type('book 2.4');
  await page.waitForFunction(() => document.querySelectorAll('#found li').length === 1);
  await clean(page);
  // What chapters say that are not open is found too, and shown where it stands.
  await page.goto(new URL(own.url).origin);
  await page.waitForSelector('.track');
  await page.keyboard.press('/');
  await page.waitForSelector('dialog.search[open]');
  await page.keyboard.type('nobody says this');
  await page.waitForFunction(() => document.querySelector('.search-empty')?.textContent.startsWith('Nothing found'));
  await page.$eval('dialog.search input', (input) => (input.value = ''));
  await page.keyboard.type('kubelet FETCHES');
  await page.waitForFunction(() => /chapter 2, How a container comes to run/.test(document.querySelector('#found li .where')?.textContent));
  await axe(page, 'search in other chapters');
  await page.keyboard.press('Enter');
  await ready(page);
  assert.match(page.url(), /ch02#how-containers-run/);
  await page.waitForFunction(() => /the kubelet of that node fetches/.test(document.activeElement?.textContent) && document.activeElement.tagName === 'P');
  for (const width of [320, 1440]) {
    await page.setViewport({ width, height: 800 });
    await page.goto(new URL(own.url).origin);
    await page.waitForSelector('.track');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  }
  await page.close();
  await own.stop();
});
