// A learner at work: run, see green, see why not, ask for a hint, answer, solve the lab; with the keyboard alone too.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { axe, browse, clean, invented, open, ready, serve, shows, state, text, type } from './drive.mjs';

/** Click the button with this text in the open dialog. */
const press = (page, text) => page.$$eval('dialog[open] button', (all, wanted) => all.find((button) => button.textContent === wanted).click(), text);
const only = { skip: invented ? false : 'needs the invented course' };
let server, browser, page;
before(async () => {
  browser = await browse();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  await page?.close();
  await server?.stop();
  server = await serve();
  page = await open(browser, server.url);
  await page.evaluate(() => localStorage.clear());
});

test('a click runs a block, its check turns green by itself and stays so', only, async () => {
  await page.click('#run-run-hello .run');
  await shows(page, 'pod/hello-kiamol created');
  await state(page, 'pod-runs', 'pass');
  await page.waitForSelector('#run-run-hello[data-run="ok"]');
  assert.equal(await page.$eval('[data-contents] li[data-chapter="ch02"] [data-tally]', (tally) => tally.textContent), '1/7');
  await page.reload();
  await ready(page);
  await state(page, 'pod-runs', 'pass');
  await shows(page, 'pod/hello-kiamol created');
  await clean(page);
});

test('a block of several commands is typed one after the other', only, async () => {
  await page.click('#run-look .run');
  await page.waitForSelector('#run-look[data-run="ok"]');
  const shown = await text(page);
  assert.ok(shown.indexOf('kubectl get pods') < shown.indexOf('READY'), shown);
  assert.ok(shown.indexOf('READY') < shown.indexOf('kubectl get nodes'), shown);
});

test('a line that fails stops its block, which says where and goes on when told; one that should fail does not', only, async () => {
  await page.click('#run-twice .run');
  await page.waitForSelector('#run-twice[data-run="failed"] .halted');
  assert.match(await page.$eval('#run-twice .halted p', (says) => says.textContent), /Stopped at kubectl teach me with exit code 1; the line after it was not typed/);
  assert.doesNotMatch(await text(page), /kubectl get pods/);
  await axe(page, 'a block that was halted');
  await page.reload();
  await ready(page);
  await page.waitForSelector('#run-twice .halted');
  await page.click('#run-twice .halted-ways .act:last-child');
  await page.waitForSelector('#run-twice[data-run="ok"]');
  assert.equal(await page.$('#run-twice .halted'), null);
  assert.equal((await text(page)).split('kubectl get nodes').length, 2, 'the first line was typed once');
  await page.click('#run-expected .run');
  await page.waitForSelector('#run-expected[data-run="ok"]');
});

test('a key of the lesson is pressed in its terminal, but does not end a shell that waits', only, async () => {
  await page.click('#run-step-out .run');
  await page.waitForSelector('.banner');
  assert.match(await page.$eval('.banner', (note) => note.textContent), /nothing runs in this terminal/i);
  await type(page, 'cat');
  await page.waitForSelector('.tab[data-mode="busy"]');
  await page.click('#run-step-out .run');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await clean(page);
});

for (const program of ['cat', 'vi']) {
  test(`nothing is typed into ${program}`, only, async (t) => {
    await type(page, `command -v ${program} || echo no-such-program`);
    await page.waitForFunction(() => /^(\/|no-such)/m.test(window.drydock.terminalText('main')));
    if ((await text(page)).split('\n').includes('no-such-program')) return t.skip(`there is no ${program} here`);
    await page.waitForSelector('.tab[data-mode="prompt"]');
    await type(page, program);
    await page.waitForSelector('.tab[data-mode="busy"]');
    await page.click('#run-run-hello .run');
    await page.waitForSelector('dialog[open]');
    assert.match(await page.$eval('dialog h2', (title) => title.textContent), new RegExp(program));
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { hidden: true });
    assert.doesNotMatch(await text(page), /kubectl run/);
    await page.click('#run-run-hello .run');
    await page.waitForSelector('dialog[open] .main');
    await page.click('dialog .main');
    await shows(page, 'pod/hello-kiamol created', 't2');
    await state(page, 'pod-runs', 'pass');
    assert.doesNotMatch(await text(page), /kubectl run/);
  });
}

