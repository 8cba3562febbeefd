// The five panels. Of each: its limits, what depends on little and is kept (back, with its key), and the rest (front).

import { CUSP, equilibria, flips, folds, history, logit, settle, sigmoid, step, twoCycle, wall } from "./numbers.js";
import { short } from "./regime.js";

const range = (count) => Array.from({ length: count + 1 }, (_, i) => i / count);
const between = (low, high, count) => range(count).map((share) => low + share * (high - low));

/** What all panels show, computed once a frame. */
export function scene({ w, b, epsilon, x0, steps }) {
  const neuron = { w, b, epsilon };
  return { ...neuron, neuron, x0, steps, points: equilibria(neuron), run: history(neuron, x0, steps) };
}

// ---- a: the bifurcation diagram over b ---------------------------------------------------------------------------

/** Limits that hold folds or flips and the bias, about the symmetric bias −w/2. */
function diagramLimits({ w, b, epsilon }) {
  const events = [...folds(w), ...flips(w, epsilon)].map((event) => Math.abs(event.b + w / 2));
  const reach = Math.max(0.35, 2.2 * Math.max(0, ...events.filter(() => w > 0)), 1.25 * Math.max(0, ...events));
  const shown = Math.max(reach, 1.15 * Math.abs(b + w / 2));
  return { x: [-w / 2 - shown, -w / 2 + shown], y: [-0.03, 1.03] };
}

/** The curve b = logit x − w x between two values of logit x. */
function curve(w, from, to, count = 240) {
  const z = between(from, to, count), x = z.map(sigmoid);
  return { b: z.map((one, i) => one - w * x[i]), x };
}

function diagramBack(axes, { w, epsilon }) {
  const { ctx, colours } = axes, [first, last] = w > 0 ? folds(w) : flips(w, epsilon);
  const far = 4 + Math.max(Math.abs(axes.x[0]), Math.abs(axes.x[1])) + Math.abs(w);
  const turn = first ? Math.abs(logit(first.x)) : 0;
  axes.inside(() => {
    if (first && w > 4) {
      const middle = curve(w, -turn, turn);
      axes.area([...middle.b, last.b, first.b], [...middle.x, -1, -1], colours.low, colours.shade);
      axes.area([...middle.b, last.b, first.b], [...middle.x, 2, 2], colours.high, colours.shade);
    }
    if (first && w < 0) drawCycles(axes, w, epsilon, first.b, last.b);
    const stable = { colour: colours.ink, width: 2.2 };
    for (const [from, to] of [[-far, -turn], [turn, far]]) {
      const { b, x } = curve(w, from, to, 600);
      axes.line(b, x, stable);
    }
    const middle = curve(w, -turn, turn);
    axes.line(middle.b, middle.x, { colour: colours.ink, width: 1.3, dash: [5, 3] });
    for (const { b, x } of w === 4 ? [] : [first, last].filter(Boolean)) {
      const square = w < 0;
      axes.marker(b, x, square ? "square" : "dot", { colour: square ? colours.ink : colours.paper, fill: square ? colours.paper : colours.ink });
    }
    if (w === 4) axes.marker(CUSP.b, CUSP.x, "diamond", { colour: colours.ink, fill: colours.wall });
  });
  ctx.fillStyle = colours.ink;
  axes.frame({
    letter: "a",
    title: `bifurcations at *w* = ${short(w)}, *ε* = ${short(epsilon)}`,
    across: "bias *b*",
    up: "state *x*",
  });
  const lines = [{ label: "stable", colour: colours.ink }];
  if (first && w !== 4) lines.push({ label: "unstable", colour: colours.ink, dash: [5, 3] });
  if (first && w < 0) lines.push({ label: epsilon === 1 ? "2-cycle" : "cycles, chaos", colour: colours.cycle });
  if (axes.box.width > 340) axes.legend(lines);
}

const SAMPLES = new Float64Array(32);

