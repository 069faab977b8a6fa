"use strict";
// A module of both models as drawn graphs: layers from top to bottom, what corresponds in one row.

const MOST = 300; // boxes of a side; more of them nobody reads, and the layout would take seconds
const LISTS = ["ModuleList", "ModuleDict", "LayerList", "LayerDict"]; // hold modules and are never called
const SWEEPS = 6; // passes over the layers; the order of boxes hardly changes after a few

// -- what is drawn: one box for each child of a module, one for each value that comes from outside

/** Boxes of a module's children and the edges between them: Map item -> box. */
function boxesOf(tree, module) {
  const boxes = new Map(), home = new Map(); // home: operation -> box
  const box = (item, outside = false) => {
    if (!boxes.has(item)) boxes.set(item, { item, side: tree.side, outside, shares: new Set(), into: new Set(), from: new Set(), leaves: false });
    return boxes.get(item);
  };
  const settle = (item, own) => item.module ? item.children.forEach((child) => settle(child, own)) : home.set(item, own);
  const open = (parent) => {
    for (const child of parent.children) if (child.module && LISTS.includes(child.cls)) open(child); else if (!child.module || child.count) settle(child, box(child));
  };
  open(module);
  const connect = (source, target) => { if (source !== target) { source.into.add(target); target.from.add(source); } };
  for (const [record, own] of [...home]) {
    for (let at = 1; at < record.operands.length; at += 3) {
      const source = tree.nodes.get(record.operands[at]);
      if (!source || source.kind > 2) continue; // parameters and constants are told with their reader
      connect(home.get(source) || box(source, true), own);
    }
  }
  for (const record of tree.nodes.values()) {
    if (home.has(record)) continue;
    for (let at = 1; at < record.operands.length; at += 3) {
      const source = home.get(tree.nodes.get(record.operands[at]));
      if (source) source.leaves = true;
    }
  }
  return { boxes, home };
}

/** Boxes of both sides that correspond, one to one: those that share most linked operations first. */
function pairBoxes(first, second) {
  const votes = [];
  const at = (drawn, record) => drawn.home.get(record) || drawn.boxes.get(record);
  const counts = new Map();
  const records = [...first.home.keys(), ...[...first.boxes.keys()].filter((item) => !item.module && !first.home.has(item))];
  for (const record of records) {
    const own = at(first, record);
    for (const link of record.links) for (const id of link.ids[1]) {
      const partner = at(second, trees[1].nodes.get(id));
      if (!partner || partner.outside !== own.outside) continue;
      if (!counts.has(own)) counts.set(own, new Map());
      // of several native operations that make one the last one computes; the others prepare for it
      const last = link.ids.every((ids, side) => ids[ids.length - 1] === (side ? id : record.id));
      counts.get(own).set(partner, (counts.get(own).get(partner) || 0) + (last ? 1 : 0.01));
      own.shares.add(partner);
      partner.shares.add(own);
    }
  }
  for (const [own, partners] of counts) for (const [partner, count] of partners) votes.push([count, own, partner]);
  const alone = [first, second].map((drawn) => [...drawn.boxes.values()].filter((box) => box.outside || box.item.kind === 1 || box.item.kind === 2));
  for (const kind of [(box) => box.outside, (box) => box.item.kind === 1, (box) => box.item.kind === 2]) {
    const [ours, theirs] = alone.map((boxes) => boxes.filter(kind));
    if (ours.length === 1 && theirs.length === 1) votes.push([0, ours[0], theirs[0]]);
  }
  votes.sort((one, other) => other[0] - one[0]);
  for (const [, own, partner] of votes) if (!own.partner && !partner.partner) { own.partner = partner; partner.partner = own; }
}

// -- where it stands