test('a program that was interrupted makes room for the block', only, async () => {
  await type(page, 'cat');
  await page.waitForSelector('.tab[data-mode="busy"]');
  await page.click('#run-run-hello .run');
  await page.waitForSelector('dialog[open]');
  await press(page, 'Interrupt cat and run');
  await shows(page, 'pod/hello-kiamol created');
  await state(page, 'pod-runs', 'pass');
  await page.waitForSelector('#run-run-hello[data-run="ok"]');
});

test('a drill that is done has its circle filled, and counts nowhere else', only, async () => {
  const item = '[data-contents] li[data-checks="drilled"]';
  await page.waitForSelector(`${item}[data-done="none"]`);
  assert.equal(await page.$eval('#check-drilled .say strong', (strong) => strong.textContent), 'and');
  await type(page, 'kubectl delete pod hello-kiamol');
  await page.waitForSelector(`${item}[data-done="all"]`);
  await page.waitForSelector('#drill[data-done="true"]');
  assert.match(await page.$eval('[data-progress-text]', (tally) => tally.textContent), / of 7$/);
});

test('a cordoned node is told in the picture and above it', only, async () => {
  const says = (selector) => page.$eval(selector, (place) => place.textContent);
  await type(page, 'kubectl cordon node-1');
  await page.waitForSelector('.node[data-cordoned]');
  assert.equal(await says('.node .is'), 'Ready, cordoned');
  assert.match(await says('.chip-text'), /^1 node Ready, cordoned/);
  await page.waitForFunction(() => /kubectl cordon node-1Node cordoned/.test(document.querySelector('.strip').textContent));
  await axe(page, 'a cordoned node');
  await type(page, 'kubectl uncordon node-1');
  await page.waitForSelector('.node:not([data-cordoned])');
});

test('Pods without a node stand together, beside the nodes', only, async () => {
  await type(page, 'kubectl create deployment web');
  await page.waitForSelector('.object[data-kind="Pod"][data-ready]');
  await page.waitForSelector('.node[data-none]', { hidden: true });
  await type(page, 'kubectl wait for a node');
  await page.waitForSelector('.node[data-none]:not([hidden]) .object[data-kind="Pod"]');
  assert.match(await page.$eval('.node[data-none]', (place) => place.textContent), /^No node yet.*Pending/);
  assert.deepEqual(await page.$$eval('.owners .object', (all) => all.map((object) => object.dataset.kind)), ['Deployment', 'ReplicaSet']);
});

test('the page stays where it is, wherever the reader jumps; tabs belong to their chapter', only, async () => {
  await page.click('[data-menu]');
  await page.waitForSelector('.contents[data-open]');
  await page.$$eval('[data-contents] a', (links) => links.at(-1).scrollIntoView());
  await page.click('[data-contents] a[href="/ch02#lab"]');
  assert.deepEqual(await page.evaluate(() => [document.scrollingElement.scrollTop, document.scrollingElement.scrollHeight - innerHeight]), [0, 0]);
  await page.waitForSelector('[data-contents] a[href="/ch02#lab"][aria-current]');
  await page.click('button[title="Open a file in the editor"]');
  await page.waitForSelector('dialog[open] #which-file');
  assert.equal(await page.$eval('#which-file', (input) => input.value), 'lunches/ch02-lab/', 'the directory of the lab that is open');
  assert.match(await page.$eval('dialog[open]', (dialog) => dialog.textContent), /A name that is not there yet makes a new file\./);
  await page.keyboard.type('pod.yaml\r');
  await page.waitForSelector('.cm-content');
  assert.equal((await page.$$('.tab')).length, 2);
  await page.goto(`${new URL(server.url).origin}/ch03`);
  await ready(page);
  assert.equal((await page.$$('.tab')).length, 1);
});