/** The 2-cycle as a line at ε = 1; else where orbits are after many steps, as dots. */
function drawCycles(axes, w, epsilon, low, high) {
  const { ctx, colours } = axes;
  if (epsilon === 1) {
    const b = between(0, Math.PI, 160).map((angle) => (low + high - (high - low) * Math.cos(angle)) / 2);
    const found = b.map((one) => twoCycle({ w, b: one, epsilon }));
    const ends = [(1 - (flips(w, 1)[1].x - flips(w, 1)[0].x)) / 2, flips(w, 1)[1].x];
    for (const side of [0, 1]) {
      const x = found.map((cycle, i) => (cycle ? cycle[side] : ends[i ? 1 : 0]));
      axes.line(b, x, { colour: colours.cycle, width: 1.8 });
    }
    return;
  }
  const { left, top, width, height } = axes.box, ratio = ctx.getTransform().a;
  const columns = Math.round(width), rows = Math.round(height * ratio), image = ctx.createImageData(columns, rows);
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colours.cycle.slice(at, at + 2), 16));
  for (let column = 0; column < columns; column++) {
    const [b] = axes.valueAt(left + ((column + 0.5) / columns) * width, 0);
    if (!(b > low && b < high)) continue;
    for (const start of [0.2, 0.7]) {
      settle({ w, b, epsilon }, start, 110, SAMPLES);
      for (const x of SAMPLES) {
        const at = 4 * (Math.floor((axes.up(x) - top) * ratio) * columns + column);
        for (const below of [at, at + 4 * columns]) {
          image.data[below] = red;
          image.data[below + 1] = green;
          image.data[below + 2] = blue;
          image.data[below + 3] = Math.min(image.data[below + 3] + 70, 255);
        }
      }
    }
  }
  const dots = document.createElement("canvas");
  [dots.width, dots.height] = [columns, rows];
  dots.getContext("2d").putImageData(image, 0, 0);
  ctx.drawImage(dots, left, top, width, height);
}

function diagramFront(axes, { b, x0, run }) {
  const { colours } = axes, end = run.x[run.x.length - 1];
  axes.inside(() => {
    axes.line([b, b], [-1, 2], { colour: colours.point, width: 0.8, dash: [2, 3] });
    axes.line([b, b], [x0, end], { colour: colours.point, width: 2 });
  });
  axes.marker(b, end, "diamond", { colour: colours.paper, fill: colours.point, size: 4.5 });
  const right = axes.across(b) < axes.box.left + axes.box.width - 40;
  axes.note("*x*_T", axes.across(b) + (right ? 9 : -9), axes.up(end) + 4, { align: right ? 0 : 1, colour: colours.point, size: 12 });
}

// ---- b: the parameter plane --------------------------------------------------------------------------------------

function planeLimits({ w, b }) {
  return { x: [Math.min(-12, w - 2), Math.max(12, w + 2)], y: [Math.min(-10, b - 2), Math.max(10, b + 2)] };
}

/** Two curves from where they meet to the edge: {w, low, high}. */
function wedge(from, to, located) {
  const w = range(160).map((share) => from + (to - from) * share ** 2), found = w.map(located);
  return { w, low: found.map(([one, other]) => Math.min(one.b, other.b)), high: found.map(([one, other]) => Math.max(one.b, other.b)) };
}

function planeBack(axes, { epsilon }) {
  const { colours, x, ctx, box } = axes, meeting = (-4 * (2 - epsilon)) / epsilon;
  axes.inside(() => {
    for (const [from, to, located, isFold] of [[4, x[1], folds, true], [meeting * (1 + 1e-12), x[0], (w) => flips(w, epsilon), false]]) {
      if (isFold ? to <= from : to >= from) continue;
      const { w, low, high } = wedge(from, to, located);
      const colour = isFold ? colours.ink : colours.cycle, back = [...w].reverse();
      axes.area([...w, ...back], [...low, ...[...high].reverse()], isFold ? colours.light : colours.cycle, isFold ? 0.7 : 0.16);
      axes.line(w, low, { colour, width: 1.7 });
      axes.line(w, high, { colour, width: 1.7 });
      // Off the middle, where walls run.
      const upper = axes.up(Math.min(high[high.length - 1], axes.y[1])), middle = axes.up(-to / 2);
      const text = epsilon === 1 ? "2-cycle" : "cycles, chaos";
      if (!isFold && middle - upper > 36) axes.note(text, box.left + 8, (2 * upper + middle) / 3 + 4);
    }
    axes.marker(CUSP.w, CUSP.b, "diamond", { colour: colours.ink, fill: colours.wall, size: 4 });
    axes.note("cusp", axes.across(CUSP.w) - 9, axes.up(CUSP.b) + 14, { align: 1 });
    if (meeting > x[0]) axes.note("flip", axes.across(meeting) + 6, axes.up(-meeting / 2) - 6);
    const at = Math.max(...x) * 0.75, [, fold] = folds(at);
    const below = axes.up(fold.b) + 14;
    if (below < box.top + box.height - 4) axes.note("folds: two attractors between", axes.across(at) - 8, below, { align: 1 });
  });
  ctx.fillStyle = colours.ink;
  axes.frame({ letter: "b", title: `parameter plane at *ε* = ${short(epsilon)}`, across: "weight *w*", up: "bias *b*" });
}

