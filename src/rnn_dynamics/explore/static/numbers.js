// One neuron, x ← (1 − ε) x + ε σ(w x + b), in doubles: closed forms, roots, orbits and derivatives that know their
// error. Pure functions of numbers; a neuron is {w, b, epsilon}. The formulas are those of rnn_dynamics.doya.

export const RESOLVED = "RESOLVED", UNRESOLVED = "UNRESOLVED", DIVERGED = "DIVERGED";
const UNIT = 2 ** -53; // unit roundoff
export const RESOLUTION = 9.5 * Math.sqrt(UNIT); // largest error of a logarithm, relative to max(1, |ln|)
const EXPONENT_LIMIT = 2 ** 30;
const ARGUMENT_LIMIT = 2 ** 28;
const LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10;

// ---- the logistic function ---------------------------------------------------------------------------------------

export function sigmoid(z) {
  const tail = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : tail) / (1 + tail);
}

/** σ(z) σ(−z), right where σ rounds to 1. */
export function slope(z) {
  const tail = Math.exp(-Math.abs(z));
  return tail / (1 + tail * (2 + tail));
}

export function logit(x) {
  const ratio = Math.abs(2 * x - 1) / Math.min(x, 1 - x);
  return x < 0.5 ? -Math.log1p(ratio) : Math.log1p(ratio);
}

export function step({ w, b, epsilon }, x) {
  return (1 - epsilon) * x + epsilon * sigmoid(w * x + b);
}

export function multiplierAt({ w, b, epsilon }, x) {
  return 1 - epsilon + epsilon * w * slope(w * x + b);
}

// ---- folds, flips, cusp, wall ------------------------------------------------------------------------------------

export const CUSP = { w: 4, b: -2, x: 0.5 };

/** The points y = 2x − 1 = ±s with multiplier 1 (w > 0) or −1, and half their distance in b; null where none. */
function turning(w, epsilon) {
  const size = w > 0 ? w : -epsilon * w, share = w > 0 ? 1 : 2 - epsilon;
  const excess = size - 4 * share;
  if (!(excess >= 0)) return null;
  const s = Math.sqrt(excess / size);
  const logarithm = Math.log((size * (1 + s) ** 2) / (4 * share)); // 2 artanh s
  if (w <= 0) return { s, logarithm, halfWidth: (-w * s) / 2 + logarithm };
  return { s, logarithm, halfWidth: s < 0.3 ? foldSeries(s) : (w * s) / 2 - logarithm };
}

/** w s/2 − 2 artanh s with w = 4/(1 − s²), where that difference cancels. */
function foldSeries(s) {
  let sum = 0;
  for (let k = 19; k > 0; k--) sum = sum * s * s + (2 * k) / (2 * k + 1);
  return 2 * s ** 3 * sum;
}

/** Both folds, lower state first: [{b, x}, {b, x}], or [] for w < 4. */
export function folds(w) {
  const found = w > 0 ? turning(w, 1) : null;
  return found ? events(w, found.s, found.halfWidth) : [];
}

/** Both flips, lower state first, or []. */
export function flips(w, epsilon) {
  const found = w < 0 ? turning(w, epsilon) : null;
  return found ? events(w, found.s, -found.halfWidth) : [];
}

function events(w, s, shift) {
  return [
    { b: -w / 2 + shift, x: (1 - s) / 2 },
    { b: -w / 2 - shift, x: (1 + s) / 2 },
  ];
}

/** The bias that puts x0 on a repelling equilibrium, NaN where its equilibrium does not repel. */
export function wall(w, x0, epsilon) {
  if (!(x0 > 0 && x0 < 1)) return NaN;
  const drive = w * x0 * (1 - x0);
  return drive > 1 || epsilon * drive < epsilon - 2 ? logit(x0) - w * x0 : NaN;
}

// ---- equilibria and 2-cycles -------------------------------------------------------------------------------------

/** z − (w/2) tanh(z/2) − c, zero at an equilibrium z = logit x; near z = 0 without cancellation. */
function excess(z, w, c) {
  if (Math.abs(z) >= 1) return z - (w / 2) * Math.tanh(z / 2) - c;
  const square = (z / 2) ** 2;
  let level = 19;
  for (let odd = 17; odd > 3; odd -= 2) level = odd + square / level;
  const ratio = square / (3 + square / level); // z − 2 tanh(z/2) = z ratio/(1 + ratio)
  return (1 - w / 4) * z + (w / 4) * z * (ratio / (1 + ratio)) - c;
}

/** The root between low and high by Newton's method, halved where that leaves the bracket. */
function root(low, high, w, c, rising) {
  let z = (low + high) / 2;
  for (let i = 0; i < 200 && low < high; i++) {
    const value = excess(z, w, c);
    if (value === 0) return z;
    if (value > 0 === rising) high = z;
    else low = z;
    let next = z - value / (1 - w * slope(z));
    if (!(next > low && next < high)) next = (low + high) / 2;
    if (next === z || next === low || next === high) return next;
    z = next;
  }
  return z;
}

