// On a phone: the machine is behind the book, and what is run in it is told under the text. On a desk: both have the room they need.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { axe, browse, clean, invented, open, ready, serve, shows, text, type } from './drive.mjs';

const only = { skip: invented ? false : 'needs the invented course' };
let server, browser, page;
before(async () => {
  browser = await browse();
});
after(() => browser?.close());
beforeEach(async () => {
  server = await serve();
});
afterEach(async () => {
  await page?.close();
  await server?.stop();
});

const phone = async (more = {}) => {
  page = await open(browser, server.url, { width: 390, height: 844, ...more });
};
const tray = (part = '') => page.$eval(`.tray ${part}`, (place) => place.textContent);
/** Until the tray says how the block ended. */
const ended = (state) => page.waitForSelector(`.tray[data-state="${state}"]`, { visible: true });
const told = (part) => page.waitForFunction((wanted) => document.querySelector('.tray-body').textContent.includes(wanted), {}, part);

for (const dark of [false, true]) {
  test(`on a phone a block tells under the text what it printed (${dark ? 'dark' : 'light'})`, only, async () => {
    await phone({ dark });
    assert.equal(await page.$('.tray:not([hidden])'), null, 'nothing was run yet');
    await page.click('#run-look .run');
    await ended('ok');
    await told('v1.36.0');
    const says = await tray('.tray-body');
    assert.match(says, /kubectl get pods\n?NAME {2,}READY.*kubectl get nodes\n?NAME {2,}STATUS/s, 'a command, what it printed, and the next');
    assert.doesNotMatch(says, /laptop/, 'without the prompt');
    assert.equal(await tray('.tray-state'), 'done');
    const boxes = await page.evaluate(() => ['#run-look', '.tray', '.strip'].map((part) => document.querySelector(part).getBoundingClientRect()).map(({ top, bottom }) => ({ top, bottom })));
    const [block, under, strip] = boxes;
    assert.ok(block.top >= 48 && block.bottom <= under.top && under.bottom <= strip.top && strip.bottom <= 844, `the block is seen above what it printed: ${JSON.stringify(boxes)}`);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    await axe(page, 'what a block printed');
    await clean(page);
  });
}

test('a block that fails says so on a phone, and the next one takes its place', only, async () => {
  await phone();
  await page.click('#run-twice .run');
  await ended('failed');
  await told('the pretended kubectl knows');
  assert.equal(await tray('.tray-state'), 'exit 1');
  await axe(page, 'a block that failed');
  await page.click('#run-expected .run');
  await ended('ok');
  await told('kubectl get pods');
  assert.doesNotMatch(await tray('.tray-body'), /NAME {5}STATUS/, 'nothing of the block before');
});

test('output that ends in the middle of a line is told up to there', only, async () => {
  await phone();
  await writeFile(`${server.state}/bin/kubectl`, '#!/bin/sh\n[ "$2" = pods ] && printf "no new\\nline" || printf "%0200d" 7\n');
  await page.click('#run-look .run');
  await ended('ok');
  await told('0007');
  const pieces = await page.$$eval('.tray-body pre', (all) => all.map((piece) => piece.textContent));
  assert.deepEqual(pieces, ['no new\nline\n', `${'7'.padStart(200, '0')}\n`]);
});

test('what goes on printing is told while it does, a key that is pressed ends it', only, async () => {
  await phone();
  await page.click('#run-forward .run');
  await told('Forwarding from 127.0.0.1:8080');
  await ended('running');
  assert.match(await tray('.tray-fold'), /kubectl port-forward/);
  await page.click('.tray .act');
  await page.waitForSelector('.term', { visible: true });
  await page.keyboard.down('Control');
  await page.keyboard.press('c');
  await page.keyboard.up('Control');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await page.click('[data-panes="read"]');
  await ended('stopped');
});

