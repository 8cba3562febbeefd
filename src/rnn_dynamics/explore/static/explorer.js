// The explorer in an element: sliders, one canvas with five panels, points that are dragged, and the regime in words.

import { Axes } from "./axes.js";
import { sensitivities } from "./numbers.js";
import { PANELS, scene } from "./panels.js";
import { sentence, short } from "./regime.js";
import { COLOURS, resolved, watch } from "./theme.js";

// From low to high a slider goes at first, from least to most it may be stretched (settings.py has the same limits).
const SLIDERS = [
  { name: "w", label: "weight <i>w</i>", low: -12, high: 12, step: 0.01, least: -1000, most: 1000 },
  { name: "b", label: "bias <i>b</i>", low: -10, high: 10, step: 0.005, least: -1000, most: 1000 },
  { name: "epsilon", label: "step size <i>ε</i>", low: 0.02, high: 1, step: 0.01, least: 1e-6, most: 1 },
  { name: "x0", label: "start <i>x</i><sub>0</sub>", low: 0, high: 1, step: 0.001, least: 0, most: 1 },
  { name: "steps", label: "steps <i>T</i>", low: 0, high: 200, step: 1, least: 0, most: 2000 },
];
const MARGIN = { left: 52, right: 16, top: 30, bottom: 42 };
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

/** Boxes of the panels for a width: {letter: {left, top, width, height}}, and the height of all. */
function layout(width) {
  const rows = width >= 1000 ? [[300, "a", 0.56, "b", 0.44], [290, "c", 0.24, "d", 0.35, "e", 0.41]]
    : width >= 600 ? [[290, "a", 0.54, "b", 0.46], [270, "c", 0.42, "d", 0.58], [230, "e", 1]]
    : [[280, "a", 1], [280, "b", 1], [300, "c", 1], [230, "d", 1], [230, "e", 1]];
  const boxes = {};
  let top = 0;
  for (const [height, ...parts] of rows) {
    let left = 0;
    for (let i = 0; i < parts.length; i += 2) {
      const room = Math.floor(parts[i + 1] * width); // whole pixels keep letters sharp
      const box = {
        left: left + MARGIN.left,
        top: top + MARGIN.top,
        width: room - MARGIN.left - MARGIN.right,
        height: height - MARGIN.top - MARGIN.bottom,
      };
      if (parts[i] === "c") box.width = box.height = Math.min(box.width, box.height); // the diagonal at 45°
      boxes[parts[i]] = box;
      left += room;
    }
    top += height;
  }
  return { boxes, height: top };
}

/** Words as HTML: powers raised, x0 with its index. */
function typeset(text) {
  return text.replace(/10\^(−?\d+)/g, "10<sup>$1</sup>").replace(/\bx0\b/g, "<i>x</i><sub>0</sub>").replace(/\bT =/g, "<i>T</i> =");
}

/** ±10^log in three digits. */
function scaled(log, sign) {
  const decades = log / Math.LN10;
  if (sign === 0) return "0";
  const minus = sign < 0 ? "−" : "";
  if (Math.abs(decades) < 300) return minus + short(Math.exp(log));
  const whole = Math.floor(decades);
  return `${minus}${short(10 ** (decades - whole))}×10^${whole < 0 ? "−" : ""}${Math.abs(whole)}`;
}

let explorers = 0; // of this page: labels need names of their own

