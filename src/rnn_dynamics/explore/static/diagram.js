// The bifurcation diagram over b: what both explorers show of one neuron.

import { CUSP, flips, folds, logit, settle, sigmoid, twoCycle } from "./numbers.js";
import { short } from "./words.js";

export const range = (count) => Array.from({ length: count + 1 }, (_, i) => i / count);
export const between = (low, high, count) => range(count).map((share) => low + share * (high - low));
export const round = (value, digits) => Number(value.toFixed(digits));
/** To a thousandth of what is shown, or finer where a panel was zoomed. */
export const rounded = (value, [low, high]) => round(value, Math.min(Math.max(3, Math.ceil(3 - Math.log10(high - low))), 12));
export const isInside = ([low, high], value) => value >= low && value <= high;

/** Limits that hold folds or flips and the bias, about the symmetric bias −w/2. */
export function diagramLimits({ w, b, epsilon }) {
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

export function diagramBack(axes, { w, epsilon, isRough }, letter = "a") {
  const { ctx, colours } = axes, [first, last] = w > 0 ? folds(w) : flips(w, epsilon);
  const far = 4 + Math.max(Math.abs(axes.x[0]), Math.abs(axes.x[1])) + Math.abs(w);
  const turn = first ? Math.abs(logit(first.x)) : 0;
  axes.inside(() => {
    if (first && w > 4) {
      const middle = curve(w, -turn, turn);
      axes.area([...middle.b, last.b, first.b], [...middle.x, -1, -1], colours.low, colours.shade);
      axes.area([...middle.b, last.b, first.b], [...middle.x, 2, 2], colours.high, colours.shade);
    }
    if (first && w < 0) drawCycles(axes, { w, epsilon, isRough }, first.b, last.b);
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
    letter,
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
function drawCycles(axes, { w, epsilon, isRough }, low, high) {
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
  const { left, top, width, height } = axes.box, ratio = isRough ? 1 : ctx.getTransform().a;
  const columns = Math.round(width / (isRough ? 3 : 1)), rows = Math.round(height * ratio), image = ctx.createImageData(columns, rows);
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

export function diagramFront(axes, { b, x0, run }) {
  const { colours } = axes, end = run.x[run.x.length - 1];
  axes.inside(() => {
    axes.line([b, b], [-1, 2], { colour: colours.point, width: 0.8, dash: [2, 3] });
    axes.line([b, b], [x0, end], { colour: colours.point, width: 2 });
  });
  axes.marker(b, end, "diamond", { colour: colours.paper, fill: colours.point, size: 4.5 });
  const right = axes.across(b) < axes.box.left + axes.box.width - 40;
  axes.note("*x*_T", axes.across(b) + (right ? 9 : -9), axes.up(end) + 4, { align: right ? 0 : 1, colour: colours.pointText, size: 12 });
}

/** The point (b, x0) of the diagram, which can be moved. */
export const DIAGRAM_HANDLE = {
  name: "bias b and start x0 in the bifurcation diagram",
  axes: ["b", "x0"],
  at: ({ b, x0 }) => [b, x0],
  to: (b, x0) => ({ b: round(b, 4), x0: round(x0, 4) }),
};
