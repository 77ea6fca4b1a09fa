// Applies the chosen theme before the first paint. The choice is kept in this browser; the system's is the default.
const chosen = localStorage.getItem('drydock.theme');
if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
document.documentElement.classList.add('js');
export {};
