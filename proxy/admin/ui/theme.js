// Before anything is drawn: the light or dark that was chosen here before.
try {
  const chosen = localStorage.getItem("spangate-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing: as the system says */ }
