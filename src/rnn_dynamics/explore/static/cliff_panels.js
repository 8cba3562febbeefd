// The panels of the loss cliff: the plane with both descents, bifurcations and L over b, and both against the update.

import { DIAGRAM_HANDLE, diagramBack, diagramFront, diagramLimits, range, rounded } from "./diagram.js";
import { HeatMap, SLICE, colourBar } from "./heat.js";
import { Descent, biases, descent, limitLoss, lossAlong, lossAt } from "./loss.js";
import { CUSP, equilibria, folds, logit, wall } from "./numbers.js";
import { longest, ordinal } from "./outcome.js";
import { short } from "./words.js";

const LONG = 8e3; // steps of orbits of one path while something moves
const ARROW = { from: -3, perDecade: 7 }; // decades of the norm and pixels

/** What a function gives of a key, once. */
function kept(memory, name, key, compute) {
  const text = JSON.stringify(key);
  if (memory[name]?.text !== text) memory[name] = { text, value: compute() };
  return memory[name].value;
}

/** Both paths; long ones are judged once nothing moves, a while in each frame, and are rough until then. */
function descents(given, isQuick, memory) {
  const thresholds = [null, given.clip], isLong = 4 * given.steps * (given.updates + 1) > LONG;
  const rough = () => kept(memory, "rough", given, () => thresholds.map((threshold) => descent(given, threshold, true)));
  if (isQuick && isLong) return { paths: rough(), isRough: true };
  const work = kept(memory, "work", given, () => thresholds.map((threshold) => new Descent(given, threshold)));
  const until = performance.now() + (isLong ? SLICE : Infinity);
  if (!work.every((one) => one.advance(until))) return { paths: rough(), isRough: true, isUnfinished: true };
  return { paths: kept(memory, "judged", given, () => work.map((one) => one.judged())), isRough: false };
}

/** What all panels show. */
export function cliffScene(settings, isQuick, memory) {
  const { w, b, epsilon, x0, target, steps, rate, clip, updates } = settings, neuron = { w, b, epsilon };
  const given = { w, b, epsilon, x0, target, steps, rate, clip, updates };
  const { paths, isRough, isUnfinished = false } = descents(given, isQuick, memory);
  memory.map ??= new HeatMap();
  const at = lossAt(given), [plain, clipped] = paths;
  return { ...given, neuron, isQuick, isRough, isUnfinished, memory, at, run: { x: [at.x] }, points: equilibria(neuron), plain, clipped };
}

// ---- a: the plane ------------------------------------------------------------------------------------------------

function planeUnder(axes, { memory, epsilon, x0, steps, target, isQuick, isUnfinished }) {
  return memory.map.prepare(axes, { epsilon, x0, steps }, target, axes.colours.heat, isQuick || isUnfinished);
}

const onPaper = (axes, text, px, py, options) => axes.note(text, px, py, { size: 11.5, ...options });

