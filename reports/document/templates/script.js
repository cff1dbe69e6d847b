"use strict";
// Only enhances: with scripts off, everything on this page can be read, unfolded and printed.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const folds = () => all("main details");
  for (const tool of all("[data-tool]")) tool.hidden = false;

  const by = (name) => document.querySelector(`[data-tool="${name}"]`);
  let opened = false;
  by("unfold")?.addEventListener("click", (event) => {
    opened = !opened;
    for (const fold of folds()) fold.open = opened;
    event.currentTarget.textContent = opened ? event.currentTarget.dataset.fold : event.currentTarget.dataset.unfold;
  });
  by("print")?.addEventListener("click", () => window.print());

  // Paper has no folds: open them all, and put them back afterwards.
  let before = [];
  addEventListener("beforeprint", () => {
    before = folds().map((fold) => [fold, fold.open]);
    for (const [fold] of before) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const [fold, open] of before) fold.open = open;
  });

  // A link to something inside a fold opens it.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  const field = document.getElementById("filter");
  const said = document.getElementById("filter-said");
  field?.addEventListener("input", () => {
    const words = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of all("tr[data-metric]")) {
      row.hidden = words !== "" && !row.textContent.toLowerCase().includes(words);
      if (row.hidden) continue;
      shown += 1;
      if (words) for (let at = row; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    }
    said.textContent = words ? `${shown} ${said.dataset.rows}` : "";
  });

  for (const button of all("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = button.dataset.copied;
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = button.dataset.selected;
      }
    });
  }
})();
