"use strict";
// Everything is drawn from the data element; lists hold only the rows in view, so size does not matter.
const data = JSON.parse(document.getElementById("data").textContent);
const text = (index) => data.texts[index];
const $ = (id) => document.getElementById(id);
const TITLES = { paddle: "Paddle", torch: "torch", onnx: "ONNX" };
const RANK = ["different", "missing", "extra", "framework-defect", "suspicious", "not-comparable", "framework-divergence", "rounding", "equal"];
const SIGN = { different: "✘", missing: "✘", extra: "✘", "framework-defect": "▲", suspicious: "▲", "framework-divergence": "◆", rounding: "≈", "not-comparable": "?", equal: "=" };
const ROW = 22;

function make(tag, className, content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content !== undefined) element.textContent = content;
  return element;
}
const worse = (one, other) => (!one ? other : !other ? one : RANK.indexOf(one) <= RANK.indexOf(other) ? one : other);
const framework = (side) => TITLES[data.frameworks[side]] || data.frameworks[side];

// -- a list that draws only what is in view

class List {
  constructor(element, draw) {
    this.element = element;
    this.draw = draw;
    this.items = [];
    this.filler = element.appendChild(make("div", "filler"));
    element.addEventListener("scroll", () => this.refresh());
    new ResizeObserver(() => { this.refresh(); if (this.wanted !== undefined) this.reveal(this.wanted); }).observe(element);
    for (const gesture of ["wheel", "pointerdown", "keydown"]) element.addEventListener(gesture, () => { this.wanted = undefined; });
  }
  show(items) {
    this.items = items;
    this.filler.style.height = `${items.length * ROW}px`;
    this.refresh();
  }
  refresh() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 5);
    const last = Math.min(this.items.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + 5);
    const rows = [];
    for (let index = first; index < last; index++) {
      const row = this.draw(this.items[index], index);
      row.style.top = `${index * ROW}px`;
      rows.push(row);
    }
    this.filler.replaceChildren(...rows);
  }
  /** Brings a row into view, and keeps it there while other parts of the page take or leave room. */
  reveal(index) {
    this.wanted = index;
    const top = index * ROW, height = this.element.clientHeight;
    if (top < this.element.scrollTop || top + ROW > this.element.scrollTop + height) this.element.scrollTop = Math.max(0, top - height / 2);
    this.refresh();
  }
}

// -- one side: a tree of modules down to operations

