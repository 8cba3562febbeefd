// The regime in a plain sentence. regime.py says the same of the library's numbers.

import { UNRESOLVED, equilibria, multiplierAt, sensitivities, step, twoCycle } from "./numbers.js";
import { short } from "./words.js";

const SETTLING = 2000, LONGEST_PERIOD = 64, AVERAGED = 4000;

/** A factor of that natural logarithm: ×45.2, ×10^12. */
function factor(log) {
  const decades = log / Math.LN10;
  if (Math.abs(decades) < 4) return `×${short(Math.exp(log))}`;
  return Number.isFinite(decades) ? `×10^${short(Math.round(decades))}` : "×0";
}

/** What ∂x_T/∂x0 does up to T. */
function gradientClause(neuron, x0, steps) {
  let x = x0, log = 0, highest = 0, at = 0;
  for (let t = 1; t <= steps; t++) {
    log += Math.log(Math.abs(multiplierAt(neuron, x)));
    x = step(neuron, x);
    if (log > highest + 1e-9) {
      highest = log;
      at = t;
    }
  }
  if (steps === 0) return "no step is taken";
  if (at === steps) return `the gradient still grows at T = ${steps} (${factor(log)})`;
  if (at > 0) {
    const peak = `the gradient peaks at T = ${at} (${factor(highest)})`;
    return log < 0 ? `${peak}, then dies` : `${peak} and is ${factor(log)} at T = ${steps}`;
  }
  return log > -1e-9 ? "the gradient keeps its size" : `the gradient dies (${factor(log)} at T = ${steps})`;
}

/** "a cycle of period 4", "chaos", or that neither was reached. */
function longRun(neuron, x0) {
  let x = x0;
  for (let t = 0; t < SETTLING; t++) x = step(neuron, x);
  const first = x;
  for (let period = 1; period <= LONGEST_PERIOD; period++) {
    x = step(neuron, x);
    if (Math.abs(x - first) < 1e-9) {
      return period === 1 ? `goes to the equilibrium ${short(x)}` : `goes to a cycle of period ${period}`;
    }
  }
  let sum = 0;
  for (let t = 0; t < AVERAGED; t++) {
    sum += Math.log(Math.abs(multiplierAt(neuron, x)));
    x = step(neuron, x);
  }
  return sum / AVERAGED > 0.01 ? "is chaotic" : `has settled on no cycle after ${SETTLING} steps`;
}

function place(neuron, x0, points) {
  const symmetric = x0 === 0.5 && neuron.b === -neuron.w / 2;
  if (points.length === 3) {
    const [low, middle, high] = points.map(({ x }) => x), gap = x0 - middle;
    if (symmetric) return `x0 rests on the separatrix at ${short(middle)}`;
    if (Math.abs(gap) < 1e-15) return `x0 is within rounding of the separatrix at ${short(middle)}`;
    const side = gap < 0 ? "below" : "above", end = gap < 0 ? ["lower", low] : ["upper", high];
    const there = `the orbit goes to the ${end[0]} equilibrium, ${short(end[1])}`;
    return `x0 is ${short(Math.abs(gap))} ${side} the separatrix at ${short(middle)}: ${there}`;
  }
  const [{ x, stability }] = points;
  if (stability === "stable") return `The only equilibrium, ${short(x)}, is stable`;
  if (stability === "marginal") return `The only equilibrium, ${short(x)}, is at its bifurcation`;
  if (symmetric) return `x0 rests on the repelling equilibrium ${short(x)}`;
  const cycle = twoCycle(neuron);
  const end = cycle ? `goes to the 2-cycle between ${short(cycle[0])} and ${short(cycle[1])}` : longRun(neuron, x0);
  return `The only equilibrium, ${short(x)}, repels: the orbit ${end}`;
}

/** Where the orbit goes, what the gradient does on the way, and whether doubles carry it. */
export function sentence({ w, b, epsilon, x0, steps }) {
  const neuron = { w, b, epsilon }, points = equilibria(neuron);
  const said = `${place(neuron, x0, points)}; ${gradientClause(neuron, x0, steps)}.`;
  const lost = sensitivities(neuron, x0, steps).status === UNRESOLVED;
  return lost ? `${said} Floating-point numbers do not resolve it at T = ${steps}.` : said;
}