export class Explorer {
  constructor(root, given, notify) {
    this.settings = { w: 5, b: -2.5, epsilon: 1, x0: 0.5, steps: 60, theme: "auto", ...given };
    this.notify = notify;
    this.root = root;
    this.count = explorers++;
    this.kept = {};
    this.build();
    this.unwatch = watch(() => this.redraw());
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.area);
    this.draw();
  }

  build() {
    const { root } = this;
    root.classList.add("rnn-explore");
    root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys
    root.innerHTML = `<div class="rnn-explore-sliders"></div><p class="rnn-explore-regime" aria-hidden="true"></p>
      <div class="rnn-explore-area"><canvas aria-hidden="true"></canvas></div>
      <dl class="rnn-explore-numbers"></dl><p class="rnn-explore-live" aria-live="polite" role="status"></p>`;
    const find = (name) => root.querySelector(name);
    [this.regime, this.area, this.canvas] = [find(".rnn-explore-regime"), find(".rnn-explore-area"), find("canvas")];
    [this.table, this.live] = [find("dl"), find(".rnn-explore-live")];
    this.ctx = this.canvas.getContext("2d");
    this.inputs = {};
    SLIDERS.forEach((slider) => this.addSlider(find(".rnn-explore-sliders"), slider));
    this.handles = {};
    for (const [letter, { handle }] of Object.entries(PANELS)) if (handle) this.addHandle(letter, handle);
    this.canvas.addEventListener("pointerdown", (event) => this.pressed(event));
  }

  addSlider(parent, { name, label, low, high, step }) {
    const row = document.createElement("div"), value = this.settings[name], id = `rnn-explore-${name}-${this.count}`;
    row.innerHTML = `<label for="${id}">${label}</label><input type="number" step="any"><input type="range" id="${id}">`;
    const [number, range] = row.querySelectorAll("input");
    Object.assign(range, { min: Math.min(low, Math.floor(value)), max: Math.max(high, Math.ceil(value)), step });
    if (name === "epsilon") range.min = Math.min(low, value);
    number.setAttribute("aria-label", `${row.firstChild.textContent}, exact`);
    range.addEventListener("input", () => this.set({ [name]: Number(range.value) }, true));
    number.addEventListener("change", () => {
      const typed = Number(number.value);
      if (number.value === "" || !Number.isFinite(typed)) return this.redraw();
      return this.set({ [name]: name === "steps" ? Math.round(typed) : typed }, true);
    });
    parent.append(row);
    this.inputs[name] = { range, number };
  }

  addHandle(letter, { name, axes: [across, up] }) {
    const element = document.createElement("div");
    element.className = "rnn-explore-point";
    element.tabIndex = 0;
    element.setAttribute("role", "slider");
    element.setAttribute("aria-label", `${name}: arrow keys move it, with Shift ten times as far`);
    element.dataset.panel = letter;
    element.addEventListener("pointerdown", (event) => this.drag(event, letter, element));
    element.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      event.stopPropagation();
      const [dx, dy] = KEYS[event.key], factor = event.shiftKey ? 10 : 1, changes = {};
      for (const [parameter, direction] of [[across, dx], [up, dy]]) {
        if (!parameter || !direction) continue;
        const { step } = SLIDERS.find((slider) => slider.name === parameter);
        changes[parameter] = Number((this.settings[parameter] + direction * factor * step).toFixed(6));
      }
      this.set(changes, true);
    });
    this.area.append(element);
    this.handles[letter] = element;
  }

  /** A press in a panel brings its point there. */
  pressed(event) {
    if (event.pointerType === "touch") return; // a finger on the picture scrolls; it drags the points alone
    const { left, top } = this.canvas.getBoundingClientRect();
    const px = event.clientX - left, py = event.clientY - top;
    for (const [letter, axes] of Object.entries(this.axes)) {
      const { box } = axes;
      const inside = px >= box.left && px <= box.left + box.width && py >= box.top && py <= box.top + box.height;
      if (inside && PANELS[letter].handle) {
        this.handles[letter].focus({ preventScroll: true });
        this.drag(event, letter, this.canvas);
      }
    }
  }

  /** Follow the pointer until it is let go; the panel's limits rest meanwhile. */
  drag(event, letter, element) {
    if (event.button) return;
    event.preventDefault();
    if (element !== this.canvas) element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const axes = this.axes[letter], { handle } = PANELS[letter];
    this.held = { letter, limits: { x: axes.x, y: axes.y } };
    const follow = (moved) => {
      const { left, top } = this.canvas.getBoundingClientRect(), { box } = axes;
      const px = Math.min(Math.max(moved.clientX - left, box.left), box.left + box.width);
      const py = Math.min(Math.max(moved.clientY - top, box.top), box.top + box.height);
      this.set(handle.to(...axes.valueAt(px, py)), true);
    };
    const stop = () => {
      element.removeEventListener("pointermove", follow);
      this.held = null;
      this.redraw();
    };
    element.addEventListener("pointermove", follow);
    element.addEventListener("lostpointercapture", stop, { once: true });
    follow(event);
  }

  /** Take parameters; the user's `own` are kept within their limits and told to the other side. */
  set(changes, own = false) {
    for (const { name, least, most } of own ? SLIDERS : []) {
      if (name in changes) changes[name] = Math.min(Math.max(changes[name], least), most);
    }
    const changed = Object.entries(changes).filter(([name, value]) => this.settings[name] !== value);
    if (!changed.length) return;
    Object.assign(this.settings, Object.fromEntries(changed));
    this.isNews ||= own;
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
      if (this.isNews) this.notify({ ...this.settings });
      this.isNews = false;
    });
  }

  draw() {
    const begin = performance.now(), width = this.area.clientWidth;
    if (!width) return;
    const { boxes, height } = layout(width), ratio = globalThis.devicePixelRatio || 1, { canvas, ctx } = this;
    const theme = resolved(this.settings.theme), colours = COLOURS[theme], found = scene(this.settings);
    if (this.root.dataset.theme !== theme) this.root.dataset.theme = theme;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      canvas.style.height = this.area.style.height = `${height}px`;
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = colours.paper;
    ctx.fillRect(0, 0, width, height);
    this.axes = {};
    for (const [letter, panel] of Object.entries(PANELS)) {
      const limits = this.held?.letter === letter ? this.held.limits : panel.limits(found);
      const axes = new Axes(ctx, boxes[letter], limits, colours);
      this.axes[letter] = axes;
      this.drawBack(letter, axes, found, ratio, theme);
      panel.front(axes, found);
      if (panel.handle) this.place(this.handles[letter], axes, panel.handle, found);
    }
    this.tell(found);
    this.milliseconds = performance.now() - begin;
  }

  /** What a panel keeps is drawn anew only where something it depends on has changed. */
  drawBack(letter, axes, found, ratio, theme) {
    const panel = PANELS[letter], { box } = axes;
    const key = JSON.stringify([panel.key(found), axes.x, axes.y, box, ratio, theme]);
    const room = { left: box.left - MARGIN.left, top: box.top - MARGIN.top };
    if (this.kept[letter]?.key !== key) {
      const canvas = this.kept[letter]?.canvas ?? document.createElement("canvas");
      canvas.width = Math.ceil((box.width + MARGIN.left + MARGIN.right) * ratio);
      canvas.height = Math.ceil((box.height + MARGIN.top + MARGIN.bottom) * ratio);
      const ctx = canvas.getContext("2d");
      ctx.setTransform(ratio, 0, 0, ratio, -room.left * ratio, -room.top * ratio);
      panel.back(new Axes(ctx, box, axes, axes.colours), found);
      this.kept[letter] = { key, canvas };
    }
    const { canvas } = this.kept[letter];
    this.ctx.drawImage(canvas, room.left, room.top, canvas.width / ratio, canvas.height / ratio);
  }

  place(element, axes, { axes: names, at }, found) {
    const [x, y] = at(found), { box } = axes, px = axes.across(x), py = axes.up(y);
    element.style.transform = `translate(${px}px, ${py}px)`;
    element.hidden = px < box.left - 1 || px > box.left + box.width + 1;
    element.setAttribute("aria-valuenow", x);
    element.setAttribute("aria-valuemin", axes.x[0]);
    element.setAttribute("aria-valuemax", axes.x[1]);
    element.setAttribute("aria-valuetext", names.filter(Boolean).map((name, i) => `${name} = ${[x, y][i]}`).join(", "));
  }

  /** Words and numbers beside the picture; the live region waits until the point rests. */
  tell() {
    const { settings } = this, neuron = settings, said = sentence(settings);
    for (const { name } of SLIDERS) {
      const { range, number } = this.inputs[name], value = settings[name];
      if (value > Number(range.max)) range.max = Math.ceil(value);
      if (value < Number(range.min)) range.min = name === "epsilon" ? value : Math.floor(value);
      range.value = value;
      if (document.activeElement !== number) number.value = value;
    }
    this.regime.innerHTML = typeset(said);
    const { x, logs, signs, status } = sensitivities(neuron, settings.x0, settings.steps);
    const by = ["<i>x</i><sub>0</sub>", "<i>w</i>", "<i>b</i>"];
    const rows = [["<i>x<sub>T</sub></i>", short(x)]];
    by.forEach((name, i) => rows.push([`∂<i>x<sub>T</sub></i>/∂${name}`, typeset(scaled(logs[i], signs[i]))]));
    this.table.innerHTML = [...rows, ["rounding", status.toLowerCase()]]
      .map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("");
    this.table.dataset.status = status;
    clearTimeout(this.waiting);
    if (this.live.textContent !== said) this.waiting = setTimeout(() => (this.live.textContent = said), 400);
  }

  destroy() {
    this.unwatch();
    this.observer.disconnect();
    clearTimeout(this.waiting);
    if (this.frame) cancelAnimationFrame(this.frame);
    this.root.replaceChildren();
  }
}
