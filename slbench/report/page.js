// The page of a report: sorting, the runs behind a number, curves, links to a place. Text is only ever set as text.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const results = document.querySelector("table.results");
  const SVG = document.getElementById("pen").namespaceURI;
  const CURVE = 8; // its place in data.runs

  function set(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  const element = (tag, attributes = {}, ...children) => set(document.createElement(tag), attributes, children);
  const drawn = (tag, attributes = {}, ...children) => set(document.createElementNS(SVG, tag), attributes, children);

  // The place that the page's address names.

  const place = new Map();
  function name(key, value) {
    if (value === null) place.delete(key);
    else place.set(key, value);
    const words = [...place].map(([one, other]) => `${one}=${encodeURIComponent(other)}`).join("&");
    try {
      history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
    } catch { /* a page that may not name its place works without */ }
  }

  // Light and dark.

  const toggle = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  function label() {
    toggle.textContent = isDark() ? "Light" : "Dark";
  }
  function theme(wanted) {
    document.documentElement.dataset.theme = wanted === "dark" ? "dark" : "light";
    label();
  }
  toggle.addEventListener("click", () => {
    theme(isDark() ? "light" : "dark");
    name("theme", document.documentElement.dataset.theme);
  });
  prefersDark.addEventListener("change", label);

  // Sorting: by the number in full or by the words; what is missing comes last; the third click restores.

  const opened = new WeakMap(); // the row that is open beneath a row

  function sortable(table) {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows].map((row) => ({ row, body })));
    const heads = [...table.querySelectorAll("thead th[data-column]")];
    const collator = new Intl.Collator("en", { numeric: true });

    function key(row, column, numeric) {
      const cell = row.cells[column];
      if (numeric) return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
      const words = cell.textContent.trim();
      return words === "" || words === "\u2013" ? null : words;
    }
    function compare(one, other, sign) {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (typeof one === "number" ? one - other : collator.compare(one, other));
    }
    function move(body, row) {
      body.append(row);
      if (opened.has(row)) body.append(opened.get(row));
    }
    function sort(column, direction) {
      table.querySelector("tbody.sorted")?.remove();
      for (const head of heads) head.removeAttribute("aria-sort");
      for (const { row, body } of rows) move(body, row);
      if (direction === null) return;
      const head = heads.find((one) => Number(one.dataset.column) === column);
      const numeric = rows.some(({ row }) => row.cells[column].dataset.value !== undefined);
      const sign = direction === "descending" ? -1 : 1;
      const keyed = rows.map(({ row }) => ({ row, key: key(row, column, numeric) }));
      keyed.sort((one, other) => compare(one.key, other.key, sign));
      const body = element("tbody", { class: "sorted" });
      for (const { row } of keyed) move(body, row);
      table.append(body);
      head.setAttribute("aria-sort", direction);
    }
    for (const head of heads) {
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.first;
        const second = first === "ascending" ? "descending" : "ascending";
        const next = { [first]: second, [second]: null }[head.getAttribute("aria-sort")];
        const direction = next === undefined ? first : next;
        sort(Number(head.dataset.column), direction);
        if (table === results) name("sort", direction === null ? null : `${head.dataset.column}:${direction}`);
      });
    }
    return (words) => { // "2", "2:ascending"
      const [column, asked] = words.split(":");
      const head = heads.find((one) => one.dataset.column === column);
      if (head) sort(Number(column), ["ascending", "descending"].includes(asked) ? asked : head.dataset.first);
    };
  }

  // Curves.

  function curve(run) {
    const held = data.runs[run]?.[CURVE];
    if (!held) return null;
    const [epochs, total, ...columns] = held;
    const found = { epochs: data.parts.epochs[epochs], total };
    columns.forEach((column, number) => {
      let last = 0;
      found[data.series.names[number]] = column === 0 ? null : column.map((step) => {
        if (step === null) return null;
        last += step;
        return last / data.series.scales[number];
      });
    });
    return found;
  }

  function ticks(low, high, least = 0) {
    const rough = Math.max((high - low) / 5, least) || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((one) => one * power >= rough * (1 - 1e-9));
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number += 1) found.push(number * step);
    return { found, digits };
  }

  function chart(title, curves, kinds) {
    const [width, height, left, right, top, bottom] = [420, 230, 44, 14, 8, 34];
    const lines = curves.flatMap((held) =>
      kinds.filter(([key]) => held[key]).map(([key, words, look]) => ({ epochs: held.epochs, values: held[key], words, look })));
    const values = lines.flatMap((line) => line.values.filter((value) => value !== null));
    if (values.length === 0) return null;
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const last = Math.max(...lines.map((line) => line.epochs[line.epochs.length - 1]));
    const first = Math.min(...lines.map((line) => line.epochs[0]));
    const x = (epoch) => left + (width - left - right) * (last === first ? 0.5 : (epoch - first) / (last - first));
    const y = (value) => height - bottom - (height - top - bottom) * (value - low) / (high - low);
    const words = [...new Map(lines.map((line) => [line.words, line.look]))];
    const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by epoch: ${words.map(([one]) => one).join(", ")}` });
    const marks = ticks(low, high);
    for (const at of marks.found) {
      picture.append(drawn("path", { class: "grid", d: `M${left} ${y(at).toFixed(1)}H${width - right}` }),
        drawn("text", { x: left - 5, y: y(at) + 4, "text-anchor": "end" }, at.toFixed(marks.digits)));
    }
    for (const at of last === first ? [first] : ticks(first, last, 1).found) {
      picture.append(drawn("text", { x: x(at), y: height - bottom + 14, "text-anchor": "middle" }, String(at)));
    }
    picture.append(drawn("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }),
      drawn("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "epoch"));
    for (const line of lines) {
      let pen = "M";
      const points = line.epochs.map((epoch, number) => {
        const value = line.values[number];
        if (value === null) {
          pen = "M";
          return "";
        }
        const step = `${pen}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = "L";
        return step;
      });
      const path = points.join("");
      const dot = line.values.filter((value) => value !== null).length === 1 ? "h0.01" : "";
      picture.append(drawn("path", { class: `series ${line.look}${curves.length > 1 ? " faint" : ""}${dot && " dot"}`, d: path + dot }));
    }
    const legend = words.map(([one, look]) => element("span", { class: "key" },
      drawn("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, drawn("path", { class: `series ${look}`, d: "M0 4H24" })), one));
    return element("figure", {}, element("figcaption", {}, `${title} `, ...legend), picture);
  }

  function charts(runs) {
    const curves = runs.map(curve).filter((one) => one !== null);
    if (curves.length === 0) return element("p", { class: "quiet" }, "No learning curve: no metrics.csv that can be read.");
    const found = [
      chart("Accuracy (top-1, %)", curves, [["val_top1", "validation", "val"], ["test_top1", "test", "test"]]),
      chart("Loss", curves, [["train_loss", "training", "train"], ["val_loss", "validation", "val"], ["test_loss", "test", "test"]]),
    ];
    return element("div", { class: "charts" }, ...found.filter((one) => one !== null));
  }

  function values(run) {
    const held = curve(run);
    if (held === null) return "";
    const names = data.series.names.filter((one) => held[one]);
    const digits = (one) => String(data.series.scales[data.series.names.indexOf(one)]).length - 1;
    const rows = held.epochs.map((epoch, number) => element("tr", {}, element("td", { class: "number" }, String(epoch)),
      ...names.map((one) => element("td", { class: "number" }, held[one][number]?.toFixed(digits(one)) ?? "\u2013"))));
    const heads = ["epoch", ...names].map((one) => element("th", { scope: "col", class: "number" }, one));
    const thinned = held.epochs.length < held.total ? `, ${held.epochs.length} of ${held.total} epochs` : "";
    return element("details", {}, element("summary", {}, `Values of the curves, rounded${thinned}`),
      element("div", { class: "wide" }, element("table", { class: "runs" },
        element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))));
  }

  // A run.

  const told = (value) => value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value);
  function facts(title, content) {
    const lines = Object.entries(content).flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, told(value))]);
    return element("section", {}, element("h4", {}, title), element("dl", {}, ...lines));
  }

  function runView(run) {
    const [seed, cell, code, host, device, folder, network, results] = data.runs[run];
    const spec = data.cells[cell];
    const part = (key, number = spec[key]) => data.parts[key][number];
    const [kind, deviceName, threads, precision] = part("device", device);
    const result = Object.fromEntries(data.fields.map((key, number) => [key, results[number]]));
    const { versions, ...made } = part("code", code);
    return element("div", { class: "run" }, element("h4", {}, `Run ${run}, seed ${seed}`), charts([run]), values(run),
      element("div", { class: "columns" },
        facts("Record", { folder, ...result, ...part("network", network) }),
        facts("Made with", { device: kind, device_name: deviceName, threads, precision, ...made, ...versions }),
        facts("Machine", part("host", host)),
        facts("Spec", { run_id: run, cell_id: cell, seed, protocol: spec.protocol, schema: spec.schema }),
        ...["backbone", "method", "dataset", "recipe", "numerics"].map((key) => facts(`Spec: ${key}`, part(key)))));
  }

  function showRun(row, wanted) {
    const run = row.dataset.run;
    const link = row.querySelector("a");
    const is = opened.has(row);
    if (is === wanted || !data.runs[run]) return;
    row.classList.toggle("current", wanted);
    link.setAttribute("aria-expanded", String(wanted));
    if (!wanted) {
      opened.get(row).remove();
      opened.delete(row);
      return;
    }
    const beneath = element("tr", {}, element("td", { class: "opened", colspan: row.cells.length }, runView(run)));
    opened.set(row, beneath);
    row.after(beneath);
  }

  // The runs behind a number.

  function behind(link) {
    return document.getElementById(link.getAttribute("href").slice(1));
  }

  function close(row) {
    opened.get(row)?.remove();
    opened.delete(row);
    for (const link of row.querySelectorAll("a.behind")) link.setAttribute("aria-expanded", "false");
  }

  function open(link) {
    const row = link.closest("tr");
    close(row);
    const group = behind(link);
    const copy = group.cloneNode(true);
    for (const node of [copy, ...copy.querySelectorAll("[id]")]) node.removeAttribute("id");
    for (const node of [...copy.querySelectorAll("td.opened")]) node.parentNode.remove();
    const runs = [...copy.querySelectorAll("tr[data-run]")].map((one) => one.dataset.run);
    const shut = element("button", { type: "button" }, "Close");
    const summary = group.closest("details").querySelector("summary").textContent;
    const panel = element("div", { class: "panel", role: "group", "aria-label": summary }, shut,
      element("h4", {}, summary), copy);
    copy.querySelector("dl").after(charts(runs));
    shut.addEventListener("click", () => {
      close(row);
      link.focus();
    });
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") shut.click();
    });
    const beneath = element("tr", {}, element("td", { class: "opened", colspan: row.cells.length }, panel));
    opened.set(row, beneath);
    row.after(beneath);
    link.setAttribute("aria-expanded", "true");
    return panel;
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const number = event.target.closest("a.behind");
    const run = event.target.closest("tr[data-run] a[href^='#run=']");
    if (number) {
      event.preventDefault();
      if (number.getAttribute("aria-expanded") === "true") close(number.closest("tr"));
      else open(number);
    } else if (run) {
      event.preventDefault();
      const row = run.closest("tr");
      const wanted = !opened.has(row);
      showRun(row, wanted);
      name("run", wanted ? row.dataset.run : null);
    }
  });

  function goTo(run) {
    const row = document.getElementById(`run-${run}`);
    if (!row) return;
    const group = row.closest(".group-body");
    const link = [...document.querySelectorAll("a.behind")].find((one) => behind(one) === group);
    let target = row;
    if (link) {
      target = [...open(link).querySelectorAll("tr[data-run]")].find((one) => one.dataset.run === run);
    } else {
      group.closest("details").open = true;
    }
    showRun(target, true);
    target.scrollIntoView({ block: "center" });
  }

  function arrive() {
    const words = location.hash.slice(1);
    if (!words.includes("=")) return;
    place.clear();
    for (const [key, value] of new URLSearchParams(words)) {
      place.set(key, value);
      if (key === "theme") theme(value);
      else if (key === "sort") sortResults(value);
      else if (key === "run") goTo(value);
    }
  }

  let sortResults = () => {};
  for (const table of document.querySelectorAll("table.sorts")) {
    const by = sortable(table);
    if (table === results) sortResults = by;
  }
  for (const link of document.querySelectorAll("a.behind, tr[data-run] a")) link.setAttribute("aria-expanded", "false");
  for (const hidden of document.querySelectorAll("#theme, .hint")) hidden.hidden = false;
  label();
  addEventListener("hashchange", arrive);
  arrive();
})();
