// Before the first paint: the theme that was chosen, else the system's. A classic script, so that nothing flashes.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("rigbus-theme");
  } catch {
    // a browser that keeps nothing
  }
  const root = document.documentElement;
  root.dataset.theme = chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.classList.add("js");
})();
