// Light or dark: as the system says, until the learner says otherwise.

type Choice = 'auto' | 'light' | 'dark';

const system = matchMedia('(prefers-color-scheme: dark)');
const listeners: (() => void)[] = [];

export function choice(): Choice {
  const theme = document.documentElement.dataset['theme'];
  return theme === 'light' || theme === 'dark' ? theme : 'auto';
}

export function isDark(): boolean {
  return choice() === 'auto' ? system.matches : choice() === 'dark';
}

export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

function tell(): void {
  for (const listener of listeners) listener();
}

export function choose(theme: Choice): void {
  const root = document.documentElement;
  if (theme === 'auto') {
    delete root.dataset['theme'];
    localStorage.removeItem('drydock.theme');
  } else {
    root.dataset['theme'] = theme;
    localStorage.setItem('drydock.theme', theme);
  }
  tell();
}

system.addEventListener('change', tell);