function planeFront(axes, { w, b, epsilon, x0 }) {
  const { colours, x } = axes, style = { colour: colours.wall, width: 1.8, dash: [7, 2, 1.5, 2] };
  const repelling = x0 > 0 && x0 < 1 ? [1 / (x0 * (1 - x0)), (epsilon - 2) / (epsilon * x0 * (1 - x0))] : [];
  axes.inside(() => {
    for (const [from, to] of [[repelling[0], x[1]], [repelling[1], x[0]]]) {
      if (!(Math.sign(from) * (to - from) > 0)) continue;
      axes.line([from, to], [logit(x0) - from * x0, logit(x0) - to * x0], style);
    }
    axes.line([w, w], axes.y, { colour: colours.point, width: 0.8, dash: [2, 3] });
    axes.line(x, [b, b], { colour: colours.point, width: 0.8, dash: [2, 3] });
  });
  if (Number.isFinite(wall(x[1], x0, epsilon))) {
    axes.legend([{ label: `wall of *x*_0 = ${short(x0)}`, ...style }]);
  }
}

// ---- c: the cobweb -----------------------------------------------------------------------------------------------

function cobwebBack(axes, { neuron, points }) {
  const { colours } = axes, x = range(200);
  axes.inside(() => {
    if (points.length === 3) {
      const at = points[1].x;
      axes.area([-1, at, at, -1], [-1, -1, 2, 2], colours.low, colours.shade);
      axes.area([at, 2, 2, at], [-1, -1, 2, 2], colours.high, colours.shade);
    }
    axes.line([0, 1], [0, 1], { colour: colours.grey, width: 0.9 });
    axes.line(x, x.map((one) => step(neuron, one)), { colour: colours.ink, width: 2 });
  });
  axes.frame({ letter: "c", title: "map and orbit", across: "*x*_t", up: "*x*_{t+1}" });
}

function cobwebFront(axes, { x0, points, run }) {
  const { colours } = axes, xs = [x0], ys = [0];
  for (let t = 0; t + 1 < Math.min(run.x.length, 151); t++) {
    xs.push(run.x[t], run.x[t + 1]);
    ys.push(run.x[t + 1], run.x[t + 1]);
  }
  axes.inside(() => axes.line(xs, ys, { colour: colours.point, width: 1, alpha: run.x.length > 80 ? 0.6 : 1 }));
  for (const { x, stability } of points) {
    const fill = { stable: colours.ink, unstable: colours.paper, marginal: colours.grey }[stability];
    axes.marker(x, x, "dot", { colour: colours.ink, fill, size: 3.8 });
  }
}

// ---- d: the orbit ------------------------------------------------------------------------------------------------

function orbitBack(axes, { points }) {
  const { colours } = axes;
  for (const { x, stability } of points) {
    const dash = stability === "unstable" ? [5, 3] : [];
    axes.line(axes.x, [x, x], { colour: colours.grey, width: 1.1, dash });
  }
  axes.frame({ letter: "d", title: "orbit", across: "step *t*", up: "state *x*_t" });
}

function orbitFront(axes, { run, steps }) {
  const { colours, ctx } = axes, t = Array.from(run.x.keys());
  axes.line(t, run.x, steps > 120 ? { colour: colours.point } : { colour: colours.point, width: 1.2, alpha: 0.75 });
  if (steps > 120) return;
  ctx.fillStyle = colours.point;
  for (const at of t) {
    ctx.beginPath();
    ctx.arc(axes.across(at), axes.up(run.x[at]), 2.3, 0, 2 * Math.PI);
    ctx.fill();
  }
}

