// The loss (x_T − target)² of the neuron, its limit, its gradient and descents, as rnn_dynamics.cliff has them.

import { RESOLUTION, RESOLVED, UNRESOLVED, DIVERGED } from "./numbers.js";
import { equilibria, exponentOf, logit, powerOfTwo, sensitivities, step, twoCycle } from "./numbers.js";

const double64 = new Float64Array(1), bits64 = new BigInt64Array(double64.buffer);

/** The next double above x. */
function nextAbove(x) {
  if (!Number.isFinite(x)) return x;
  if (x === 0) return Number.MIN_VALUE;
  double64[0] = x;
  bits64[0] += x > 0 ? 1n : -1n;
  return double64[0];
}

/** A double of unit·2^exponent. */
const toDouble = ({ unit, exponent }) => unit * 2 * powerOfTwo(exponent - 1);

function times({ value, exponent }, factor) {
  const unit = value * factor, shift = exponentOf(unit);
  return { unit: unit * powerOfTwo(-shift), exponent: unit === 0 ? -(2 ** 30) : exponent + shift };
}

/** L, ∂L/∂w and ∂L/∂b as {unit, exponent}, ln of the gradient's norm, and whether doubles carry them. */
export function lossAt({ w, b, epsilon, x0, steps, target }) {
  const end = sensitivities({ w, b, epsilon }, x0, steps), residual = end.x - target;
  const [dw, db] = [end.products[1], end.products[2]].map((product) => times(product, 2 * residual));
  const known = end.error <= RESOLUTION * Math.max(Math.abs(end.x), 1);
  // Unlike sensitivities, a loss asks nothing of the derivative by the start.
  const status = known && end.resolved[1] && end.resolved[2] ? RESOLVED : UNRESOLVED;
  return { x: end.x, value: residual * residual, dw, db, logNorm: logNorm(dw, db), status: Number.isFinite(end.x) ? status : DIVERGED };
}

function logNorm(dw, db) {
  const top = Math.max(dw.exponent, db.exponent);
  const size = Math.hypot(toDouble({ ...dw, exponent: dw.exponent - top }), toDouble({ ...db, exponent: db.exponent - top }));
  return size === 0 ? -Infinity : Math.log(size) + top * Math.LN2;
}

const LOOK = 8; // steps between looks whether an orbit repeats itself

/** The same without error bounds, in a tenth of the time; null where a product leaves the doubles. */
function quickLossAt({ w, b, epsilon, x0, steps, target }) {
  const keep = 1 - epsilon;
  let x = x0, byW = 0, byB = 0, lastX = NaN, lastW = NaN, lastB = NaN;
  for (let t = 0; t < steps; t++) {
    if ((steps - t) % LOOK === 0) {
      if (x === lastX && byW === lastW && byB === lastB) break; // and so it ends as it is now
      [lastX, lastW, lastB] = [x, byW, byB];
    }
    const z = w * x + b, e = Math.exp(-Math.abs(z)), flat = epsilon * (e / (1 + e * (2 + e))), a = keep + flat * w;
    byW = a * byW + flat * x;
    byB = a * byB + flat;
    x = keep * x + epsilon * ((z >= 0 ? 1 : e) / (1 + e));
  }
  const factor = 2 * (x - target), norm = Math.hypot(byW * factor, byB * factor);
  if (!(norm < 1e280)) return null;
  const [dw, db] = [byW, byB].map((value) => times({ value, exponent: 0 }, factor));
  return { x, value: (x - target) ** 2, dw, db, logNorm: Math.log(norm), status: RESOLVED };
}

/** Algorithm 1: the gradient as doubles, g ← threshold·g/‖g‖ where ‖g‖ ≥ threshold; null clips nothing. */
function stepGradient({ dw, db }, threshold) {
  if (threshold === null) return [toDouble(dw), toDouble(db)];
  const top = Math.max(dw.exponent, db.exponent);
  const [byW, byB] = [dw, db].map(({ unit, exponent }) => toDouble({ unit, exponent: exponent - top }));
  const size = Math.hypot(byW, byB);
  if (!(size > 0 && toDouble({ unit: size, exponent: top }) >= threshold)) return [toDouble(dw), toDouble(db)];
  return [byW * (threshold / size), byB * (threshold / size)];
}

