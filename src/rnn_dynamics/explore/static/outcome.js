// What the two descents do, in a plain sentence. outcome.py says the same of the library's numbers.

import { DIVERGED, UNRESOLVED, logit, wall } from "./numbers.js";
import { scaled, short } from "./words.js";

const THROWN = 1; // a step at least this long
const SETTLED = 1e-4; // the length of a last step of one that moves no more
const SMALLEST = 1e-12; // rounding hides smaller losses

const ORDINALS = { 1: "st", 2: "nd", 3: "rd" };

export function ordinal(n) {
  const isTeen = Math.floor(n / 10) % 10 === 1;
  return `${n}${isTeen ? "th" : ORDINALS[n % 10] ?? "th"}`;
}

const size = (loss) => (loss < SMALLEST ? "below 10^−12" : `= ${short(loss)}`);

/** The update whose gradient is the longest. */
export function longest({ logNorm }) {
  let at = 0;
  for (let i = 1; i < logNorm.length - 1; i++) if (logNorm[i] > logNorm[at]) at = i;
  return at;
}

/** How often a path passes from one side of the wall to the other. */
function crossings({ w, b }, x0, epsilon) {
  const side = (i) => Math.sign(b[i] - (logit(x0) - w[i] * x0));
  const hasWall = (i) => !Number.isNaN(wall(w[i], x0, epsilon));
  let count = 0;
  for (let i = 1; i < w.length; i++) if (hasWall(i - 1) && hasWall(i) && side(i) * side(i - 1) < 0) count++;
  return count;
}

function ending(path, rate, clip) {
  const last = path.w.length - 1, log = path.logNorm[last], { value } = path;
  const move = rate * Math.min(Math.exp(log), clip ?? Infinity);
  return move < SETTLED ? `settles at L ${size(value[last])}` : `is at L ${size(value[last])} after ${last} updates`;
}

function plainClause(path, rate) {
  if (path.status === DIVERGED) return `plain descent leaves the floating-point numbers at update ${path.firstDiverged}`;
  const at = longest(path), move = Math.log(rate) + path.logNorm[at], last = path.w.length - 1;
  if (move > Math.log(THROWN)) {
    const place = `(w, b) = (${short(path.w[at + 1])}, ${short(path.b[at + 1])})`;
    const then = `the descent ends at L ${size(path.value[last])}`;
    return `the ${ordinal(at + 1)} step has a gradient of ${scaled(path.logNorm[at])} and is thrown to ${place}; ${then}`;
  }
  return `no step of plain descent is longer than ${scaled(move)}: it ${ending(path, rate, null)}`;
}

function clippedClause(path, { rate, clip, x0, epsilon }) {
  if (path.status === DIVERGED) return `clipped at ${short(clip)}, it leaves the floating-point numbers too`;
  const met = path.logNorm.slice(0, -1).some((log) => log >= Math.log(clip));
  if (!met) return `the threshold ${short(clip)} is never met`;
  const count = crossings(path, x0, epsilon);
  const over = ["", "crosses the wall and "][count] ?? `crosses the wall ${count} times and `;
  return `clipped at ${short(clip)}, it ${over}${ending(path, rate, clip)}`;
}

/** What plain and clipped descent do, and whether doubles carry them. */
export function outcome(plain, clipped, settings) {
  if (settings.updates === 0) return `No update is taken: L ${size(plain.value[0])}.`;
  const said = `${plainClause(plain, settings.rate)}; ${clippedClause(clipped, settings)}.`;
  const lost = [["plain", plain], ["clipped", clipped]].filter(([, { status }]) => status === UNRESOLVED).map(([name]) => name);
  const doubt = lost.length ? ` Rounding decides the ${lost.join(" and the ")} path.` : "";
  return said[0].toUpperCase() + said.slice(1) + doubt;
}