test('a red check says what it saw and wanted, then where to look', only, async () => {
  await type(page, 'kubectl run hello-web');
  await state(page, 'pod-runs', 'fail');
  assert.match(await page.$eval('#check-pod-runs [data-note]', (note) => note.textContent), /hello-web, not hello-kiamol/);
  await page.click('#check-pod-runs .why');
  assert.deepEqual(await page.$$eval('#check-pod-runs dd', (all) => all.map((dd) => dd.textContent)), ['pod/hello-web metadata.name', 'hello-web', 'hello-kiamol', 'the answer', 'no answer', 'an answer']);
  await page.click('#check-pod-runs .why-panel .act');
  assert.match(await page.$eval('#check-pod-runs .why-panel', (panel) => panel.textContent), /Compare the name/);
  await page.click('#check-pod-runs .object-link');
  await page.waitForSelector('.object[data-lit]');
});

test('hints come one by one and are remembered', only, async () => {
  await page.click('#check-pod-runs .hint');
  await page.waitForSelector('#check-pod-runs .hints li:nth-child(1)');
  await page.click('#check-pod-runs .hint');
  await page.waitForSelector('#check-pod-runs .hints li:nth-child(2)');
  await page.reload();
  await ready(page);
  await page.waitForSelector('#check-pod-runs .hints li:nth-child(2)');
  assert.equal(await page.$eval('#check-pod-runs .hint', (button) => button.textContent), 'Hint 3 of 3');
});

test('an answer is judged, explained and remembered; a prediction when what it is about has happened', only, async () => {
  const form = 'form[data-ask="predict-replace"]';
  const told = () => page.$eval(`${form} .because`, (because) => because.checkVisibility() && [...because.querySelectorAll('.for-now, b')].filter((part) => getComputedStyle(part).visibility !== 'hidden').map((part) => part.textContent)[0]);
  await page.click(`${form} .option:nth-child(2)`);
  await page.click(`${form} button`);
  await page.waitForSelector(`${form}[data-correct="later"]`);
  assert.match(await told(), /Noted\. Now run it and see/);
  await page.reload();
  await ready(page);
  await page.waitForSelector(`${form}[data-correct="later"]`);
  const height = await page.$eval(form, (asked) => asked.getBoundingClientRect().height);
  await page.click('#run-remove .run');
  await page.waitForSelector(`${form}[data-correct="true"]`);
  assert.equal(await told(), 'You saw it coming.');
  assert.equal(await page.$eval(form, (asked) => asked.getBoundingClientRect().height), height, 'nothing moves');
  await page.reload();
  await ready(page);
  await page.waitForSelector(`${form}[data-correct="true"]`);
  assert.equal(await page.$eval(`${form} input:checked`, (input) => input.value), 'A new container in the same Pod');
  await page.type('form[data-ask="which-ip"] input', '10.0.0.1\r');
  await page.waitForSelector('form[data-ask="which-ip"][data-correct="false"]');
  const why = () => page.$eval('form[data-ask="which-ip"] .because', (because) => because.innerHTML);
  assert.equal(await why(), '<b>Not yet.</b> Look again and try once more.', 'a wrong answer gives nothing away');
  await page.reload();
  await ready(page);
  await page.waitForSelector('form[data-ask="which-ip"][data-correct="false"]');
  assert.doesNotMatch(await why(), /kubelet/);
  await page.$eval('form[data-ask="which-ip"] input', (input) => input.select());
  await page.type('form[data-ask="which-ip"] input', '127.0.0.1\r');
  await page.waitForSelector('form[data-ask="which-ip"][data-correct="true"]');
  assert.match(await why(), /The kubelet <em>compares<\/em>.*<code>uid<\/code>/);
});

test('a block that is typed by hand counts, and its prediction is told', only, async () => {
  const form = 'form[data-ask="predict-replace"]';
  await page.click(`${form} .option:nth-child(1)`);
  await page.click(`${form} button`);
  await page.waitForSelector(`${form}[data-correct="later"]`);
  await type(page, 'kubectl  delete pod hello-kiamol');
  await page.waitForSelector(`${form}[data-correct="false"]`);
  await page.waitForSelector('#run-remove[data-run="before"]');
});

test('the lines of a block, typed one after the other, are that block; another line between them is not', only, async () => {
  await type(page, 'kubectl get pods');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await type(page, 'pwd');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await type(page, 'kubectl get nodes');
  await shows(page, 'kubectl get nodes');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  assert.equal(await page.$eval('#run-look', (block) => block.dataset.run), '');
  await type(page, 'kubectl get pods');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await type(page, 'kubectl get nodes');
  await page.waitForSelector('#run-look[data-run="before"]');
});

