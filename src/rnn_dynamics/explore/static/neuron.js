// One neuron: what its explorer has, and its doors.

import { doors } from "./explorer.js";
import { PANELS, scene } from "./panels.js";
import { sentence } from "./regime.js";
import { scaled, short } from "./words.js";

// settings.py has the same limits.
const SLIDERS = [
  { name: "w", label: "weight <i>w</i>", low: -12, high: 12, step: 0.01, least: -1000, most: 1000 },
  { name: "b", label: "bias <i>b</i>", low: -10, high: 10, step: 0.005, least: -1000, most: 1000 },
  { name: "epsilon", label: "step size <i>ε</i>", low: 0.02, high: 1, step: 0.01, least: 1e-6, most: 1, isFine: true },
  { name: "x0", label: "start <i>x</i><sub>0</sub>", low: 0, high: 1, step: 0.001, least: 0, most: 1 },
  { name: "steps", label: "steps <i>T</i>", low: 0, high: 200, step: 1, least: 0, most: 2000, whole: true },
];

function rows(width) {
  if (width >= 1000) return [[300, "a", 0.56, "b", 0.44], [290, "c", 0.24, "d", 0.35, "e", 0.41]];
  if (width >= 600) return [[290, "a", 0.54, "b", 0.46], [270, "c", 0.42, "d", 0.58], [230, "e", 1]];
  return [[280, "a", 1], [280, "b", 1], [300, "c", 1], [230, "d", 1], [230, "e", 1]];
}

function words({ w, b, epsilon, x0, steps, end: { x, logs, signs, status } }) {
  const by = ["<i>x</i><sub>0</sub>", "<i>w</i>", "<i>b</i>"].map((name) => `∂<i>x<sub>T</sub></i>/∂${name}`);
  const derivatives = by.map((name, i) => [name, scaled(logs[i], signs[i])]);
  return { sentence: sentence({ w, b, epsilon, x0, steps }), rows: [["<i>x<sub>T</sub></i>", short(x)], ...derivatives], status };
}

const STUDY = {
  defaults: { w: 5, b: -2.5, epsilon: 1, x0: 0.5, steps: 60 },
  sliders: SLIDERS,
  panels: PANELS,
  rows,
  scene,
  refines: ({ isRough }) => isRough,
  words,
};

export const { mount, render } = doors(STUDY);
export default { render };
