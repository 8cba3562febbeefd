// An explorer in an element: sliders, one canvas with panels, points that are dragged, and what is seen in words.
//
// A study says what is in it: {defaults, sliders, panels, rows(width), scene(settings, isQuick), words(found)}. A slider
// goes from low to high at first and may be stretched from least to most; one with `decades` moves in powers of ten.
// A panel has limits, what depends on little and is kept (back, with its key, on a picture that is under it), and the
// rest (front). A scene is rough where less is computed while something moves, and unfinished where the next frame adds
// to it.

import { Axes } from "./axes.js";
import { Sliders } from "./sliders.js";
import { COLOURS, resolved, watch } from "./theme.js";
import { typeset } from "./words.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
const MARGIN = { left: 52, right: 16, top: 30, bottom: 42 };
const RESTING = 160; // milliseconds after which what was rough is refined

/** Boxes of rows [height, letters, share, letters, share, …]; several letters stand above one another. */
function layout(rows, panels, width) {
  const boxes = {};
  let top = 0;
  for (const [height, ...parts] of rows) {
    let left = 0;
    for (let i = 0; i < parts.length; i += 2) {
      const room = Math.floor(parts[i + 1] * width), letters = [...parts[i]]; // whole pixels keep letters sharp
      letters.forEach((letter, k) => {
        const tall = Math.floor(height / letters.length), margin = { ...MARGIN, ...panels[letter].margin };
        const box = {
          left: left + margin.left,
          top: top + k * tall + margin.top,
          width: room - margin.left - margin.right,
          height: tall - margin.top - margin.bottom,
        };
        if (panels[letter].isSquare) box.width = box.height = Math.min(box.width, box.height); // the diagonal at 45°
        boxes[letter] = { ...box, margin };
      });
      left += room;
    }
    top += height;
  }
  return { boxes, height: top };
}

