// Applies the chosen theme and arrangement before the first paint, so that nothing flashes or jumps. The system's theme is the default.
const root = document.documentElement;
const chosen = localStorage.getItem('drydock.theme');
if (chosen === 'light' || chosen === 'dark') root.dataset['theme'] = chosen;
root.classList.add('js');
try {
  const layout = JSON.parse(localStorage.getItem('drydock.layout') ?? '{}') as { panes?: string; lesson?: number; height?: number; picture?: number };
  root.dataset['layout'] = layout.panes ?? 'split';
  if (layout.lesson) root.style.setProperty('--lesson', `${layout.lesson}fr`);
  if (layout.lesson) root.style.setProperty('--bench-width', `${1 - layout.lesson}fr`);
  if (layout.height) root.style.setProperty('--lesson-height', `${layout.height}fr`);
  if (layout.height) root.style.setProperty('--bench-height', `${1 - layout.height}fr`);
  if (layout.picture) root.style.setProperty('--picture', `${layout.picture}px`);
} catch {
  localStorage.removeItem('drydock.layout');
}
export {};