function planeBack(axes, { epsilon, x0, steps }) {
  const { colours, x, y, box, ctx } = axes;
  axes.inside(() => {
    const w = range(200).map((share) => 4 + share ** 2 * (Math.max(x[1], 4) - 4)), found = w.map(folds);
    for (const side of [0, 1]) {
      axes.line(w, found.map((pair) => pair[side].b), { colour: colours.paper, width: 3.2, alpha: 0.6 });
      axes.line(w, found.map((pair) => pair[side].b), { colour: colours.ink, width: 1.2 });
    }
    axes.marker(CUSP.w, CUSP.b, "diamond", { colour: colours.ink, fill: colours.wall, size: 3.5 });
    if (x0 > 0 && x0 < 1) {
      const [from, to] = [1, epsilon - 2].map((drive) => drive / ((drive > 0 ? 1 : epsilon) * x0 * (1 - x0)));
      for (const [start, end] of [[from, x[1]], [to, x[0]]]) {
        if (Math.sign(start) * (end - start) <= 0) continue;
        const ends = [start, end], at = ends.map((one) => logit(x0) - one * x0);
        axes.line(ends, at, { colour: colours.paper, width: 4, alpha: 0.7 });
        axes.line(ends, at, { colour: colours.wall, width: 2.2, dash: [7, 2, 1.5, 2] });
      }
    }
  });
  colourBar(axes, colours.heat);
  axes.frame({ letter: "a", title: `*L* = (*x*_{T} − target)^{2} at *T* = ${steps}`, across: "weight *w*", up: "bias *b*" });
  ctx.fillStyle = colours.ink;
  const shown = (at, py) => py > box.top + 16 && py < box.top + box.height - 44 && at > x[0] && at < x[1];
  // Names stand on what falls to the right, clear of it at their left end too.
  const right = x[1] - 0.03 * (x[1] - x[0]), edge = axes.across(right), [left] = axes.valueAt(edge - 30, 0);
  const heights = (at) => [wall(at, x0, epsilon), ...(at > 4 ? folds(at).map(({ b }) => b) : [])].map((b) => axes.up(b));
  const [barrier, upper, lower] = heights(right), [barrierLeft, upperLeft] = heights(left);
  if (shown(right, barrier)) onPaper(axes, "wall", edge, Math.min(barrier, barrierLeft) - 5, { align: 1, colour: colours.wallText });
  if (shown(right, lower) && !(Math.abs(lower - barrier) <= 30)) onPaper(axes, "fold", edge - 22, lower + 16, { align: 1 });
  if (shown(right, upper) && !(Math.abs(upper - barrier) <= 40)) onPaper(axes, "fold", edge, Math.min(upper, upperLeft) - 5, { align: 1 });
  if (shown(CUSP.w, axes.up(CUSP.b)) && y[0] < CUSP.b) onPaper(axes, "cusp", axes.across(CUSP.w) - 10, axes.up(CUSP.b) + 4, { align: 1 });
}

/** The lines of an arrow on the canvas from (px, py) along a unit vector. */
function outline(ctx, px, py, [dx, dy], length) {
  const [ex, ey] = [px + dx * length, py + dy * length], head = Math.min(6, 2 + length / 3);
  ctx.moveTo(px, py);
  ctx.lineTo(ex, ey);
  for (const turn of [2.6, -2.6]) {
    ctx.moveTo(ex, ey);
    ctx.lineTo(ex + head * (dx * Math.cos(turn) - dy * Math.sin(turn)), ey + head * (dx * Math.sin(turn) + dy * Math.cos(turn)));
  }
}