// ---- e: the gradients --------------------------------------------------------------------------------------------

const GRADIENTS = [
  { index: 0, label: "|∂*x*_T/∂*x*_0|", colour: "byStart" },
  { index: 2, label: "|∂*x*_T/∂*b*|", colour: "byBias" },
];

/** Limits of the decades, rounded outward so that they rest while a point is dragged. */
function gradientLimits({ run, steps }) {
  let low = -1, high = 1;
  for (const { index } of GRADIENTS) {
    for (const log of run.logs[index]) {
      if (!Number.isFinite(log)) continue;
      low = Math.min(low, log / Math.LN10);
      high = Math.max(high, log / Math.LN10);
    }
  }
  const unit = 10 ** Math.floor(Math.log10(high - low)) / 2;
  return { x: [0, Math.max(steps, 1)], y: [Math.floor(low / unit) * unit, Math.ceil((high + 0.15 * (high - low)) / unit) * unit] };
}

function gradientBack(axes) {
  axes.line(axes.x, [0, 0], { colour: axes.colours.grey, width: 0.9 });
  axes.frame({ letter: "e", title: "gradients", across: "number of steps *T*", up: "log_{10} of the size" });
}

function gradientFront(axes, { run }) {
  const { colours } = axes, t = Array.from(run.x.keys());
  let isLost = false;
  axes.inside(() => {
    for (const { index, colour } of GRADIENTS) {
      const decades = Array.from(run.logs[index], (log) => log / Math.LN10), known = run.resolved[index];
      // The steps on either side of the first unknown value belong to both parts, so that the line has no gap.
      const good = decades.map((one, i) => (known[i] ? one : NaN));
      const bad = decades.map((one, i) => (known[i] && known[i + 1] !== 0 ? NaN : one));
      isLost ||= known.includes(0);
      axes.line(t, good, { colour: colours[colour], width: 1.9 });
      axes.line(t, bad, { colour: colours[colour], width: 1.3, dash: [1.5, 3.5], alpha: 0.8 });
    }
  });
  const labels = GRADIENTS.map(({ label, colour }) => ({ label, colour: colours[colour] }));
  axes.legend(isLost ? [...labels, { label: "unresolved", dash: [1.5, 3.5] }] : labels);
}

const round = (value, digits) => Number(value.toFixed(digits));

/** The panels by letter; a handle is a point that can be moved, with what it is called and how far a key moves it. */
export const PANELS = {
  a: {
    limits: diagramLimits,
    key: ({ w, epsilon }) => [w, epsilon],
    back: diagramBack,
    front: diagramFront,
    handle: {
      name: "bias b and start x0 in the bifurcation diagram",
      axes: ["b", "x0"],
      at: ({ b, x0 }) => [b, x0],
      to: (b, x0) => ({ b: round(b, 4), x0: round(x0, 4) }),
    },
  },
  b: {
    limits: planeLimits,
    key: ({ epsilon }) => [epsilon],
    back: planeBack,
    front: planeFront,
    handle: {
      name: "weight w and bias b in the parameter plane",
      axes: ["w", "b"],
      at: ({ w, b }) => [w, b],
      to: (w, b) => ({ w: round(w, 3), b: round(b, 3) }),
    },
  },
  c: {
    limits: () => ({ x: [0, 1], y: [0, 1] }),
    key: ({ w, b, epsilon }) => [w, b, epsilon],
    back: cobwebBack,
    front: cobwebFront,
    handle: {
      name: "start x0 below the map",
      axes: ["x0", null],
      at: ({ x0 }) => [x0, 0],
      to: (x0) => ({ x0: round(x0, 4) }),
    },
  },
  d: {
    limits: ({ steps }) => ({ x: [0, Math.max(steps, 1)], y: [-0.03, 1.03] }),
    key: ({ w, b, epsilon }) => [w, b, epsilon],
    back: orbitBack,
    front: orbitFront,
  },
  e: { limits: gradientLimits, key: () => [], back: gradientBack, front: gradientFront },
};
