// The loss cliff: what its explorer has, and its doors.

import { CLIFF_PANELS, cliffScene } from "./cliff_panels.js";
import { doors } from "./explorer.js";
import { DIVERGED, RESOLVED, UNRESOLVED } from "./numbers.js";
import { outcome } from "./outcome.js";
import { scaled, short } from "./words.js";

// settings.py has the same limits.
const SLIDERS = [
  { name: "w", label: "start <i>w</i>", low: -12, high: 12, step: 0.01, least: -1000, most: 1000 },
  { name: "b", label: "start <i>b</i>", low: -10, high: 10, step: 0.005, least: -1000, most: 1000 },
  { name: "epsilon", label: "step <i>ε</i>", low: 0.02, high: 1, step: 0.01, least: 1e-6, most: 1, isFine: true },
  { name: "x0", label: "state <i>x</i><sub>0</sub>", low: 0, high: 1, step: 0.001, least: 0, most: 1 },
  { name: "target", label: "target", low: 0, high: 1, step: 0.005, least: 0, most: 1 },
  { name: "steps", label: "steps <i>T</i>", low: 0, high: 100, step: 1, least: 0, most: 500, whole: true },
  { name: "rate", label: "rate", low: 0.001, high: 10, decades: true, least: 1e-6, most: 1e6 },
  { name: "clip", label: "threshold", low: 0.001, high: 1000, decades: true, least: 1e-6, most: 1e6 },
  { name: "updates", label: "updates", low: 0, high: 200, step: 1, least: 0, most: 500, whole: true },
];

function rows(width) {
  if (width >= 1000) return [[500, "a", 0.56, "bc", 0.44], [220, "d", 0.56, "e", 0.44]];
  if (width >= 600) return [[440, "a", 1], [260, "b", 0.5, "c", 0.5], [220, "d", 0.5, "e", 0.5]];
  return [[360, "a", 1], [260, "b", 1], [240, "c", 1], [220, "d", 1], [220, "e", 1]];
}

function words({ at, plain, clipped, isRough, ...settings }) {
  const bad = [DIVERGED, UNRESOLVED].find((status) => [plain, clipped].some((path) => path.status === status));
  const end = ({ value }) => short(value[value.length - 1]);
  return {
    sentence: outcome(plain, clipped, settings),
    rows: [
      ["<i>x<sub>T</sub></i> at the start", short(at.x)],
      ["<i>L</i> at the start", short(at.value)],
      ["gradient there", scaled(at.logNorm)],
      ["<i>L</i> at the end, plain", end(plain)],
      ["clipped", end(clipped)],
    ],
    status: isRough ? "…" : bad ?? RESOLVED, // a path that moves is not judged
  };
}

const STUDY = {
  defaults: { w: 4.6, b: -2.7, epsilon: 1, x0: 0.5, target: 0.8, steps: 50, rate: 0.2, clip: 0.5, updates: 80 },
  sliders: SLIDERS,
  panels: CLIFF_PANELS,
  rows,
  scene: cliffScene,
  refines: () => true,
  words,
};

export const { mount, render } = doors(STUDY);
export default { render };