/** Every equilibrium, ascending: {x, z = logit x, multiplier, stability}. */
export function equilibria({ w, b, epsilon }) {
  const c = b + w / 2, slack = 1e-14 * (Math.abs(c) + Math.abs(w) + 1), reach = Math.abs(w) / 2 + slack;
  const found = turning(w, epsilon), folded = w > 4;
  const kind = (outer) => {
    if (found && found.s === 0 && c === 0) return "marginal"; // at the cusp, or where two flips meet
    if (w < 0 && found && Math.abs(c) <= found.halfWidth) {
      return Math.abs(c) === found.halfWidth ? "marginal" : "unstable";
    }
    return outer ? "stable" : "unstable";
  };
  const at = (z, outer) => ({
    x: sigmoid(z),
    z,
    multiplier: 1 - epsilon + epsilon * w * slope(z),
    stability: kind(outer),
  });
  if (!folded) return [at(c === 0 ? 0 : root(c - reach, c + reach, w, c, true), true)];
  const { logarithm: turn, halfWidth } = found, points = [];
  if (c < halfWidth) points.push(at(root(Math.min(c - reach, -turn), -turn, w, c, true), true));
  if (Math.abs(c) < halfWidth) points.push(at(c === 0 ? 0 : root(-turn, turn, w, c, false), false));
  if (c > -halfWidth) points.push(at(root(turn, Math.max(c + reach, turn), w, c, true), true));
  return points;
}

/** The attracting 2-cycle [low, high] between the flips at ε = 1, or null. */
export function twoCycle({ w, b, epsilon }) {
  const [first, last] = flips(w, epsilon);
  if (epsilon !== 1 || !first || !(first.b < b && b < last.b)) return null;
  // A state u = logit x is one of the cycle's where w σ(w σ(u) + b) + b = u.
  let low = b + w - 1e-12 * (1 + Math.abs(b + w)), high = equilibria({ w, b, epsilon })[0].z;
  for (let i = 0; i < 120; i++) {
    const u = (low + high) / 2;
    if (u <= low || u >= high) break;
    if (w * sigmoid(w * sigmoid(u) + b) + b - u > 0) low = u;
    else high = u;
  }
  const x = sigmoid(low);
  return [x, sigmoid(w * x + b)];
}

// ---- orbits ------------------------------------------------------------------------------------------------------

/** Fill `states` with those of an orbit after `settling` steps. */
export function settle({ w, b, epsilon }, x0, settling, states) {
  const keep = 1 - epsilon, kept = states.length;
  let x = x0;
  // Written out, as thousands of these make a diagram; no |z| met here makes e^(−z) worse than ∞.
  for (let t = -settling; t < kept; t++) {
    if (t >= 0) states[t] = x;
    x = keep * x + epsilon / (1 + Math.exp(-(w * x + b)));
  }
}

// ---- derivatives with running error bounds (doya/kernel.py) ------------------------------------------------------

const double = new Float64Array(1), halves = new Uint32Array(double.buffer);
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0]; // the word with sign and exponent

/** e with 2^(e−1) ≤ |x| < 2^e; 0 where x is zero, subnormal or not finite. */
export function exponentOf(x) {
  double[0] = x;
  const raw = (halves[HIGH] >>> 20) & 0x7ff;
  return raw === 0 || raw === 0x7ff ? 0 : raw - 1022;
}

/** 2^e exactly; 0 below the normal numbers, ∞ above them. */
export function powerOfTwo(e) {
  halves[HIGH] = (Math.min(Math.max(e, -1023), 1024) + 1023) << 20;
  halves[1 - HIGH] = 0;
  return double[0];
}

/** value·2^exponent with a bound on its error at the same exponent. */
class Product {
  constructor(value) {
    this.value = value;
    this.error = 0;
    this.exponent = 0;
  }

  /** q ← a 2^lift q + inflow 2^n, where a is off by delta and inflow by inflowError. */
  follow(a, delta, lift, n, inflow, inflowError) {
    const moved = this.value === 0 && this.error === 0 ? -EXPONENT_LIMIT : this.exponent + lift;
    const top = inflowError === 0 ? moved : Math.max(moved, n);
    const old = powerOfTwo(moved - top), added = powerOfTwo(Math.min(n - top, 0));
    const value = this.value * old, error = this.error * old;
    const next = a * value + inflow * added;
    const shift = exponentOf(next), factor = powerOfTwo(-shift);
    this.error = (Math.abs(a) * error + delta * (Math.abs(value) + error) + inflowError * added) * factor;
    this.value = next * factor;
    this.exponent = Math.min(Math.max(top + shift, -EXPONENT_LIMIT), EXPONENT_LIMIT);
  }

  get log() {
    return this.value === 0 ? -Infinity : Math.log(Math.abs(this.value)) + this.exponent * Math.LN2;
  }