class Tree {
  constructor(side) {
    this.side = side;
    this.facts = data.sides[side];
    this.nodes = new Map(); // id -> record
    this.modules = new Map(); // path -> module
    this.open = new Set([""]);
    this.picked = null;
    this.partners = new Set();
    this.hits = new Set();
    this.build();
    this.element = $(`tree-${side}`);
    this.list = new List(this.element, (item) => this.row(item));
    this.element.addEventListener("keydown", (event) => this.key(event));
    $(`name-${side}`).textContent = `${framework(side)}${this.facts.training ? ", training" : ""}`;
    $(`search-${side}`).addEventListener("input", (event) => this.search(event.target.value));
    $(`search-${side}`).addEventListener("keydown", (event) => event.key === "Enter" && this.step(event.shiftKey ? -1 : 1));
    $(`next-${side}`).addEventListener("click", () => this.step());
    $(`close-${side}`).addEventListener("click", () => { this.open = new Set([""]); this.refresh(); });
    $(`open-${side}`).addEventListener("click", () => { this.open = new Set(this.modules.keys()); this.refresh(); });
  }
  build() {
    const classes = new Map(this.facts.modules);
    const module = (path) => {
      let found = this.modules.get(path);
      if (found) return found;
      found = { module: true, path, name: path.slice(path.lastIndexOf(".") + 1), cls: classes.get(path) || "", children: [], first: Infinity, count: 0, worst: "", depth: 0, parent: null };
      this.modules.set(path, found);
      if (path) {
        found.parent = module(path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "");
        found.depth = found.parent.depth + 1;
        found.parent.children.push(found);
      }
      return found;
    };
    module("");
    for (const [id, kind, label, path, source, type, attributes, operands] of this.facts.nodes) {
      const record = { id, kind, label: text(label), path: text(path), source: text(source), type: text(type), attributes: text(attributes), operands, links: [], worst: "" };
      this.nodes.set(id, record);
      if (kind > 2) continue; // parameters, buffers and constants are told with the operation that reads them
      const home = module(record.path);
      home.children.push(record);
      for (let up = home; up; up = up.parent) { up.first = Math.min(up.first, id); up.count++; }
    }
    for (const path of classes.keys()) module(path);
    const order = (child) => (child.module ? child.first : child.id);
    for (const one of this.modules.values()) one.children.sort((a, b) => order(a) - order(b));
  }
  mark(record, verdict) {
    record.worst = worse(record.worst, verdict);
    for (let up = this.modules.get(record.path); up; up = up.parent) up.worst = worse(up.worst, verdict);
  }
  visible() {
    const rows = [];
    const walk = (module) => {
      rows.push(module);
      if (this.open.has(module.path)) for (const child of module.children) child.module ? walk(child) : rows.push(child);
    };
    walk(this.modules.get(""));
    return rows;
  }
  refresh() { this.list.show(this.visible()); }
  row(item) {
    const row = make("div", "row");
    row.setAttribute("role", "treeitem");
    const depth = item.module ? item.depth : this.modules.get(item.path).depth + 1;
    row.style.paddingLeft = `${6 + depth * 14}px`;
    if (item.module) {
      const twist = make("span", "twist", item.children.length ? (this.open.has(item.path) ? "▾" : "▸") : "");
      row.setAttribute("aria-expanded", this.open.has(item.path));
      row.append(twist, make("span", "name", item.path ? item.name : "(root)"), " ", make("span", "cls", item.cls + (item.count ? `  ${item.count}` : "  no operation")));
      twist.addEventListener("click", (event) => { event.stopPropagation(); this.toggle(item); });
      row.addEventListener("dblclick", () => this.toggle(item));
    } else {
      row.append(make("span", "twist", item.kind ? (item.kind === 1 ? "→" : "←") : "·"), make("span", "op", item.label), " ", make("span", "type", item.type));
      if (!item.links.length && !item.kind) { row.classList.add("alone"); row.title = "no counterpart of its own"; }
    }
    if (item.worst) row.append(make("span", `dot ${item.worst}`, `${SIGN[item.worst]} ${item.module ? "" : item.worst}`));
    if (item === this.picked) row.classList.add("picked");
    if (this.partners.has(item)) row.classList.add("partner");
    if (this.hits.has(item)) row.classList.add("hit");
    if (item === this.current) row.classList.add("current");
    row.addEventListener("click", () => pick(this.side, item));
    return row;
  }
  toggle(module, wanted = !this.open.has(module.path)) {
    wanted ? this.open.add(module.path) : this.open.delete(module.path);
    this.refresh();
  }
  show(item) {
    for (let up = item.module ? item.parent : this.modules.get(item.path); up; up = up.parent) this.open.add(up.path);
    const rows = this.visible();
    this.list.show(rows);
    this.list.reveal(rows.indexOf(item));
  }
  search(wanted) {
    this.hits = new Set();
    const looked = wanted.trim().toLowerCase();
    if (looked) {
      for (const module of this.modules.values()) if (`${module.path} ${module.cls}`.toLowerCase().includes(looked)) this.hits.add(module);
      for (const record of this.nodes.values()) if (record.kind < 3 && record.label.toLowerCase().includes(looked)) this.hits.add(record);
    }
    this.at = -1;
    this.looked = looked;
    this.order();
    this.hits.size ? this.step() : this.refresh();
    this.count();
  }
  /** Hits in the order in which the tree shows them. */
  order() {
    const all = [];
    const walk = (module) => {
      if (this.hits.has(module)) all.push(module);
      for (const child of module.children) child.module ? walk(child) : this.hits.has(child) && all.push(child);
    };
    walk(this.modules.get(""));
    this.hits = new Set(all);
  }
  step(by = 1) {
    if (!this.hits.size) return;
    this.at = (Math.max(this.at, by > 0 ? this.at : 0) + by + this.hits.size) % this.hits.size;
    this.current = [...this.hits][this.at];
    this.show(this.current);
    this.count();
  }
  count() {
    $(`found-${this.side}`).textContent = !this.looked ? "" : this.hits.size ? `${this.at + 1} of ${this.hits.size}` : "none";
    $(`next-${this.side}`).disabled = this.hits.size < 2;
    if (!this.hits.size) this.current = null;
  }
  key(event) {
    const rows = this.list.items, index = rows.indexOf(this.picked), item = this.picked;
    const go = (to) => rows[to] && pick(this.side, rows[to]);
    const actions = {
      ArrowDown: () => go(index + 1), ArrowUp: () => go(index - 1), Home: () => go(0), End: () => go(rows.length - 1),
      ArrowRight: () => item && item.module && !this.open.has(item.path) ? this.toggle(item, true) : go(index + 1),
      ArrowLeft: () => item && (item.module && this.open.has(item.path) ? this.toggle(item, false) : pick(this.side, item.module ? item.parent || item : this.modules.get(item.path))),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}

const trees = data.sides.length ? [new Tree(0), new Tree(1)] : [];
if (!trees.length) $("tab-graphs").replaceChildren(make("p", "empty", "No graphs: a model could not be captured; the findings say why."));

if (trees.length) {
  data.links.forEach(([first, second, rung, confidence, reason]) => {
    const link = { ids: [first, second], rung: text(rung), confidence, reason: text(reason) };
    link.ids.forEach((ids, side) => ids.forEach((id) => trees[side].nodes.get(id)?.links.push(link)));
  });
  for (const finding of data.findings) {
    finding.nodes.forEach((id, side) => {
      const record = trees[side].nodes.get(id);
      const path = side ? finding.torch_path : finding.paddle_path;
      if (record) trees[side].mark(record, finding.verdict);
      else if (trees[side].modules.has(path)) for (let up = trees[side].modules.get(path); up; up = up.parent) up.worst = worse(up.worst, finding.verdict);
    });
    for (const place of finding.places) place.forEach((path, side) => { for (let up = trees[side].modules.get(path); up; up = up.parent) up.worst = worse(up.worst, finding.verdict); });
  }
}

// -- what belongs together

function partnersOf(side, item) {
  const other = trees[1 - side];
  if (!item.module) return [...new Set(item.links.slice(0, 1).flatMap((link) => link.ids[1 - side]))].map((id) => other.nodes.get(id)).filter(Boolean);
  // the innermost module that holds nearly all partners of what is inside
  const votes = new Map();
  let total = 0;
  const walk = (module) => {
    for (const child of module.children) {
      if (child.module) { walk(child); continue; }
      const link = child.links[0];
      const partner = link && other.nodes.get(link.ids[1 - side][link.ids[1 - side].length - 1]);
      if (!partner) continue;
      total++;
      for (let up = other.modules.get(partner.path); up; up = up.parent) votes.set(up, (votes.get(up) || 0) + 1);
    }
  };
  walk(item);
  let best = null;
  for (const [module, count] of votes) if (count >= 0.85 * total && (!best || module.depth > best.depth)) best = module;
  return best ? [best] : [];
}

function pick(side, item, finding = null) {
  const partners = partnersOf(side, item);
  choose(side === 0 ? [item, partners[0]] : [partners[0], item], side, partners, finding);
}

/** Picks one item of each side (either may be missing) and tells of both. */
function choose(items, main, partners, finding) {
  trees.forEach((tree, side) => {
    tree.picked = items[side] || null;
    tree.partners = new Set(side === main ? [] : partners);
    if (items[side]) tree.show(items[side]); else tree.refresh();
  });
  document.querySelectorAll("#finding-list > li.picked").forEach((entry) => entry.classList.remove("picked"));
  if (finding) finding.entry.classList.add("picked");
  tell(items, finding);
  drawing.follow(items);
}

// -- the drawing of a module

const drawing = new Drawing($("drawing"), $("drawing-way"));
if (!trees.length) $("drawing").append(make("p", "empty", "No graphs: a model could not be captured; the findings say why."));

// -- the panel

function code(source) {
  const cut = source.lastIndexOf(":");
  const file = source.slice(0, cut), line = Number(source.slice(cut + 1));
  const lines = data.code[file];
  if (!lines || !lines[line]) return null;
  const block = make("pre");
  for (let number = line - 3; number <= line + 3; number++)
    if (lines[number] !== undefined) block.append(make("span", number === line ? "at" : "", `${String(number).padStart(5)}  ${lines[number]}`));
  return block;
}

function described(side, item, finding) {
  const box = make("div");
  const path = finding ? (side ? finding.torch_path : finding.paddle_path) : item ? item.path : null;
  const op = item && !item.module ? item.label : finding ? (side ? finding.torch_op : finding.paddle_op) : "";
  const source = finding && (side ? finding.torch_source : finding.paddle_source) || (item && item.source) || "";
  if (path === null) { box.append(make("h3", "", framework(side)), make("p", "also", "no counterpart")); return box; }
  box.append(make("h3", "", `${framework(side)}: ${path || "(root)"}${op ? `  ${op}` : ""}`));
  const module = trees.length && trees[side].modules.get(path);
  if (module && module.cls) box.append(make("div", "where", module.cls));
  if (finding && !op && ["missing", "extra"].includes(finding.verdict)) box.append(make("div", "where", "no such operation here"));
  if (source) {
    const cut = source.lastIndexOf(":");
    const named = make("div", "where", `${data.names[source.slice(0, cut)] || source.slice(0, cut)}${source.slice(cut)}`);
    named.title = source;
    box.append(named);
    const block = code(source);
    if (block) box.append(block);
  }
  if (item && !item.module) {
    const table = make("table");
    const add = (name, value) => { const line = table.insertRow(); line.insertCell().textContent = name; line.insertCell().textContent = value; };
    for (let at = 0; at < item.operands.length; at += 3) {
      const operand = trees[side].nodes.get(item.operands[at + 1]);
      if (operand) add(text(item.operands[at]), `${operand.label}  ${operand.type.split(/, (?=[a-z])/)[item.operands[at + 2]] || ""}`);
    }
    if (item.type) add("result", item.type);
    for (const line of item.attributes ? item.attributes.split("\n") : []) { const at = line.indexOf(" = "); at < 0 ? add("", line) : add(line.slice(0, at), line.slice(at + 3)); }
    box.append(table);
  }
  return box;
}

function tell(items, finding) {
  const panel = $("panel");
  panel.replaceChildren();
  if (finding) {
    const told = make("p", "told");
    told.append(make("span", `badge ${finding.verdict}`, `${SIGN[finding.verdict]} ${finding.verdict}`), ` ${finding.cause}`);
    panel.append(told);
    const sizes = [`phase ${finding.phase}`];
    if (finding.error) sizes.push(`largest error ${finding.error}`);
    if (finding.relative) sizes.push(`${finding.relative} of the largest value`);
    panel.append(make("p", "also", sizes.join(", ") + (finding.advice ? `. ${finding.advice}` : "")));
    if (finding.places.length > 1) {
      const also = make("p", "also", `${finding.places.length} places with this cause: `);
      finding.places.slice(0, 60).forEach((place, index) => {
        const link = make("a", "place", place[0] || place[1] || "(root)");
        link.addEventListener("click", () => goTo(place));
        also.append(index ? ", " : "", link);
      });
      panel.append(also);
    }
  }
  const op = items.find((item) => item && !item.module && item.links.length);
  if (op && !finding) panel.append(make("p", "also", `matched by ${op.links[0].rung}, confidence ${op.links[0].confidence}: ${op.links[0].reason}`));
  const both = make("div", "both");
  both.append(described(0, items[0], finding), described(1, items[1], finding));
  panel.append(both);
  panel.scrollTop = 0;
}

function goTo(place) {
  showTab("graphs");
  const items = trees.map((tree, side) => tree.modules.get(place[side]) || null);
  choose(items, 0, items[1] ? [items[1]] : [], null);
  trees.forEach((tree, side) => items[side] && tree.toggle(items[side], true));
}

// -- findings

for (const finding of data.findings) {
  const entry = make("li", finding.verdict);
  entry.tabIndex = 0;
  entry.append(make("span", `badge ${finding.verdict}`, `${SIGN[finding.verdict]} ${finding.verdict}`), " ", make("span", "where", finding.phase + (finding.places.length > 1 ? `, ${finding.places.length} places` : "")));
  entry.append(make("div", "cause", finding.cause));
  entry.append(make("div", "where", `${finding.paddle_path || "(root)"} | ${finding.torch_path || "(root)"}${finding.error ? `   ${finding.error}` : ""}`));
  const open = () => {
    showTab("graphs");
    if (!trees.length) { tell([null, null], finding); return; }
    const items = trees.map((tree, side) => tree.nodes.get(finding.nodes[side]) || tree.modules.get(side ? finding.torch_path : finding.paddle_path) || null);
    choose(items, 0, items[1] ? [items[1]] : [], finding);
  };
  finding.entry = entry;
  finding.open = open;
  entry.addEventListener("click", open);
  entry.addEventListener("keydown", (event) => {
    const near = { ArrowDown: entry.nextElementSibling, ArrowUp: entry.previousElementSibling }[event.key];
    if (event.key === "Enter") open();
    else if (near) near.focus();
    else return;
    event.preventDefault();
  });
  $("finding-list").append(entry);
}

// -- tabs

function showTab(name) {
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-selected", button.dataset.tab === name);
  for (const tab of document.querySelectorAll(".tab")) tab.hidden = tab.id !== `tab-${name}`;
  if (name === "depth") plot();
  if (name === "drawing" && trees.length) drawing.draw();
  [...trees.map((tree) => tree.list), numbers, parameters, modules].forEach((list) => list.refresh());
}
const tabs = [...document.querySelectorAll("nav button")];
tabs.forEach((button, index) => {
  button.addEventListener("click", () => showTab(button.dataset.tab));
  button.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(index + by + tabs.length) % tabs.length];
    showTab(next.dataset.tab);
    next.focus();
  });
});