test('the last command is undone, and the page says what came back', only, async () => {
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await page.waitForSelector('.strip-open[title^="Take back: kubectl run hello-kiamol"]:not([hidden])');
  await page.waitForSelector('.object[data-kind="Pod"]');
  await page.click('.strip-open[title^="Take back"]');
  await page.waitForSelector('.banner');
  assert.match(await page.$eval('.banner', (note) => note.textContent), /Undid kubectl run hello-kiamol: 1 Pod deleted\./);
  await page.waitForSelector('.object[data-kind="Pod"]', { hidden: true });
  await page.waitForSelector('.strip-open[title^="Take back"]', { hidden: true });
  assert.match(await page.$eval('.strip', (strip) => strip.textContent), /undo kubectl run hello-kiamol/);
  await state(page, 'pod-runs', 'todo');
  await clean(page);
});

for (const [width, height] of [[390, 844], [1440, 900]]) {
  test(`a note has a row of its own at ${width} pixels, and covers nothing`, only, async () => {
    await page.setViewport({ width, height });
    await page.click('#run-run-hello .run');
    await state(page, 'pod-runs', 'pass');
    await page.waitForSelector('.strip-open[title^="Take back"]:not([hidden])');
    await page.$$eval('.strip-open', (all) => all.find((button) => button.textContent === 'Undo').click());
    await page.waitForSelector('.banner');
    const [desk, note, strip] = await page.evaluate(() => ['.desk', '.banner', '.strip'].map((part) => document.querySelector(part).getBoundingClientRect()).map(({ top, bottom, left, right }) => ({ top, bottom, left, right })));
    assert.ok(desk.bottom <= note.top && note.bottom <= strip.top && strip.bottom <= height, JSON.stringify([desk, note, strip]));
    assert.deepEqual([note.left, note.right], [0, width]);
    assert.ok(note.bottom - note.top < (width < 900 ? 100 : 42), JSON.stringify(note));
    if (width > 900) await axe(page, 'a note');
  });
}

test('a shell in a Pod is left with exit: no button promises to interrupt it', only, async () => {
  await type(page, 'kubectl exec -it hello-kiamol -- sh');
  await page.waitForSelector('.tab[data-mode="busy"]');
  await page.click('#run-run-hello .run');
  await page.waitForSelector('dialog[open]');
  const says = await page.$eval('dialog[open]', (dialog) => dialog.textContent);
  assert.match(says, /kubectl exec -it hello-kiamol -- sh\. Ctrl\+C does not end a shell; go to the terminal and type exit\./);
  assert.deepEqual(await page.$$eval('dialog[open] button', (all) => all.map((button) => button.textContent)), ['Cancel', 'Go to the terminal', 'Run in a new terminal']);
  await axe(page, 'the dialog of a shell in a Pod');
});

test('an exercise is put back to where it began, time is skipped', only, async () => {
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await page.click('#run-a-pod .put-back');
  await page.waitForSelector('dialog[open]');
  assert.match(await page.$eval('dialog[open]', (dialog) => dialog.textContent), /Cluster, files and checks are as when “.+” began\./);
  await axe(page, 'the question before an exercise is put back');
  await press(page, 'Put it back');
  await page.waitForSelector('.object[data-kind="Pod"]', { hidden: true });
  await state(page, 'pod-runs', 'todo');
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await page.reload();
  await ready(page);
  await state(page, 'pod-runs', 'pass');
  await page.keyboard.press('Escape');
  await page.focus('#lesson');
  await page.keyboard.press('r');
  await page.waitForSelector('dialog[open] .ways');
  await press(page, '5 min');
  await page.waitForFunction(() => document.querySelector('.banner')?.textContent.includes('5m have passed'));
});