/** Rows for the boxes of both sides: every edge goes down, and partners share a row. */
function rankBoxes(all) {
  const groups = new Map();
  for (const box of all) if (!groups.has(box)) {
    const group = { members: [box, ...(box.partner ? [box.partner] : [])], into: new Set(), rank: 0, state: 0 };
    for (const member of group.members) groups.set(member, group);
  }
  for (const box of all) for (const target of box.into) if (groups.get(target) !== groups.get(box)) groups.get(box).into.add(groups.get(target));
  const order = []; // behind all that reads it; an edge that closes a circle is not counted
  for (const root of new Set(groups.values())) {
    const stack = root.state ? [] : [[root, [...root.into]]];
    root.state = root.state || 1;
    while (stack.length) {
      const [group, left] = stack[stack.length - 1], next = left.pop();
      if (!next) { group.state = 2; order.push(group); stack.pop(); } else if (!next.state) { next.state = 1; stack.push([next, [...next.into]]); } else if (next.state === 1) group.into.delete(next);
    }
  }
  order.reverse();
  const fed = new Set();
  for (const group of order) for (const target of group.into) { target.rank = Math.max(target.rank, group.rank + 1); fed.add(target); }
  for (const group of order) if (!fed.has(group) && group.into.size) group.rank = Math.min(...[...group.into].map((target) => target.rank)) - 1;
  for (const [box, group] of groups) box.rank = group.rank;
  return 1 + Math.max(0, ...order.map((group) => group.rank));
}

/** Layers of one side, with a place holder in each row that an edge passes. */
function layersOf(boxes, rows) {
  const layers = Array.from({ length: rows }, () => []), edges = [];
  const put = (node) => { layers[node.rank].push(node); return node; };
  const nodes = new Map(boxes.map((box) => [box, put({ box, rank: box.rank, up: [], down: [] })]));
  for (const box of boxes) for (const target of box.into) {
    if (target.rank <= box.rank) { edges.push({ path: [nodes.get(box), nodes.get(target)], back: true }); continue; }
    const path = [nodes.get(box)];
    for (let rank = box.rank + 1; rank < target.rank; rank++) path.push(put({ box: null, rank, up: [], down: [] }));
    path.push(nodes.get(target));
    for (let at = 1; at < path.length; at++) { path[at - 1].down.push(path[at]); path[at].up.push(path[at - 1]); }
    edges.push({ path, back: false });
  }
  return { layers, edges };
}

const middle = (nodes) => nodes.reduce((sum, node) => sum + node.x, 0) / nodes.length;

/** Centres as near to the wanted ones as the widths in a row allow. */
function spread(row, wanted, size) {
  const blocks = []; // neighbours that touch move as one
  row.forEach((node, index) => {
    const offset = index ? blocks.reduce((sum, block) => sum + block.width, 0) : 0;
    let block = { nodes: [node], width: size(node), sum: wanted[index] - offset - size(node) / 2, count: 1 };
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].count > block.sum / block.count) {
      const last = blocks.pop();
      block = { nodes: [...last.nodes, ...block.nodes], width: last.width + block.width, sum: last.sum + block.sum, count: last.count + block.count };
    }
    blocks.push(block);
  });
  let offset = 0;
  for (const block of blocks) for (const node of block.nodes) { node.x = block.sum / block.count + offset + size(node) / 2; offset += size(node); }
}

/** Places the nodes of all layers; returns the width that they take. */
function arrange(layers, size) {
  for (const row of layers) row.forEach((node, index) => { node.x = (index - (row.length - 1) / 2) * size(node); });
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0, sorting = sweep < SWEEPS - 2;
    for (const row of down ? layers : [...layers].reverse()) {
      const wanted = new Map(row.map((node) => {
        const near = down ? node.up : node.down;
        return [node, near.length ? middle(near) : node.x];
      }));
      if (sorting) row.sort((one, other) => wanted.get(one) - wanted.get(other));
      spread(row, row.map((node) => wanted.get(node)), size);
    }
  }
  const all = layers.flat();
  const left = Math.min(0, ...all.map((node) => node.x - size(node) / 2));
  const right = Math.max(0, ...all.map((node) => node.x + size(node) / 2));
  for (const node of all) node.x -= left;
  return right - left;
}

// -- the drawing

const SVG = "http://www.w3.org/2000/svg";
function shape(tag, attributes = {}, content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (content !== undefined) element.textContent = content;
  return element;
}

