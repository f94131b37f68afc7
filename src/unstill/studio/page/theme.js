/* Puts the chosen theme on before the first paint; no module, so that it runs at once. */
try {
  const theme = localStorage.getItem("unstill.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  /* then the system's */
}