// -- tables

function cells(className, values, classes = []) {
  const row = make("div", `row ${className}`);
  values.forEach((value, index) => { const cell = make("span", classes[index] || "", value); cell.title = value; row.append(cell); });
  return row;
}
const numbers = new List($("number-list"), ([first, second, op, verdict, cosine, far, error, place]) => {
  const row = cells("number", [first || "(root)", `${second || "(root)"}${op ? `  ${op}` : ""}`, cosine, far, error, place], [verdict === "beyond" ? "different" : verdict === "within" ? "" : verdict]);
  if (op) row.addEventListener("click", () => trees.length && goTo([first, second]));
  return row;
});
$("number-count").textContent = data.numbers.length;
numbers.show(data.numbers);
const STATUS = { open: "missing", neutral: "suspicious", unread: "equal", mapped: "" };
const parameters = new List($("parameter-list"), ([first, names, transform, status, confidence, reason, proved, shape, shapes]) => {
  const row = cells("parameter", [`${first} [${shape.join(", ")}]`, names.map((name, index) => `${name} [${shapes[index].join(", ")}]`).join(" + ") || "-", transform, status, `${confidence.toFixed(2)}${proved ? " proved" : ""}`], ["", "", "", STATUS[status]]);
  row.title = reason;
  return row;
});
document.querySelectorAll(".head.parameter span, .head.module span").forEach((cell, index) => {
  if (!cell.textContent) cell.textContent = framework(index % 2 === 0 ? 0 : 1);
});
document.querySelectorAll(".head").forEach((head) => { head.children[0].textContent = framework(0); head.children[1].textContent = framework(1); });
$("parameter-count").textContent = data.parameters.length;
for (const status of ["every status", "mapped", "neutral", "unread", "open", "proved", "not proved"]) $("parameter-status").append(make("option", "", status));
function filterParameters() {
  const looked = $("parameter-filter").value.trim().toLowerCase(), status = $("parameter-status").value;
  const kept = data.parameters.filter((row) => {
    if (status === "proved" || status === "not proved") { if (row[6] !== (status === "proved")) return false; } else if (status !== "every status" && row[3] !== status) return false;
    return !looked || [row[0], ...row[1], row[2], row[5]].some((value) => value.toLowerCase().includes(looked));
  });
  $("parameter-shown").textContent = `${kept.length} of ${data.parameters.length}`;
  parameters.show(kept);
}
$("parameter-filter").addEventListener("input", filterParameters);
$("parameter-status").addEventListener("change", filterParameters);

