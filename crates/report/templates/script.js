"use strict";
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);

  // The page is complete without this script: what only works with it is hidden until here.
  const theme = find("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  dark.addEventListener("change", name);
  name();

  const controls = find("example-controls");
  if (controls) {
    const rows = Array.from(find("example-table").tBodies[0].rows);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const buttons = Array.from(controls.querySelectorAll("button"));
    const search = find("example-search");
    let status = "";
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, index) => {
        const fits = (!status || row.dataset.status === status) && texts[index].includes(wanted);
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      find("example-count").textContent = shown + " of " + rows.length + " shown";
    };
    buttons.forEach((button) => button.addEventListener("click", () => {
      status = button.dataset.filter;
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      apply();
    }));
    search.addEventListener("input", apply);
    controls.hidden = false;
    apply();
  }

  const told = find("told");
  if (told) {
    const tell = (event) => {
      const node = event.target.closest("a.node");
      if (node) { told.textContent = node.getAttribute("aria-label"); }
    };
    const tree = document.querySelector(".tree");
    tree.addEventListener("mouseover", tell);
    tree.addEventListener("focusin", tell);
    told.hidden = false;
  }

  // On paper everything is open, and afterwards as it was.
  const closed = [];
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((one) => { closed.push(one); one.open = true; });
  });
  window.addEventListener("afterprint", () => {
    closed.splice(0).forEach((one) => { one.open = false; });
  });
})();
