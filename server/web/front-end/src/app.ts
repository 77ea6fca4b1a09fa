// The page comes alive: every part is started once, then the server tells what happens.

import { acts, enter } from './access';
import { startBack } from './back';
import { openPage, startBench, terminalText } from './bench';
import { startChecks } from './checks';
import { startContents } from './contents';
import { startOffline, startTrouble } from './dialogs';
import { startHome } from './home';
import { startKeys } from './keys';
import { startLabs } from './lab';
import { startLesson } from './lesson';
import { world } from './net';
import { splitter, startPanes } from './panes';
import { picture, startPicture } from './picture';
import { startScene } from './scene';
import { startSearch } from './search';
import { startStrip } from './strip';
import { startTop } from './top';
import { startTray } from './tray';

function pictureSplitter(): HTMLElement {
  const box = (): DOMRect => (picture.parentElement ?? picture).getBoundingClientRect();
  const write = (part: number): void => {
    const height = Math.round((1 - part) * box().height);
    document.documentElement.style.setProperty('--picture', `${height}px`);
    world.arrange({ picture: height });
  };
  return splitter({
    label: 'Between the terminal and the cluster',
    row: true,
    read: () => (box().height ? 1 - picture.offsetHeight / box().height : 0.7),
    write,
    span: () => [box().top, box().bottom],
    limits: () => [0.2, 0.92],
    reset: () => write(1 - 236 / Math.max(1, box().height)),
  });
}

function start(): void {
  startOffline();
  startTrouble();
  startLesson();
  startChecks();
  startLabs();
  startStrip();
  startPicture((pane) => void openPage(pane));
  startBench(picture, startPanes(), pictureSplitter());
  startTray();
  startBack();
  startScene();
  startTop();
  startContents();
  startSearch();
  startKeys();
  world.allowed = acts;
  world.connect();
}

/** The book alone: everything that needs no machine. */
function startReading(): void {
  startLesson();
  startTop();
  startContents();
  startSearch();
  startKeys();
}

/** The first page: the track and how far one is; the machine waits in the chapters. */
function startTrack(mayAct: boolean): void {
  if (mayAct) {
    startOffline();
    startTrouble();
    startHome();
    world.allowed = acts;
    world.connect();
  }
  startTop();
  startKeys();
}

const mayAct = await enter();
if (document.documentElement.dataset['home'] !== undefined) startTrack(mayAct);
else if (mayAct) start();
else startReading();

// What a terminal shows, for the tests: its text is painted, not written.
declare global {
  interface Window {
    drydock?: { terminalText: (session: string) => string | undefined };
  }
}
window.drydock = { terminalText };
