// The script of a report page: sort a table, open the runs behind a number, theme, deep links. Text is only set as text.
"use strict";
(() => {
  const root = document.documentElement;
  const results = document.querySelector("table.results");
  let place = new URLSearchParams(); // what the fragment of the address names: sort, run, theme

  function remember(key, value) {
    if (value === null) place.delete(key);
    else place.set(key, value);
    try {
      history.replaceState(null, "", String(place) ? `#${place}` : location.pathname + location.search);
    } catch { /* a page that may not change its address works without */ }
  }

  const button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  function setTheme(theme) {
    if (theme) root.dataset.theme = theme === "dark" ? "dark" : "light";
    button.textContent = isDark() ? "Light" : "Dark";
  }
  button.addEventListener("click", () => {
    setTheme(isDark() ? "light" : "dark");
    remember("theme", root.dataset.theme);
  });
  prefersDark.addEventListener("change", () => setTheme());

  // Sort by full numbers or by words; missing values come last; the third click restores the order of the study.
  const opened = (row) => row.nextElementSibling?.matches(".opened") ? [row.nextElementSibling] : [];
  const collator = new Intl.Collator("en", { numeric: true });
  function sortable(table) {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows].map((row) => ({ row, body })));
    const heads = [...table.querySelectorAll("thead th[data-column]")];
    function sort(head, direction) {
      const cell = ({ row }) => row.cells[head.dataset.column];
      const isNumeric = rows.some((one) => cell(one).dataset.value !== undefined);
      const key = isNumeric ? (one) => cell(one).dataset.value ?? "" : (one) => cell(one).textContent.trim().replace(/^\u2013$/, "");
      const sign = direction === "descending" ? -1 : 1;
      const compare = (a, b) => sign * (isNumeric ? a - b : collator.compare(a, b));
      const order = direction ? [...rows].sort((a, b) => (key(a) === "") - (key(b) === "") || compare(key(a), key(b))) : rows;
      const sorted = document.createElement("tbody");
      sorted.className = "sorted";
      table.querySelector("tbody.sorted")?.remove();
      if (direction) table.append(sorted);
      for (const { row, body } of order) (direction ? sorted : body).append(row, ...opened(row));
      for (const one of heads) one.removeAttribute("aria-sort");
      if (direction) head.setAttribute("aria-sort", direction);
    }
    for (const head of heads) {
      const click = document.createElement("button");
      click.type = "button";
      click.append(...head.childNodes);
      head.append(click);
      click.addEventListener("click", () => {
        const { first, column } = head.dataset;
        const turns = [first, first === "ascending" ? "descending" : "ascending", null];
        const next = turns[(turns.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        sort(head, next);
        if (table === results) remember("sort", next && `${column}:${next}`);
      });
    }
    return (column, direction) => {
      const head = heads.find((one) => one.dataset.column === column);
      if (!head) notFound(`column ${column}`);
      else sort(head, ["ascending", "descending"].includes(direction) ? direction : head.dataset.first);
    };
  }

  // The runs behind a number: a copy of their part of the page beneath its row.
  const behind = (link) => document.getElementById(link.hash.slice(1));
  function close(row) {
    for (const beneath of opened(row)) beneath.remove();
    for (const link of row.querySelectorAll("a.behind")) link.setAttribute("aria-expanded", "false");
  }
  function open(link) {
    const row = link.closest("tr");
    close(row);
    const beneath = document.getElementById("opened").content.cloneNode(true).firstElementChild;
    const copy = behind(link).cloneNode(true);
    for (const node of [copy, ...copy.querySelectorAll("[id]")]) node.removeAttribute("id");
    beneath.cells[0].colSpan = row.cells.length;
    beneath.querySelector("h4").textContent = behind(link).closest("details").querySelector("summary").textContent;
    beneath.querySelector(".panel").append(copy);
    const shut = beneath.querySelector("button");
    shut.addEventListener("click", () => { close(row); link.focus(); });
    beneath.addEventListener("keydown", (event) => { if (event.key === "Escape") shut.click(); });
    row.after(beneath);
    link.setAttribute("aria-expanded", "true");
    return beneath;
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.behind");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    link.getAttribute("aria-expanded") === "true" ? close(link.closest("tr")) : open(link);
  });
  document.addEventListener("toggle", ({ target }) => { // does not bubble
    const { run } = target.dataset;
    if (run && (target.open || place.get("run") === run)) remember("run", target.open ? run : null);
  }, true);

  // A link to what the page lacks says so.
  function notFound(what) {
    const line = document.getElementById("lost");
    line.hidden = !what;
    line.textContent = what && `This page has no ${what}; the link is of another report or is misspelled.`;
  }

  function goTo(name) {
    const run = name.slice(-12); // an id, or a name that ends in one
    const entry = document.getElementById(`run-${run}`);
    if (!entry) return notFound(`run ${name}`);
    const group = entry.closest(".group-body");
    const link = [...document.querySelectorAll("a.behind")].find((one) => behind(one) === group);
    const shown = link ? open(link).querySelector(`[data-run="${run}"]`) : entry;
    for (let node = shown; node; node = node.parentElement.closest("details")) node.open = true;
    shown.scrollIntoView();
  }

  function arrive() {
    const id = location.hash.slice(1);
    if (!id.includes("=")) return notFound(id && !document.getElementById(id) && `part named ${id}`);
    notFound();
    place = new URLSearchParams(location.hash.slice(1));
    if (place.has("theme")) setTheme(place.get("theme"));
    if (place.has("sort")) sortResults?.(...place.get("sort").split(":"));
    if (place.has("run")) goTo(place.get("run"));
  }

  let sortResults;
  for (const table of document.querySelectorAll("table.sorts")) {
    const sort = sortable(table);
    if (table === results) sortResults = sort;
  }
  for (const link of document.querySelectorAll("a.behind")) link.setAttribute("aria-expanded", "false");
  for (const node of document.querySelectorAll("#theme, .hint")) node.hidden = false;
  setTheme();
  addEventListener("hashchange", arrive);
  arrive();
})();