const modules = new List($("module-list"), ([first, second, confidence, reason, alternatives]) => {
  const row = cells("module", [first || "(root)", second || "(root)", confidence.toFixed(2), reason + (alternatives.length ? ` (or ${alternatives.join(", ")})` : "")]);
  row.addEventListener("click", () => trees.length && goTo([first, second]));
  return row;
});
$("module-count").textContent = data.modules.length;
function filterModules() {
  const looked = $("module-filter").value.trim().toLowerCase();
  const kept = data.modules.filter((row) => !looked || `${row[0]} ${row[1]} ${row[3]}`.toLowerCase().includes(looked));
  $("module-shown").textContent = `${kept.length} of ${data.modules.length}`;
  modules.show(kept);
}
$("module-filter").addEventListener("input", filterModules);

// -- error along depth

let drawn = [];
function plot() {
  const canvas = $("plot"), box = canvas.parentElement.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  if (!box.width) return;
  canvas.width = box.width * scale;
  canvas.height = box.height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name);
  const colours = { different: "--bad", "framework-defect": "--warn", "framework-divergence": "--info", rounding: "--info", "not-comparable": "--quiet", equal: "--good" };
  const bounds = new Map(data.depth.map((row, index) => [row, data.rounding[index] || 0]));
  const shown = data.depth.filter((row) => (row[3] === "backward" ? $("show-backward").checked : $("show-forward").checked));
  const orders = [...new Set(shown.map((row) => row[0]))].sort((a, b) => a - b), rank = new Map(orders.map((order, index) => [order, index]));
  const sizes = shown.flatMap((row) => [row[4], bounds.get(row)]).filter((size) => size > 0);
  const low = Math.floor(Math.log10(Math.min(1e-8, ...sizes.length ? [sizes.reduce((a, b) => Math.min(a, b))] : []))), high = Math.ceil(Math.log10(sizes.reduce((a, b) => Math.max(a, b), 1e-5)));
  const left = 64, right = 12, top = 10, bottom = 44, width = box.width - left - right, height = box.height - top - bottom;
  const y = (size) => (size > 0 ? top + height * (1 - (Math.log10(size) - low) / (high - low)) : top + height + 12);
  pen.font = "11px monospace";
  pen.fillStyle = colour("--soft");
  pen.strokeStyle = colour("--line");
  for (let power = low; power <= high; power += Math.max(1, Math.round((high - low) / 8))) {
    pen.beginPath(); pen.moveTo(left, y(10 ** power)); pen.lineTo(left + width, y(10 ** power)); pen.stroke();
    pen.fillText(`1e${power}`, 18, y(10 ** power) + 4);
  }
  pen.fillText("equal", 18, top + height + 16);
  pen.fillText("input", left, box.height - 6);
  pen.fillText("depth (second model's program order)", left + width / 2 - 110, box.height - 6);
  pen.fillText("output", left + width - 44, box.height - 6);
  shade(pen, shown, bounds, rank, { x: (index) => left + width * (orders.length > 1 ? index / (orders.length - 1) : 0.5), y, foot: top + height, colour: colour("--info"), step: width / Math.max(1, orders.length - 1) });
  drawn = shown.map((row) => ({ row, x: left + width * (orders.length > 1 ? rank.get(row[0]) / (orders.length - 1) : 0.5), y: y(row[4]) }));
  drawn.sort((a, b) => (a.row[5] === "different") - (b.row[5] === "different"));
  for (const point of drawn) {
    pen.fillStyle = colour(colours[point.row[5]] || "--quiet");
    pen.beginPath();
    const size = point.row[5] === "different" ? 5 : 3;
    if (point.row[3] === "backward") { pen.moveTo(point.x, point.y - size - 1); pen.lineTo(point.x + size, point.y + size); pen.lineTo(point.x - size, point.y + size); } else pen.arc(point.x, point.y, size, 0, 7);
    pen.fill();
  }
  const legend = $("legend");
  legend.replaceChildren();
  if (data.rounding.some((bound) => bound > 0)) legend.append(make("span", "floor", "▒ what rounding may explain"));
  for (const verdict of new Set(data.depth.map((row) => row[5]))) legend.append(make("span", verdict, `${SIGN[verdict] || ""} ${verdict}`));
  if (!data.depth.length) pen.fillText("no region was run", left + 20, top + 30);
}
/** Under each mark, what rounding may explain there; a mark above it needs another reason. */
function shade(pen, shown, bounds, rank, at) {
  const widest = new Map();
  for (const row of shown) widest.set(row[0], Math.max(widest.get(row[0]) || 0, bounds.get(row)));
  const half = Math.min(Math.max(at.step / 2, 2), 24);
  pen.save();
  pen.beginPath();
  for (const [order, bound] of widest) if (bound > 0) {
    const x = at.x(rank.get(order));
    pen.rect(x - half, at.y(bound), 2 * half, at.foot - at.y(bound));
  }
  pen.globalAlpha = 0.14;
  pen.fillStyle = at.colour;
  pen.fill();
  pen.globalAlpha = 0.8;
  pen.strokeStyle = at.colour;
  pen.beginPath();
  for (const [order, bound] of widest) if (bound > 0) {
    const x = at.x(rank.get(order));
    pen.moveTo(x - half, at.y(bound));
    pen.lineTo(x + half, at.y(bound));
  }
  pen.stroke();
  pen.restore();
}
function nearest(event) {
  const box = $("plot").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = 400;
  for (const point of drawn) { const far = (point.x - x) ** 2 + (point.y - y) ** 2; if (far < least) { least = far; best = point; } }
  return best;
}
$("plot").addEventListener("mousemove", (event) => {
  const point = nearest(event), tip = $("tip");
  tip.hidden = !point;
  if (!point) return;
  const [, first, second, phase, size, verdict] = point.row, bound = data.rounding[data.depth.indexOf(point.row)];
  tip.textContent = `${text(first) || "(root)"} | ${text(second) || "(root)"}\n${phase}: ${size}  ${verdict}${bound ? `\nrounding may explain ${bound}` : ""}`;
  tip.style.left = `${Math.min(point.x + 12, $("plot").clientWidth - 240)}px`;
  tip.style.top = `${Math.max(0, point.y - 44)}px`;
});
$("plot").addEventListener("mouseleave", () => { $("tip").hidden = true; });
$("plot").addEventListener("click", (event) => { const point = nearest(event); if (point && trees.length) goTo([text(point.row[1]), text(point.row[2])]); });
for (const id of ["show-forward", "show-backward"]) $(id).addEventListener("change", plot);
new ResizeObserver(() => !$("tab-depth").hidden && plot()).observe($("tab-depth"));

// -- start: the first failing finding, or both roots opened

filterParameters();
filterModules();
trees.forEach((tree) => {
  for (const module of tree.modules.values()) if (module.depth < (tree.modules.size > 400 ? 1 : 2)) tree.open.add(module.path);
  tree.refresh();
});
const start = data.findings.find((finding) => finding.fails) || data.findings[0];
if (start) start.open();
document.body.dataset.ready = "yes";