function arrow(ctx, px, py, along, length, colour, width = 1.3) {
  ctx.beginPath();
  outline(ctx, px, py, along, length);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

const lengthOf = (logNorm) => Math.max(0, (logNorm / Math.LN10 - ARROW.from) * ARROW.perDecade);

/** −gradient at points of a path that are some pixels apart, and at its longest one; length log of the norm. */
function arrows(axes, path, colour) {
  const { ctx, box, x, y } = axes, top = longest(path);
  let last = [-Infinity, -Infinity];
  ctx.beginPath();
  path.w.forEach((w, i) => {
    const [px, py] = [axes.across(w), axes.up(path.b[i])];
    if (!(Math.hypot(px - last[0], py - last[1]) > 9 || i === top)) return;
    const [dw, db] = path.gradient[i], along = [(-dw * box.width) / (x[1] - x[0]), (db * box.height) / (y[1] - y[0])];
    const size = Math.hypot(...along), length = lengthOf(path.logNorm[i]);
    if (!(size > 0) || length < 1) return;
    last = [px, py];
    outline(ctx, px, py, along.map((one) => one / size), length);
  });
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.3;
  ctx.stroke();
}

/** A path with its points; the plain one is broad, so that it shows under the other where both are one. */
function track(axes, path, colour, width) {
  axes.line(path.w, path.b, { colour: axes.colours.paper, width: width + 2, alpha: 0.75 });
  axes.line(path.w, path.b, { colour, width });
  axes.dots(path.w, path.b, { colour, size: 1 + width / 2 });
}

/** Where the line to a point outside leaves the panel: {px, py, direction}, or null where both are inside. */
function exit(axes, [fromX, fromY], [toX, toY]) {
  const { left, top, width, height } = axes.box, [dx, dy] = [toX - fromX, toY - fromY];
  const shares = [[dx, left - fromX, left + width - fromX], [dy, top - fromY, top + height - fromY]]
    .map(([d, low, high]) => (d === 0 ? Infinity : Math.max(low / d, high / d)));
  const share = Math.min(...shares), size = Math.hypot(dx, dy);
  return share >= 0 && share < 1 ? { px: fromX + share * dx, py: fromY + share * dy, direction: [dx / size, dy / size] } : null;
}

function planeFront(axes, { plain, clipped }) {
  const { colours, ctx, box, x, y } = axes;
  axes.inside(() => {
    track(axes, plain, colours.point, 4);
    track(axes, clipped, colours.cycle, 1.4);
    arrows(axes, plain, colours.point);
    arrows(axes, clipped, colours.cycle);
    axes.marker(clipped.w[clipped.w.length - 1], clipped.b[clipped.b.length - 1], "diamond", { colour: colours.paper, fill: colours.cycle, size: 4.5 });
    axes.marker(plain.w[plain.w.length - 1], plain.b[plain.b.length - 1], "diamond", { colour: colours.paper, fill: colours.point, size: 4.5 });
  });
  const at = longest(plain), isIn = (i) => plain.w[i] >= x[0] && plain.w[i] <= x[1] && plain.b[i] >= y[0] && plain.b[i] <= y[1];
  if (at + 1 < plain.w.length && isIn(at) && !isIn(at + 1)) {
    const points = [at, at + 1].map((i) => [axes.across(plain.w[i]), axes.up(plain.b[i])]), out = exit(axes, ...points);
    if (out) {
      axes.inside(() => arrow(ctx, out.px - 14 * out.direction[0], out.py - 14 * out.direction[1], out.direction, 13, colours.point, 2));
      const text = `${ordinal(at + 1)} step: to (${short(plain.w[at + 1])}, ${short(plain.b[at + 1])})`;
      const py = Math.min(Math.max(out.py + 16, box.top + 18), box.top + box.height - 10), isRight = out.px < box.left + box.width / 2;
      onPaper(axes, text, out.px + (isRight ? 12 : -12), py, { align: isRight ? 0 : 1, colour: colours.pointText, size: 12 });
    }
  }
  axes.legend([{ label: "plain", colour: colours.point }, { label: "clipped", colour: colours.cycle }]);
  arrowKey(axes);
}

/** Samples of the arrows in the corner, and what their length says. */
function arrowKey(axes) {
  const { ctx, box, colours } = axes, left = box.left + 10, bottom = box.top + box.height - 12;
  let px = left;
  for (const decade of [-2, 0, 2, 4]) {
    const length = lengthOf(decade * Math.LN10);
    arrow(ctx, px, bottom - 4, [1, 0], length, colours.paper, 4);
    arrow(ctx, px, bottom - 4, [1, 0], length, colours.ink);
    px += length + 5;
    px += onPaper(axes, decade === 0 ? "1" : `10^{${decade < 0 ? "−" : ""}${Math.abs(decade)}}`, px, bottom) + 12;
  }
  onPaper(axes, "arrows: −gradient, length log_{10} of its norm", left, bottom - 18);
}

// ---- c: L along b ------------------------------------------------------------------------------------------------

function alongLimits(found) {
  return { x: diagramLimits(found).x, y: [-0.03, 1.08].map((one) => one * Math.max(found.target, 1 - found.target) ** 2) };
}

function alongBack(axes, found) {
  const { colours, x, y } = axes, barrier = wall(found.w, found.x0, found.epsilon);
  const b = biases(x, barrier, found.isQuick ? 80 : 320), loss = lossAlong(b, found), limit = b.map((one) => limitLoss({ ...found, b: one }));
  axes.inside(() => {
    axes.line([barrier, barrier], y, { colour: colours.wall, width: 1.8, dash: [7, 2, 1.5, 2] });
    axes.line(b, limit, { colour: colours.grey, width: 3, dash: [2, 3] });
    axes.line(b, loss, { colour: colours.ink, width: 1.8 });
  });
  const title = axes.box.width < 330 ? "loss" : `loss at *w* = ${short(found.w)}`; // the lines' names stand beside it
  axes.frame({ letter: "c", title, across: "bias *b*", up: "loss *L*" });
  const lines = [
    { label: `*T* = ${found.steps}`, colour: colours.ink },
    { label: "*T* → ∞", colour: colours.grey, dash: [2, 3] },
    { label: "wall", colour: colours.wall, dash: [7, 2, 1.5, 2] },
  ];
  axes.legend(Number.isNaN(barrier) ? lines.slice(0, 2) : lines);
}

function alongFront(axes, { b, at }) {
  const { colours } = axes;
  axes.inside(() => axes.line([b, b], axes.y, { colour: colours.point, width: 0.8, dash: [2, 3] }));
  axes.marker(b, at.value, "diamond", { colour: colours.paper, fill: colours.point, size: 4.5 });
}

// ---- d, e: against the update ------------------------------------------------------------------------------------

const decadesOf = (logs) => Array.from(logs, (log) => Math.max(log / Math.LN10, -99));

/** Decades of both paths, rounded outward, no lower than `least`. */
function decadeLimits(both, updates, least) {
  const all = both.flat().filter(Number.isFinite);
  const low = Math.max(Math.min(0, ...all), least), high = Math.max(1, ...all), unit = high - low > 12 ? 4 : 2;
  return { x: [0, Math.max(updates, 1)], y: [Math.floor(low / unit) * unit, Math.ceil(high / unit) * unit] };
}

const norms = ({ plain, clipped }) => [plain, clipped].map(({ logNorm }) => decadesOf(logNorm));
const losses = ({ plain, clipped }) => [plain, clipped].map(({ value }) => decadesOf(value.map(Math.log)));

function drawBoth(axes, [plain, clipped]) {
  const { colours } = axes;
  axes.inside(() => {
    axes.line(Array.from(plain.keys()), plain, { colour: colours.point, width: 4 });
    axes.line(Array.from(clipped.keys()), clipped, { colour: colours.cycle, width: 1.5 });
  });
}

function normBack(axes, { clip }) {
  const at = Math.log10(clip);
  axes.inside(() => axes.line(axes.x, [at, at], { colour: axes.colours.grey, width: 1.1, dash: [5, 3] }));
  const edge = axes.box.left + axes.box.width - 4;
  if (at > axes.y[0] && at < axes.y[1]) axes.note("threshold", edge, axes.up(at) - 6, { align: 1, colour: axes.colours.grey });
  axes.frame({ letter: "d", title: "gradient", across: "update", up: "log_{10} of the norm" });
}

function normFront(axes, found) {
  drawBoth(axes, norms(found));
  axes.legend([{ label: "plain", colour: axes.colours.point }, { label: "clipped", colour: axes.colours.cycle }]);
}

function lossBack(axes) {
  axes.frame({ letter: "e", title: "loss", across: "update", up: "log_{10} *L*" });
}

/** The panels by letter. */
export const CLIFF_PANELS = {
  a: {
    margin: { right: 66 },
    limits: ({ w, b }) => ({ x: [Math.min(3.7, w - 0.3), Math.max(5.7, w + 0.3)], y: [Math.min(-3, b - 0.2), Math.max(-1.8, b + 0.2)] }),
    key: ({ epsilon, x0, steps, target }) => [epsilon, x0, steps, target],
    under: planeUnder,
    back: planeBack,
    front: planeFront,
    zooms: "lower",
    handle: {
      name: "start (w, b) of the descents in the plane",
      axes: ["w", "b"],
      at: ({ w, b }) => [w, b],
      to: (w, b, axes) => ({ w: rounded(w, axes.x), b: rounded(b, axes.y) }),
    },
  },
  b: {
    limits: diagramLimits,
    key: ({ w, epsilon, isRough }) => [w, epsilon, isRough],
    back: (axes, found) => diagramBack(axes, found, "b"),
    front: diagramFront,
    handle: DIAGRAM_HANDLE,
  },
  c: {
    limits: alongLimits,
    key: ({ w, epsilon, x0, steps, target, isQuick }) => [w, epsilon, x0, steps, target, isQuick],
    back: alongBack,
    front: alongFront,
  },
  d: {
    limits: (found) => decadeLimits(norms(found), found.updates, -8),
    key: ({ clip }) => [clip],
    back: normBack,
    front: normFront,
  },
  e: {
    limits: (found) => decadeLimits(losses(found), found.updates, -12),
    key: () => [],
    back: lossBack,
    front: (axes, found) => drawBoth(axes, losses(found)),
  },
};