/** (w, b) at the next double in w, and the next or the previous in b by turns. */
const moved = (w, b, update) => [nextAbove(w), update % 2 === 0 ? nextAbove(b) : -nextAbove(-b)];

/**
 * One path without labels: arrays over the updates 0 … `updates`, which are taken a while at a time. A shadow is moved by
 * one double at the start and after every update.
 */
class Path {
  constructor(settings, threshold, evaluate, isShadow = false) {
    Object.assign(this, { settings, threshold, evaluate, isShadow, isOver: false, at: null });
    [this.nextW, this.nextB] = isShadow ? moved(settings.w, settings.b, 0) : [settings.w, settings.b];
    this.found = { w: [], b: [], value: [], logNorm: [], gradient: [], resolved: true, firstDiverged: -1 };
  }

  /** Take updates until the time is over; whether there are no more. */
  advance(until) {
    while (!this.isOver) {
      this.take();
      if (until < Infinity && performance.now() > until) break;
    }
    return this.isOver;
  }

  take() {
    const { settings, threshold, found, nextW: w, nextB: b } = this, { rate, updates } = settings;
    const at = (this.at ??= this.evaluate({ ...settings, w, b }) ?? lossAt({ ...settings, w, b }));
    const gradient = stepGradient(at, threshold);
    const isFinite = [w, b, at.value, at.dw.unit, at.db.unit].every(Number.isFinite);
    if (!isFinite && found.firstDiverged < 0) found.firstDiverged = found.w.length;
    found.resolved &&= at.status === RESOLVED;
    found.w.push(w);
    found.b.push(b);
    found.value.push(at.value);
    found.logNorm.push(at.logNorm);
    found.gradient.push(stepGradient(at, 1));
    this.isOver = !isFinite || found.w.length > updates;
    [this.nextW, this.nextB] = [w - rate * gradient[0], b - rate * gradient[1]];
    if (this.isShadow) [this.nextW, this.nextB] = moved(this.nextW, this.nextB, found.w.length);
    if (this.nextW !== w || this.nextB !== b) this.at = null; // where nothing moves any more nothing is computed
  }
}

/**
 * Gradient descent from (w, b), clipped at `threshold` or not (null). Its status is UNRESOLVED where a gradient on it is,
 * or where its shadow, a path that every update moves by a double, ends elsewhere; a quick one is not judged.
 */
export function descent(settings, threshold, isQuick = false) {
  if (!isQuick) {
    const whole = new Descent(settings, threshold);
    whole.advance(Infinity);
    return whole.judged();
  }
  const path = new Path(settings, threshold, quickLossAt);
  path.advance(Infinity);
  return path.found.firstDiverged >= 0 ? diverged(path.found) : { ...path.found, error: 0, status: RESOLVED };
}

const diverged = (found) => ({ ...found, error: Infinity, status: DIVERGED });

/** The same in pieces: to be advanced until it is over, then to be judged. */
export class Descent {
  constructor(settings, threshold) {
    this.path = new Path(settings, threshold, lossAt);
    this.shadow = new Path(settings, threshold, lossAt, true);
  }

  advance(until) {
    if (!this.path.advance(until)) return false;
    return this.path.found.firstDiverged >= 0 || this.shadow.advance(until);
  }

  judged() {
    const [found, shadow] = [this.path.found, this.shadow.found];
    return found.firstDiverged >= 0 ? diverged(found) : compared(found, shadow);
  }
}