test('an exercise begins when the one before it is done: a mistake typed before its first block is put back too', only, async () => {
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await type(page, 'kubectl exec hello-kiamol');
  await state(page, 'looked-inside', 'pass');
  await page.waitForSelector('#run-a-pod[data-done="true"]');
  await type(page, 'exit');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await type(page, 'kubectl create deployment mistake');
  await page.waitForSelector('.object[data-kind="Deployment"]');
  await page.click('#run-remove .run');
  await state(page, 'replaced', 'pass');
  await page.click('#kill-it .put-back');
  await press(page, 'Put it back');
  await page.waitForSelector('.object[data-kind="Deployment"]', { hidden: true });
  await page.waitForFunction(() => [...document.querySelectorAll('.object[data-kind="Pod"] .name')].some((name) => name.textContent === 'hello-kiamol'));
  await page.waitForSelector('#check-replaced:not([data-state="pass"])');
  await state(page, 'pod-runs', 'pass');
  await page.waitForSelector('#run-remove[data-run=""]');
});

test('a lab is put back to when nothing of it was done', only, async () => {
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await type(page, 'kubectl create deployment whoami');
  await state(page, 'deployment', 'pass');
  await type(page, 'kubectl port-forward deploy/whoami 8080:80');
  await state(page, 'lab-forward', 'pass');
  await page.waitForSelector('#lab .put-back:not([hidden])');
  await page.click('#lab .put-back');
  await press(page, 'Put it back');
  await page.waitForSelector('#check-lab-forward:not([data-state="pass"])');
  await page.waitForSelector('.object[data-kind="Deployment"]');
  await clean(page);
});

test('a way back goes to its end although the page was loaded again meanwhile', only, async () => {
  await page.click('#run-run-hello .run');
  await state(page, 'pod-runs', 'pass');
  await type(page, 'kubectl slow resets');
  await page.waitForSelector('.tab[data-mode="prompt"]');
  await page.click('button[aria-label="Go back, or ahead"]');
  await page.waitForSelector('dialog[open] .ways');
  await press(page, 'Start again…');
  await page.waitForSelector('dialog[open] .danger');
  await page.click('dialog .danger');
  await page.waitForSelector('.boot [data-resetting]');
  await axe(page, 'putting things back');
  await page.reload();
  await page.waitForSelector('.boot [data-resetting]');
  await writeFile(`${server.state}/events`, 'fast resets\n');
  await page.waitForFunction(() => document.querySelector('.banner span')?.textContent === 'The chapter begins anew.');
  await ready(page);
  await state(page, 'pod-runs', 'todo');
  await page.waitForSelector('.boot', { hidden: true });
});

test('terminals begin in the directory of the chapter; after a restart they show what they showed, where they were', only, async () => {
  await shows(page, 'laptop:~/ch02');
  await page.click('button[aria-label="New terminal"]');
  await shows(page, 'laptop:~/ch02', 't2');
  await page.click('.tab');
  await page.click('#run-run-hello .run');
  await page.waitForSelector('#run-run-hello[data-run="ok"]');
  await page.click('#run-twice .run');
  await page.waitForSelector('#run-twice[data-run="failed"]');
  await type(page, 'mkdir -p deep/er; cd deep; echo kept-$((40+2))');
  await shows(page, 'kept-42');
  // It is written down a moment after the prompt.
  const written = () => readFile(`${server.state}/progress/terminals/main.screen`, 'utf8').catch(() => '');
  for (const began = Date.now(); !(await written()).includes('kept-42'); ) {
    assert.ok(Date.now() - began < 30_000, 'the screen was not written down');
    await new Promise((again) => setTimeout(again, 50));
  }
  await server.stop();
  server = await serve({ port: Number(new URL(server.url).port), state: server.state });
  await page.reload();
  await ready(page);
  await shows(page, 'kept-42');
  await shows(page, 'this is a new shell where the old one was');
  await type(page, 'pwd');
  await shows(page, '/home/ch02/deep');
  await page.waitForSelector('#run-run-hello[data-run="ok"] .result');
  assert.equal(await page.$eval('#run-run-hello .result', (result) => result.textContent), 'done');
  await page.waitForSelector('#run-twice[data-run="failed"]');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await page.waitForFunction(() => window.drydock.terminalText('main').split('mkdir -p deep').length === 3);
});

