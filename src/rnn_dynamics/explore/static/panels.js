// The five panels. Of each: its limits, what depends on little and is kept (back, with its key), and the rest (front).

import { DIAGRAM_HANDLE, between, diagramBack, diagramFront, diagramLimits, range, round, rounded } from "./diagram.js";
import { CUSP, equilibria, flips, folds, history, logit, sensitivities, step, wall } from "./numbers.js";
import { short } from "./words.js";

/** What all panels show, computed once a frame; chaos is drawn from fewer orbits while something moves. */
export function scene({ w, b, epsilon, x0, steps }, isQuick) {
  const neuron = { w, b, epsilon }, isRough = isQuick && epsilon < 1 && flips(w, epsilon).length > 0;
  const run = history(neuron, x0, steps), end = sensitivities(neuron, x0, steps);
  return { ...neuron, neuron, x0, steps, points: equilibria(neuron), run, end, isRough };
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
  const plane = axes.box.width < 300 ? "plane" : "parameter plane"; // the wall's name stands beside it
  axes.frame({ letter: "b", title: `${plane} at *ε* = ${short(epsilon)}`, across: "weight *w*", up: "bias *b*" });
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
  const { colours } = axes, t = Array.from(run.x.keys());
  axes.line(t, run.x, steps > 120 ? { colour: colours.point } : { colour: colours.point, width: 1.2, alpha: 0.75 });
  if (steps <= 120) axes.dots(t, run.x, { colour: colours.point, size: 2.3 });
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

/** The panels by letter; a handle is a point that can be moved, with what it is called and how far a key moves it. */
export const PANELS = {
  a: {
    limits: diagramLimits,
    key: ({ w, epsilon, isRough }) => [w, epsilon, isRough],
    back: diagramBack,
    front: diagramFront,
    handle: DIAGRAM_HANDLE,
  },
  b: {
    limits: planeLimits,
    key: ({ epsilon }) => [epsilon],
    back: planeBack,
    front: planeFront,
    zooms: "upper",
    handle: {
      name: "weight w and bias b in the parameter plane",
      axes: ["w", "b"],
      at: ({ w, b }) => [w, b],
      to: (w, b, axes) => ({ w: rounded(w, axes.x), b: rounded(b, axes.y) }),
    },
  },
  c: {
    isSquare: true,
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
