"use strict";
// The theme is the root's `color-scheme`: style sheet, form controls and the figures inside <img> follow it.
(function () {
  const root = document.documentElement;
  const key = "ntkspec-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem(key, theme); } catch { /* not allowed here */ } };
  const set = (theme) => {
    root.style.colorScheme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = window.pageTheme() === "dark" ? "light theme" : "dark theme";
    document.dispatchEvent(new Event("theme"));
  };
  // What is drawn by script asks here; paper is always light.
  window.pagePrinting = false;
  window.pageTheme = () => (window.pagePrinting ? "light" : root.style.colorScheme || (system.matches ? "dark" : "light"));
  const first = remembered();
  set(first === "dark" || first === "light" ? first : "");
  system.addEventListener("change", () => set(root.style.colorScheme));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = window.pageTheme() === "dark" ? "light" : "dark";
      remember(theme);  // first: setting it draws the plots anew, which takes a while
      set(theme);
    });
    set(root.style.colorScheme);
  });
  // All that is folded is printed.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    window.pagePrinting = true;
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => { details.open = true; });
    document.dispatchEvent(new Event("theme"));
  });
  window.addEventListener("afterprint", () => {
    window.pagePrinting = false;
    closed.forEach((details) => { details.open = false; });
    document.dispatchEvent(new Event("theme"));
  });
})();