test('another chapter is read beside the cluster of the first, and set up when told; the first is kept', only, async () => {
  await page.click('#run-run-hello .run');
  await page.waitForSelector('.object[data-kind="Pod"][data-ready]');
  const { origin } = new URL(server.url);
  await page.goto(`${origin}/ch03`);
  await ready(page);
  await page.waitForSelector('.scene:not([hidden])');
  assert.match(await page.$eval('.scene', (bar) => bar.textContent), /as you left it in chapter 2/);
  await page.waitForFunction(() => document.querySelector('#check-greeted [data-note]').textContent.startsWith('Choose above the terminal how chapter 3 begins'));
  await axe(page, 'the scene of another chapter');
  await page.waitForSelector('.object[data-kind="Pod"]');
  await page.click('#run-greet .run');
  await page.waitForSelector('dialog[open] .main');
  await page.click('dialog .main');
  await page.waitForSelector('#run-greet[data-run="ok"]');
  await page.waitForSelector('.scene', { hidden: true });
  await page.waitForSelector('.object[data-kind="Pod"]', { hidden: true });
  await page.waitForFunction(() => document.querySelector('.banner span')?.textContent === 'Chapter 3 is set up; what you did in chapter 2 is kept.');
  await page.waitForFunction(() => !document.querySelector('#check-greeted [data-note]').textContent.startsWith('Choose'));
  await page.goto(`${origin}/ch02`);
  await ready(page);
  await page.waitForSelector('.scene:not([hidden]) .main');
  await page.click('.scene .main');
  await page.waitForSelector('.object[data-kind="Pod"]');
  await state(page, 'pod-runs', 'pass');
});

test('what was typed before a chapter was set up was not run in it', only, async () => {
  await page.goto(`${new URL(server.url).origin}/ch03`);
  await ready(page);
  await page.waitForSelector('.scene:not([hidden]) .main');
  await type(page, 'kubectl get pods');
  await page.waitForSelector('#run-greet[data-run="before"]');
  await page.click('.scene .main');
  await page.waitForSelector('.scene', { hidden: true });
  await page.waitForSelector('#run-greet[data-run=""]');
});

test('progress that is not kept is said for as long as it is so', only, async () => {
  await type(page, 'kubectl full disk');
  await page.waitForSelector('.trouble-banner');
  assert.match(await page.$eval('.trouble-banner', (line) => line.textContent), /no space left on the disk\. What you do now is lost/);
  await axe(page, 'progress is not kept');
  await page.reload();
  await page.waitForSelector('.trouble-banner');
  await ready(page);
  await type(page, 'kubectl room again');
  await page.waitForSelector('.trouble-banner', { hidden: true });
});

test('what commands set in motion is told in its order, and again after a reload', only, async () => {
  await type(page, 'kubectl create deployment web');
  await page.waitForFunction(() => document.querySelector('.strip ol')?.textContent.includes('Deployment ready'));
  const told = () => page.$$eval('.strip ol li', (all) => all.map((item) => item.textContent));
  const before = await told();
  assert.deepEqual(before, ['Deployment created', 'ReplicaSet created', 'Pod created', 'Pod on node-1', 'Pod ready', 'ReplicaSet ready', 'Deployment ready']);
  await page.reload();
  await ready(page);
  await page.waitForSelector('.strip ol li');
  assert.deepEqual(await told(), before);
  await page.click('.strip-open');
  await page.waitForSelector('dialog .timeline li');
  assert.match(await page.$eval('dialog .timeline code', (line) => line.textContent), /kubectl create deployment web/);
  await page.$$eval('dialog .timeline summary', (all) => all.at(-1).click());
  await page.waitForFunction(() => document.querySelector('dialog .diff')?.textContent.includes('- status.phase: Pending'));
  await axe(page, 'the timeline with what was different');
});