test('from the tray to the terminal and back; it is folded and closed', only, async () => {
  await phone();
  await page.click('#run-look .run');
  await ended('ok');
  await page.click('.tray-fold');
  await page.waitForSelector('.tray-body', { hidden: true });
  await page.click('.tray .act');
  await page.waitForSelector('.term', { visible: true });
  await page.waitForSelector('.tray', { hidden: true });
  await shows(page, 'kubectl get nodes');
  await type(page, 'echo by-hand-$((1+1))');
  await shows(page, 'by-hand-2');
  await page.click('[data-panes="read"]');
  await page.waitForSelector('.tray', { visible: true });
  await page.click('.tray-fold');
  assert.doesNotMatch(await tray(), /by-hand/, 'what was typed by hand is not what the block printed');
  await page.click('.tray [aria-label="Close the output"]');
  await page.waitForSelector('.tray', { hidden: true });
  await page.waitForFunction(() => document.activeElement?.matches('#run-look .run'));
});

test('beside the machine there is no tray', only, async () => {
  page = await open(browser, server.url, { width: 768, height: 1024 });
  await page.click('#run-look .run');
  await page.waitForSelector('#run-look[data-run="ok"]');
  assert.equal(await page.$('.tray:not([hidden])'), null);
  assert.match(await text(page), /v1\.36\.0/);
});

/** Characters in a full line of the prose: of all paragraphs, each but for its last line, in the middle. */
const measure = () =>
  page.$$eval('#lesson .chapter > section > p', (paragraphs) => {
    const counts = [];
    for (const paragraph of paragraphs) {
      const lines = [];
      let middle = Number.NEGATIVE_INFINITY;
      const texts = document.createTreeWalker(paragraph, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        for (let at = 0; at < node.length; at++) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + 1);
          const { top, bottom } = range.getBoundingClientRect();
          if ((top + bottom) / 2 > middle + 12) {
            lines.push(0);
            middle = (top + bottom) / 2;
          }
          lines[lines.length - 1] += 1;
        }
      }
      counts.push(...lines.slice(0, -1));
    }
    return counts.sort((a, b) => a - b)[Math.floor(counts.length / 2)];
  });

for (const [width, height] of [[1440, 900], [1680, 1050], [1920, 1080]]) {
  test(`at ${width} pixels the terminal has 90 columns and a line of text is 65 to 75 characters`, only, async () => {
    page = await open(browser, server.url, { width, height });
    await type(page, 'stty size');
    await page.waitForFunction(() => /^\d+ \d+$/m.test(window.drydock.terminalText('main')));
    const columns = Number(/^\d+ (\d+)$/m.exec(await text(page))[1]);
    assert.ok(columns >= 90, `${columns} columns`);
    const characters = await measure();
    assert.ok(characters >= 65 && characters <= 75, `${characters} characters`);
  });
}

test('how the reader divided the page is kept, whatever it is by itself', only, async () => {
  page = await open(browser, server.url);
  const part = () => page.$eval('#lesson', (lesson) => lesson.getBoundingClientRect().width / (lesson.getBoundingClientRect().width + document.querySelector('.bench').getBoundingClientRect().width));
  const first = await part();
  assert.ok(first > 0.46 && first < 0.5, String(first));
  await page.focus('.split:not(.row)');
  const kept = page.waitForResponse((response) => response.url().endsWith('/api/layout'));
  for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowRight');
  const divided = await part();
  assert.ok(divided > first + 0.08, String(divided));
  await kept;
  await page.waitForFunction(() => (JSON.parse(localStorage.getItem('drydock.layout') ?? '{}').lesson ?? 0) > 0.55);
  await page.reload();
  await ready(page);
  assert.ok(Math.abs((await part()) - divided) < 0.01);
  await page.focus('.split:not(.row)');
  await page.keyboard.press('Enter');
  assert.ok(Math.abs((await part()) - first) < 0.01, 'Enter puts the line back to where it was at first');
});