export class Explorer {
  constructor(root, study, given, notify) {
    this.study = study;
    this.settings = { ...study.defaults, theme: "auto", ...given };
    this.notify = notify;
    this.root = root;
    this.kept = {};
    this.views = {}; // limits of panels that were zoomed
    this.memory = {}; // what a study keeps from frame to frame
    this.told = {}; // the words that are shown
    this.moved = -Infinity;
    this.build();
    this.unwatch = watch(() => this.redraw());
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.area);
    this.draw();
  }

  build() {
    const { root, study } = this;
    root.classList.add("rnn-explore");
    root.innerHTML = `<div class="rnn-explore-sliders"></div><p class="rnn-explore-regime" aria-hidden="true"></p>
      <div class="rnn-explore-area"><canvas aria-hidden="true"></canvas></div>
      <dl class="rnn-explore-numbers"></dl><p class="rnn-explore-live" aria-live="polite" role="status"></p>`;
    const find = (name) => root.querySelector(name);
    [this.regime, this.area, this.canvas] = [find(".rnn-explore-regime"), find(".rnn-explore-area"), find("canvas")];
    [this.table, this.live] = [find("dl"), find(".rnn-explore-live")];
    this.ctx = this.canvas.getContext("2d", { alpha: false });
    this.sliders = new Sliders(find(".rnn-explore-sliders"), study.sliders, this.settings, (changes) => this.set(changes, true));
    this.handles = {};
    this.zooms = {};
    for (const [letter, { handle, zooms }] of Object.entries(study.panels)) {
      if (handle) this.addHandle(letter, handle);
      if (zooms) this.addZoom(letter);
    }
    // JupyterLab, which listens at the document, would take the arrow keys; its own, with Ctrl or ⌘, it keeps.
    this.keyed = ({ target, ctrlKey, metaKey }) => {
      if (root.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey));
    };
    window.addEventListener("keydown", this.keyed, true);
    this.canvas.addEventListener("pointerdown", (event) => this.pressed(event));
    this.canvas.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
  }

  addHandle(letter, { name, axes: [across, up] }) {
    const element = document.createElement("div"), { zooms } = this.study.panels[letter];
    element.className = "rnn-explore-point";
    element.tabIndex = 0;
    element.setAttribute("role", "slider");
    const keys = zooms ? "; plus and minus zoom, zero shows all" : "";
    element.setAttribute("aria-label", `${name}: arrow keys move it, with Shift ten times as far${keys}`);
    element.dataset.panel = letter;
    element.addEventListener("pointerdown", (event) => this.drag(event, letter, element));
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const factor = zooms ? { "+": 0.5, "=": 0.5, "-": 2, 0: 0 }[event.key] : undefined;
      if (!(event.key in KEYS) && factor === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      if (factor !== undefined) return void this.zoom(letter, factor);
      const [dx, dy] = KEYS[event.key], times = event.shiftKey ? 10 : 1, changes = {};
      for (const [parameter, direction] of [[across, dx], [up, dy]]) {
        if (!parameter || !direction) continue;
        const { step } = this.study.sliders.find((slider) => slider.name === parameter);
        changes[parameter] = Number((this.settings[parameter] + direction * times * step).toFixed(6));
      }
      this.set(changes, true);
    });
    this.area.append(element);
    this.handles[letter] = element;
  }

  /** Buttons in the corner of a panel; the wheel zooms with Ctrl or ⌘, as it else scrolls the page. */
  addZoom(letter) {
    const element = document.createElement("div");
    element.className = "rnn-explore-zoom";
    element.innerHTML = [["+", "zoom in (Ctrl and wheel)"], ["−", "zoom out (Ctrl and wheel)"], ["□", "show all"]]
      .map(([sign, name]) => `<button type="button" title="${name}" aria-label="${name}, panel ${letter}">${sign}</button>`).join("");
    [0.5, 2, 0].forEach((factor, i) => element.children[i].addEventListener("click", () => this.zoom(letter, factor)));
    this.area.append(element);
    this.zooms[letter] = element;
  }

  /** Scale the limits of a panel about a point of it, by default its handle; 0 forgets them. */
  zoom(letter, factor, about = null) {
    const axes = this.axes[letter], [x, y] = about ?? this.study.panels[letter].handle.at(this.settings);
    const scaledAbout = ([low, high], at) => {
      const fixed = at >= low && at <= high ? at : (low + high) / 2;
      return [fixed + factor * (low - fixed), fixed + factor * (high - fixed)];
    };
    const limits = { x: scaledAbout(axes.x, x), y: scaledAbout(axes.y, y) }, wide = limits.x[1] - limits.x[0];
    if (factor === 0) delete this.views[letter];
    else if (wide > 1e-6 && wide < 1e4) this.views[letter] = limits;
    this.moved = performance.now();
    this.redraw();
  }

  wheeled(event) {
    const letter = this.panelUnder(event);
    if (!(event.ctrlKey || event.metaKey) || !this.study.panels[letter]?.zooms) return;
    event.preventDefault();
    const { left, top } = this.canvas.getBoundingClientRect(), down = event.deltaMode ? event.deltaY * 30 : event.deltaY;
    const factor = Math.exp(Math.min(Math.max(down, -100), 100) * 0.004);
    this.zoom(letter, factor, this.axes[letter].valueAt(event.clientX - left, event.clientY - top));
  }

  panelUnder(event) {
    const { left, top } = this.canvas.getBoundingClientRect(), px = event.clientX - left, py = event.clientY - top;
    return Object.keys(this.axes).find((letter) => {
      const { box } = this.axes[letter];
      return px >= box.left && px <= box.left + box.width && py >= box.top && py <= box.top + box.height;
    });
  }

  /** A press in a panel brings its point there. */
  pressed(event) {
    if (event.pointerType === "touch") return; // a finger on the picture scrolls; it drags the points alone
    const letter = this.panelUnder(event);
    if (!this.handles[letter]) return;
    this.handles[letter].focus({ preventScroll: true });
    this.drag(event, letter, this.canvas);
  }

  /** Follow the pointer until it is let go; the panel's limits rest meanwhile. */
  drag(event, letter, element) {
    if (event.button) return;
    event.preventDefault();
    if (element !== this.canvas) element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const axes = this.axes[letter], { handle } = this.study.panels[letter];
    this.held = { letter, limits: { x: axes.x, y: axes.y } };
    const follow = (moved) => {
      const { left, top } = this.canvas.getBoundingClientRect(), { box } = axes;
      const px = Math.min(Math.max(moved.clientX - left, box.left), box.left + box.width);
      const py = Math.min(Math.max(moved.clientY - top, box.top), box.top + box.height);
      this.set(handle.to(...axes.valueAt(px, py), axes), true);
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
    for (const { name, least, most } of own ? this.study.sliders : []) {
      if (name in changes) changes[name] = Math.min(Math.max(changes[name], least), most);
    }
    const changed = Object.entries(changes).filter(([name, value]) => this.settings[name] !== value);
    if (!changed.length) return;
    Object.assign(this.settings, Object.fromEntries(changed));
    this.moved = performance.now();
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
    const begin = performance.now(), width = this.area.clientWidth, { study, canvas, ctx } = this;
    if (!width) return;
    const { boxes, height } = layout(study.rows(width), study.panels, width), ratio = globalThis.devicePixelRatio || 1;
    const isQuick = begin - this.moved < RESTING, found = study.scene(this.settings, isQuick, this.memory);
    const theme = resolved(this.settings.theme), colours = COLOURS[theme];
    if (this.root.dataset.theme !== theme) this.root.dataset.theme = theme;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      canvas.style.height = this.area.style.height = `${height}px`;
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = colours.paper;
    ctx.fillRect(0, 0, width, height);
    this.axes = {};
    let isUnfinished = found.isUnfinished ?? false;
    for (const [letter, panel] of Object.entries(study.panels)) {
      const rests = this.held?.letter === letter ? this.held.limits : this.views[letter];
      const axes = new Axes(ctx, boxes[letter], rests ?? panel.limits(found), colours);
      this.axes[letter] = axes;
      const under = panel.under?.(axes, found);
      isUnfinished ||= under?.isUnfinished ?? false;
      this.drawBack(letter, axes, found, ratio, theme, under);
      panel.front(axes, found);
      if (panel.handle) this.place(this.handles[letter], axes, panel.handle, found);
      if (panel.zooms) this.placeZoom(letter, axes.box, panel.zooms);
    }
    this.tell(found);
    clearTimeout(this.refining);
    if (isUnfinished) this.redraw();
    else if (isQuick && study.refines(found)) this.refining = setTimeout(() => this.redraw(), RESTING + 10);
    this.milliseconds = performance.now() - begin;
  }

  /** In the upper or the lower right corner. */
  placeZoom(letter, { left, top, width, height }, corner) {
    this.zooms[letter].style.transform = `translate(${left + width}px, ${corner === "upper" ? top : top + height - 36}px)`;
  }

  /** What a panel keeps is drawn anew only where something it depends on has changed. */
  drawBack(letter, axes, found, ratio, theme, under) {
    const panel = this.study.panels[letter], { box } = axes, { margin } = box;
    const key = JSON.stringify([panel.key(found), axes.x, axes.y, box, ratio, theme, under?.version]);
    const room = { left: box.left - margin.left, top: box.top - margin.top };
    if (this.kept[letter]?.key !== key) {
      const canvas = this.kept[letter]?.canvas ?? document.createElement("canvas");
      canvas.width = Math.ceil((box.width + margin.left + margin.right) * ratio);
      canvas.height = Math.ceil((box.height + margin.top + margin.bottom) * ratio);
      const ctx = canvas.getContext("2d", { alpha: false }); // copied in half the time
      ctx.setTransform(ratio, 0, 0, ratio, -room.left * ratio, -room.top * ratio);
      ctx.fillStyle = axes.colours.paper;
      ctx.fillRect(room.left, room.top, canvas.width / ratio, canvas.height / ratio);
      under?.draw(ctx);
      panel.back(new Axes(ctx, box, axes, axes.colours), found);
      this.kept[letter] = { key, canvas };
    }
    const { canvas } = this.kept[letter];
    this.ctx.drawImage(canvas, room.left, room.top, canvas.width / ratio, canvas.height / ratio);
  }

  place(element, axes, { axes: names, at }, found) {
    const [x, y] = at(found), { box } = axes, px = axes.across(x), py = axes.up(y);
    element.style.transform = `translate(${px}px, ${py}px)`;
    element.hidden = !(px >= box.left - 1 && px <= box.left + box.width + 1 && py >= box.top - 1 && py <= box.top + box.height + 1);
    element.setAttribute("aria-valuenow", x);
    element.setAttribute("aria-valuemin", axes.x[0]);
    element.setAttribute("aria-valuemax", axes.x[1]);
    element.setAttribute("aria-valuetext", names.filter(Boolean).map((name, i) => `${name} = ${[x, y][i]}`).join(", "));
  }

  /** Words and numbers beside the picture; the live region waits until the point rests. */
  tell(found) {
    const { sentence, rows, status } = this.study.words(found);
    this.sliders.show(this.settings);
    const numbers = [...rows, ["rounding", status.toLowerCase()]], { table } = this;
    if (table.childElementCount !== numbers.length) {
      table.innerHTML = numbers.map(([name]) => `<div><dt>${name}</dt><dd></dd></div>`).join("");
    }
    numbers.forEach(([, value], i) => this.put(i, table.children[i].lastElementChild, value));
    this.put("regime", this.regime, sentence);
    if (table.dataset.status !== status) table.dataset.status = status;
    clearTimeout(this.waiting);
    if (this.live.textContent !== sentence) this.waiting = setTimeout(() => (this.live.textContent = sentence), 400);
  }

  /** Words into an element, where they are others than before. */
  put(name, element, words) {
    if (this.told[name] === words) return;
    this.told[name] = words;
    element.innerHTML = typeset(words);
  }

  destroy() {
    this.unwatch();
    window.removeEventListener("keydown", this.keyed, true);
    this.observer.disconnect();
    clearTimeout(this.waiting);
    clearTimeout(this.refining);
    if (this.frame) cancelAnimationFrame(this.frame);
    this.root.replaceChildren();
  }
}

/** The two doors of a study: `mount` puts it into an element of a page, `render` into a notebook's cell. */
export function doors(study) {
  const names = [...Object.keys(study.defaults), "theme"];
  const mount = (root, settings, notify = () => {}) => new Explorer(root, study, settings, notify);
  const render = ({ model, el }) => {
    const root = document.createElement("div");
    el.append(root);
    const explorer = mount(root, Object.fromEntries(names.map((name) => [name, model.get(name)])), (settings) => {
      for (const name of names) model.set(name, settings[name]);
      model.save_changes();
    });
    const heard = names.map((name) => [`change:${name}`, () => explorer.set({ [name]: model.get(name) })]);
    for (const [event, answer] of heard) model.on(event, answer);
    return () => {
      for (const [event, answer] of heard) model.off(event, answer);
      explorer.destroy();
    };
  };
  return { mount, render };
}