test('a solution is shown when asked for twice; a solved lab has its debrief; a reset asks first', only, async () => {
  const refused = [];
  await page.click('#lab .lab-end .button');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  assert.equal(await page.$('#lab .solutions'), null);
  page.on('response', (response) => response.status() >= 400 && refused.push(`${response.status()} ${response.url()}`));
  for (const line of ['kubectl run hello-kiamol', 'kubectl create deployment whoami', 'kubectl delete pod hello-kiamol']) {
    await type(page, line);
    await shows(page, line);
    await page.waitForSelector('.tab[data-mode="prompt"]');
  }
  await type(page, 'kubectl port-forward deploy/whoami 8080:80');
  await state(page, 'lab-forward', 'pass');
  await state(page, 'lab-deployment', 'pass');
  await page.waitForSelector('#lab .debrief');
  await page.click('#lab .lab-end .row .button');
  await page.waitForSelector('#lab .solutions .listing');
  await page.click('button[aria-label="Go back, or ahead"]');
  await page.waitForSelector('dialog[open] .ways');
  await axe(page, 'the ways back');
  await press(page, 'Start again…');
  await page.waitForSelector('dialog[open] .danger');
  await page.click('dialog .danger');
  await state(page, 'lab-deployment', 'todo');
  await page.waitForSelector('#lab .debrief', { hidden: true });
  assert.deepEqual(refused, []);
  assert.equal(await page.$eval('[data-progress-text]', (tally) => tally.textContent), '0 of 7');
});

test('the editor and the terminal see the same file', only, async () => {
  await page.click('.listing[data-path] .act');
  await page.waitForSelector('.cm-content');
  await page.click('.cm-content');
  await page.keyboard.type('# mine\n');
  await page.keyboard.down('Control');
  await page.keyboard.press('s');
  await page.keyboard.up('Control');
  await page.waitForFunction(() => document.querySelector('.editor-says').textContent === 'Saved');
  await page.click('.tab');
  await type(page, 'grep -c mine deployment.yaml');
  await shows(page, 'deployment.yaml1');
  await clean(page);
});

test('an exercise is done from the terminal alone, and the page shows it at once', only, async () => {
  await type(page, 'lab next');
  await shows(page, '$ kubectl run hello-kiamol');
  await type(page, 'clear; lab check; echo ended with $?');
  await shows(page, 'ended with 1');
  await type(page, 'kubectl run hello-kiamol');
  await state(page, 'pod-runs', 'pass');
  await type(page, 'clear; lab; echo ended with $?');
  await shows(page, 'ended with 0');
  assert.match(await text(page), /✓ /);
  await type(page, 'clear; lab reset');
  await shows(page, 'anything else = no]');
  await type(page, 'y');
  await shows(page, 'is as when it began');
  await state(page, 'pod-runs', 'todo');
  await type(page, 'clear; lab | cat');
  await shows(page, 'checks passed');
  assert.doesNotMatch(await text(page), /\u001b/);
  await clean(page);
});

test('everything by keyboard', only, async () => {
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = (selector) => page.waitForFunction((wanted) => document.activeElement?.matches(wanted), { timeout: 5000 }, selector);
  await press('Tab');
  await focused('.skip');
  await press('Enter');
  await focused('#lesson');
  await press('j');
  await focused('#run-run-hello .run');
  await press('Enter');
  await state(page, 'pod-runs', 'pass');
  await focused('#run-run-hello .run');
  await press('j', 'j');
  await focused('#run-look .run');
  await press('j', 'j');
  await focused('#check-looked-inside');
  await press('h');
  await page.waitForSelector('#check-looked-inside .hints li');
  await press('F6');
  await focused('.xterm-helper-textarea');
  await page.keyboard.type('echo typed-$((1+1))\r');
  await shows(page, 'typed-2');
  await page.keyboard.down('Shift');
  await press('F6');
  await page.keyboard.up('Shift');
  await focused('#check-looked-inside');
  await press('?');
  await page.waitForSelector('dialog[open] .keys');
  await press('Escape', '/');
  await page.waitForSelector('dialog.search[open]');
  await page.keyboard.type('forward');
  await press('ArrowDown', 'Enter');
  await page.waitForSelector('dialog', { hidden: true });
  await page.waitForFunction(() => document.activeElement !== document.body);
  await press('1');
  await page.waitForSelector('html[data-layout="read"]');
  await press('2');
  await page.waitForSelector('html[data-layout="split"]');
  await page.focus('.split.row');
  const before = await page.$eval('.split.row', (line) => Number(line.getAttribute('aria-valuenow')));
  await press('ArrowUp');
  assert.ok((await page.$eval('.split.row', (line) => Number(line.getAttribute('aria-valuenow')))) < before);
});