/** A path with its status by how far its shadow comes to be from it. */
function compared(found, shadow) {
  let error = 0, isShaken = false;
  found.w.forEach((w, i) => {
    const off = Math.hypot(shadow.w[i] - w, shadow.b[i] - found.b[i]);
    error = Math.max(error, off);
    isShaken ||= !(off <= RESOLUTION * Math.max(Math.abs(w), Math.abs(found.b[i]), 1));
  });
  return { ...found, error, status: found.resolved && !isShaken ? RESOLVED : UNRESOLVED };
}

/** For w ≥ 0: the equilibrium nearest to the start on the side of its first step. */
function nextEquilibrium(w, x0, points, side) {
  const turn = w > 4 ? Math.sqrt(1 - 4 / w) / 2 : 0, lower = points[0].x, upper = points[points.length === 3 ? 2 : 0].x;
  if (side > 0) return Math.max(x0 < 0.5 - turn ? lower : upper, x0);
  return Math.min(x0 > 0.5 + turn ? upper : lower, x0);
}

/** The limit of L through T of the parity of `steps`; NaN where rounding hides the side or no exact rule applies. */
export function limitLoss({ w, b, epsilon, x0, steps, target }) {
  const origin = x0 > 0 && x0 < 1 ? logit(x0) : 0, excess = w * x0 + b - origin;
  const doubt = 4 * 2 ** -52 * (Math.abs(w * x0) + Math.abs(b) + Math.abs(origin));
  const side = x0 > 0 && x0 < 1 ? Math.sign(excess) : x0 <= 0 ? 1 : -1;
  if (x0 > 0 && x0 < 1 && Math.abs(excess) <= doubt) return NaN;
  const neuron = { w, b, epsilon }, points = equilibria(neuron);
  if (w >= 0) return (nextEquilibrium(w, x0, points, side) - target) ** 2;
  if (epsilon < 1 && 1 - epsilon + (epsilon * w) / 4 < -1) return NaN;
  const cycle = twoCycle(neuron), isLow = side > 0 === (steps % 2 === 0);
  return ((cycle ? cycle[isLow ? 0 : 1] : points[0].x) - target) ** 2;
}

/** x_T at every (w, b) of some rows of a grid, written into `states`; rows run from high b to low. */
export function fillStates(states, { x, y, columns, rows }, { epsilon, x0, steps }, from, to) {
  const keep = 1 - epsilon;
  for (let row = from; row < to; row++) {
    const b = y[1] - ((row + 0.5) / rows) * (y[1] - y[0]);
    for (let column = 0; column < columns; column++) {
      const w = x[0] + ((column + 0.5) / columns) * (x[1] - x[0]);
      let now = x0, before = NaN, t = 0;
      for (; t < steps; t++) {
        const next = keep * now + epsilon / (1 + Math.exp(-(w * now + b)));
        if (next === now || next === before) break; // at rest, or on a 2-cycle
        [before, now] = [now, next];
      }
      // Where the orbit rests nothing changes; on a 2-cycle an odd number of steps is one.
      states[row * columns + column] = (steps - t) % 2 ? step({ w, b, epsilon }, now) : now;
    }
  }
}

/** Biases for a curve of L along b: even ones, and ever closer ones about the wall, where L jumps within little. */
export function biases([low, high], at, count) {
  const found = Array.from({ length: count + 1 }, (_, i) => low + (i / count) * (high - low));
  if (at > low && at < high) {
    for (let k = 0; k < count / 2; k++) {
      const off = (high - low) * 10 ** ((-26 * k) / count); // down to 10^−13
      found.push(at - off, at + off);
    }
  }
  return found.filter((b) => b >= low && b <= high).sort((one, other) => one - other);
}

/** L at each bias. */
export function lossAlong(bias, { w, epsilon, x0, steps, target }) {
  const keep = 1 - epsilon;
  return bias.map((b) => {
    let x = x0, last = NaN;
    for (let t = 0; t < steps; t++) {
      if ((steps - t) % LOOK === 0) {
        if (x === last) break;
        last = x;
      }
      x = keep * x + epsilon / (1 + Math.exp(-(w * x + b)));
    }
    return (x - target) ** 2;
  });
}