  /** A bound on the error of the logarithm. */
  get logError() {
    if (this.value === 0 && this.error === 0) return 0;
    const ratio = this.error / Math.abs(this.value);
    const known = ratio < 0.5 && Math.abs(this.exponent) < EXPONENT_LIMIT;
    return known ? ratio * (1 + 2 * ratio) + UNIT * (2 * Math.abs(this.exponent) + 4) : Infinity;
  }
}

/** x_t and the products ∂x_t/∂x0, ∂x_t/∂w, ∂x_t/∂b, one step after the other, each with its error bound. */
class Orbit {
  constructor({ w, b, epsilon }, x0) {
    Object.assign(this, { w, b, epsilon, x: x0, error: 0 });
    // The library's fast kernel rounds z once less; it takes what cannot overflow in eight steps.
    const isGentle = (Math.abs(w) * Math.max(Math.abs(x0), 1) + Math.abs(b)) * 8 <= 600;
    this.roundings = (isGentle ? 1 : 2) * UNIT;
    this.products = [new Product(1), new Product(0), new Product(0)];
  }

  advance() {
    const { w, b, epsilon, x, error: d } = this, keep = 1 - epsilon, reach = Math.abs(w), gain = epsilon * reach;
    const z = w * x + b, y = -Math.min(Math.abs(z), ARGUMENT_LIMIT);
    const n = Math.round(y * Math.LOG2E), m = Math.exp(y - n * LN2_HIGH - n * LN2_LOW); // e^y = m 2^n
    const e = m * powerOfTwo(n), r = e / (1 + e), unit = m / ((1 + e) * (1 + e)); // σ′ = unit·2^n
    // Where 1 − ε > 0 it carries the factor a, and a σ′ too small for a double is nothing beside it.
    const lift = keep === 0 ? n : 0, scale = powerOfTwo(n - lift);
    const a = keep + epsilon * w * unit * scale;
    const eta = this.roundings * (2 * reach * Math.max(Math.abs(x), 1) + Math.abs(b));
    const h = Math.abs(z) < ARGUMENT_LIMIT ? reach * d + eta : Infinity;
    const unitError = unit * (h * (1 - 2 * r + 1.36 * h) + 10 * UNIT);
    const delta = gain * unitError * scale + 6 * UNIT * keep;
    const [initial, byW, byB] = this.products;
    initial.follow(a, delta, lift, n, 0, 0);
    byW.follow(a, delta, lift, n, epsilon * unit * x, epsilon * (unitError * (Math.abs(x) + d) + unit * d));
    byB.follow(a, delta, lift, n, epsilon * unit, epsilon * unitError);
    const fed = epsilon * (z < 0 ? r : 1 - r), flat = unit * powerOfTwo(n);
    const carried = h <= 1 ? Math.abs(keep + epsilon * w * flat) * d : Infinity;
    const rounding = 6 * UNIT * (Math.abs(keep * x) + fed) + 2 ** -1021;
    this.error = carried + epsilon * flat * (eta + 1.36 * h * h) + rounding;
    this.x = keep * x + fed;
  }

  /** Errors of the three logarithms, and whether doubles carry them. */
  judged() {
    const known = this.error < Infinity;
    const errors = this.products.map((product) => (known ? product.logError : Infinity));
    const resolved = this.products.map((product, i) => {
      return errors[i] < Infinity && errors[i] <= RESOLUTION * Math.max(Math.abs(product.log), 1);
    });
    const status = resolved.every(Boolean) ? RESOLVED : UNRESOLVED;
    return { errors, resolved, status: Number.isFinite(this.x) ? status : DIVERGED };
  }
}

/** x_T, the logarithms and signs of ∂x_T/∂x0, ∂x_T/∂w, ∂x_T/∂b in this order, their errors, and the status. */
export function sensitivities(neuron, x0, steps) {
  const orbit = new Orbit(neuron, x0);
  for (let t = 0; t < steps; t++) orbit.advance();
  const { errors, resolved, status } = orbit.judged();
  return {
    x: orbit.x,
    error: orbit.error,
    logs: orbit.products.map((product) => product.log),
    signs: orbit.products.map((product) => Math.sign(product.value)),
    products: orbit.products,
    errors,
    resolved,
    status,
  };
}

/** The same for t = 0 … T: arrays of x, of the three logarithms and of whether they are resolved; status at T. */
export function history(neuron, x0, steps) {
  const orbit = new Orbit(neuron, x0), x = new Float64Array(steps + 1);
  const logs = [0, 1, 2].map(() => new Float64Array(steps + 1));
  const resolved = [0, 1, 2].map(() => new Uint8Array(steps + 1));
  let status = RESOLVED;
  for (let t = 0; t <= steps; t++) {
    if (t) orbit.advance();
    const judged = orbit.judged();
    x[t] = orbit.x;
    orbit.products.forEach((product, i) => {
      logs[i][t] = product.log;
      resolved[i][t] = judged.resolved[i];
    });
    status = judged.status;
  }
  return { x, logs, resolved, status };
}