class Drawing {
  constructor(element, bar) {
    this.element = element;
    this.bar = bar;
    this.modules = null;
    this.stale = true;
  }
  /** Shows the modules of what was picked elsewhere. */
  follow(items) {
    if (!this.picking) this.modules = this.around(items);
    this.stale = true;
    if (this.element.offsetParent) this.draw();
  }
  /** The innermost modules around both items that hold more than one box. */
  around(items) {
    const side = items[0] ? 0 : 1, item = items[side];
    if (!item) return trees.map((tree) => tree.modules.get(""));
    let module = item.module ? item : trees[side].modules.get(item.path);
    while (module.parent && module.children.filter((child) => !child.module || child.count).length < 3) module = module.parent;
    return this.withPartner(side, module, items[1 - side]);
  }
  withPartner(side, module, inside = null) {
    let partner = module.path ? partnersOf(side, module)[0] || null : trees[1 - side].modules.get("");
    const holds = (path) => !partner.path || path === partner.path || path.startsWith(`${partner.path}.`);
    while (partner && inside && !holds(inside.path)) partner = partner.parent;
    return side ? [partner, module] : [module, partner];
  }
  enter(side, module) {
    this.modules = this.withPartner(side, module);
    this.draw();
  }
  draw() {
    this.stale = false;
    if (!this.modules) this.modules = this.around([]);
    this.crumbs();
    const drawn = this.modules.map((module, side) => module ? boxesOf(trees[side], module) : { boxes: new Map(), home: new Map() });
    const many = drawn.findIndex(({ boxes }) => boxes.size > MOST);
    if (many >= 0) {
      this.element.replaceChildren(make("p", "empty", `${this.modules[many].path || "(root)"} holds ${drawn[many].boxes.size} boxes, more than can be read; pick a module inside of it in a tree.`));
      return;
    }
    pairBoxes(...drawn);
    const sides = drawn.map(({ boxes }) => [...boxes.values()]);
    const rows = rankBoxes(sides.flat());
    const narrow = this.element.clientWidth < 600, wide = narrow ? 112 : 168, tall = 38, step = 62, gap = narrow ? 28 : 60;
    const size = (node) => (node.box ? wide + 14 : 16);
    let left = 10;
    const svg = shape("svg", { role: "group", "aria-label": "the module in both models" });
    svg.append(shape("defs"));
    svg.firstChild.innerHTML = '<marker id="tip-of-edge" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" class="tipped"/></marker>';
    this.shapes = new Map();
    const lines = svg.appendChild(shape("g")), marks = svg.appendChild(shape("g"));
    sides.forEach((boxes, side) => {
      const { layers, edges } = layersOf(boxes, rows);
      const width = Math.max(arrange(layers, size), wide);
      const y = (rank) => 34 + rank * step;
      svg.append(shape("text", { class: "drawn-side", x: left, y: 16 }, framework(side)));
      for (const { path, back } of edges) lines.append(back ? this.upward(path, left + wide / 2, y, tall) : this.edge(path, left, y, tall));
      for (const node of layers.flat()) if (node.box) {
        const group = this.box(node.box, left + node.x - wide / 2, y(node.rank), wide, tall);
        marks.append(group);
        this.shapes.set(node.box.item, group);
      }
      left += width + gap;
    });
    svg.setAttribute("width", left - gap + 10);
    svg.setAttribute("height", 34 + rows * step);
    this.element.replaceChildren(svg);
    this.reveal();
  }
  edge(path, left, y, tall) {
    const points = path.map((node, at) => [left + node.x, at === path.length - 1 ? y(node.rank) : node.box ? y(node.rank) + tall : y(node.rank) + tall / 2]);
    let line = `M${points[0]}`;
    for (let at = 1; at < points.length; at++) {
      const [[x0, y0], [x1, y1]] = [points[at - 1], points[at]], half = (y0 + y1) / 2;
      line += ` C${x0} ${half} ${x1} ${half} ${x1} ${y1}`;
    }
    return shape("path", { class: "edge", d: line, "marker-end": "url(#tip-of-edge)" });
  }
  /** An edge back to what was called before, around the right of both boxes. */
  upward([from, to], left, y, tall) {
    const [x0, x1] = [left + from.x, left + to.x], [y0, y1] = [y(from.rank), y(to.rank)].map((top) => top + tall / 2), out = Math.max(x0, x1) + 40;
    return shape("path", { class: "edge back", d: `M${x0} ${y0} C${out} ${y0} ${out} ${y1} ${x1} ${y1}`, "marker-end": "url(#tip-of-edge)" });
  }
  box(box, x, y, wide, tall) {
    const item = box.item, letters = Math.floor((wide - 12) / 6.7);
    const short = (words) => (words.length > letters ? `${words.slice(0, letters - 1)}…` : words);
    const here = this.modules[box.side].path, inside = here ? item.path.slice(here.length + 1) : item.path;
    const upper = box.outside ? `from ${item.path || "(root)"}` : item.module ? inside : item.label;
    const lower = box.outside ? item.label : item.module ? `${item.cls}  ${item.count}` : item.type || ["", "input", "output"][item.kind];
    const parts = [...box.shares].map((other) => other.item.name || other.item.label).join(", ");
    const alone = !box.partner && !item.kind && !box.shares.size;
    const kind = box.outside ? "outside" : item.module ? "module" : "operation";
    const group = shape("g", { class: `box ${kind} ${item.worst || ""} ${alone ? "alone" : ""}`, transform: `translate(${x} ${y})`, tabindex: 0, role: "button" });
    const told = `${upper}, ${lower}${item.worst ? `, ${item.worst}` : ""}${alone ? ", no counterpart here" : !box.partner && parts ? `, shares operations with ${parts}` : ""}`;
    group.setAttribute("aria-label", told);
    group.append(shape("title", {}, told), shape("rect", { width: wide, height: tall, rx: item.module ? 8 : 3 }));
    group.append(shape("text", { class: "upper", x: 7, y: 15 }, short(upper)), shape("text", { class: "lower", x: 7, y: 30 }, short(lower)));
    if (item.worst && item.worst !== "equal") group.append(shape("text", { class: "sign", x: wide - 14, y: 15 }, SIGN[item.worst]));
    if (box.leaves && !box.outside) group.append(shape("path", { class: "edge", d: `M${wide - 20} ${tall} v14`, "marker-end": "url(#tip-of-edge)" }));
    const into = () => item.module && item.children.length && this.enter(box.side, item);
    group.addEventListener("click", () => this.pick(box.side, item));
    group.addEventListener("dblclick", into);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      if (event.key === "Enter" && trees[box.side].picked === item) into(); else this.pick(box.side, item);
    });
    return group;
  }
  /** Picks a box without leaving the module that is drawn. */
  pick(side, item) {
    this.picking = true;
    pick(side, item);
    this.picking = false;
    this.shapes.get(item)?.focus();
  }
  reveal() {
    const chosen = trees.map((tree) => this.shapes.get(this.boxed(tree)));
    chosen.forEach((group) => group && group.classList.add("picked"));
    const seen = chosen.find(Boolean);
    if (!seen) return;
    const box = seen.getBoundingClientRect(), frame = this.element.getBoundingClientRect();
    if (box.top < frame.top || box.bottom > frame.bottom) this.element.scrollTop += box.top - frame.top - frame.height / 3;
    if (box.left < frame.left || box.right > frame.right) this.element.scrollLeft += box.left - frame.left - 20;
  }
  /** What a side's picked item is drawn in: itself, or the module around it that is a box here. */
  boxed(tree) {
    let item = tree.picked;
    if (!item) return null;
    if (this.shapes.has(item)) return item;
    for (item = item.module ? item.parent : tree.modules.get(item.path); item; item = item.parent) if (this.shapes.has(item)) return item;
    return null;
  }
  /** The way from the root to what is drawn; each step leads there. */
  crumbs() {
    this.bar.replaceChildren();
    this.modules.forEach((module, side) => {
      const way = this.bar.appendChild(make("span", "crumbs"));
      way.append(make("b", "", framework(side)));
      if (!module) way.append(" no counterpart");
      const steps = [];
      for (let up = module; up; up = up.parent) steps.unshift(up);
      for (const up of steps) {
        const step = make("button", "", up.path ? up.name : "(root)");
        step.disabled = up === module;
        step.title = up.cls;
        step.addEventListener("click", () => this.enter(side, up));
        way.append(" ", step);
      }
    });
  }
}
