// The page comes alive: every part is started once, then the server tells what happens.

import { acts, enter } from './access';
import { startBench, terminalText } from './bench';
import { startChecks } from './checks';
import { startContents } from './contents';
import { startOffline } from './dialogs';
import { startKeys } from './keys';
import { startLabs } from './lab';
import { startLesson } from './lesson';
import { call, world } from './net';
import { splitter, startPanes } from './panes';
import { picture, startPicture } from './picture';
import { startStrip } from './strip';
import { startTop } from './top';

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
  startLesson();
  startChecks();
  startLabs();
  startStrip();
  startPicture();
  startBench(picture, startPanes(), pictureSplitter());
  startTop();
  startContents();
  startKeys();
  world.allowed = acts;
  world.connect();
  const chapter = document.documentElement.dataset['chapter'];
  if (chapter) call('POST', '/api/open', { chapter }).catch(() => undefined);
}

/** The book alone: everything that needs no machine. */
function startReading(): void {
  startLesson();
  startTop();
  startContents();
  startKeys();
}

if (await enter()) start();
else startReading();

// What a terminal shows, for the tests: its text is painted, not written.
declare global {
  interface Window {
    drydock?: { terminalText: (session: string) => string | undefined };
  }
}
window.drydock = { terminalText };
