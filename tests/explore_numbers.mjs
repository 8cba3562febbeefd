// What the explorer's numbers.js and regime.js say of neurons, as rows of doubles or lines of text, for test_explore.py.
// node explore_numbers.mjs MODULES numbers|sentences < rows of (w, b, epsilon, x0, steps) > rows
import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, what] = process.argv.slice(2);
const base = pathToFileURL(`${modules}/`);
const numbers = await import(new URL("numbers.js", base));
const bytes = readFileSync(0);
const given = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const rows = Array.from({ length: given.length / 5 }, (_, i) => given.subarray(5 * i, 5 * i + 5));

const padded = (values, length) => Array.from({ length }, (_, i) => values[i] ?? NaN);
const events = (found) => padded(found.flatMap(({ b, x }) => [b, x]), 4);

function row([w, b, epsilon, x0, steps]) {
  const neuron = { w, b, epsilon };
  const points = numbers.equilibria(neuron);
  const found = numbers.sensitivities(neuron, x0, steps);
  const kinds = ["unstable", "stable", "marginal"];
  return [
    ...padded(points.map(({ x }) => x), 3),
    ...padded(points.map(({ multiplier }) => multiplier), 3),
    ...padded(points.map(({ stability }) => kinds.indexOf(stability)), 3),
    ...events(numbers.folds(w)),
    ...events(numbers.flips(w, epsilon)),
    numbers.wall(w, x0, epsilon),
    ...padded(numbers.twoCycle(neuron) ?? [], 2),
    found.x,
    found.error,
    ...found.logs,
    ...found.signs,
    ...found.errors,
    ["", "RESOLVED", "UNRESOLVED", "", "DIVERGED"].indexOf(found.status),
  ];
}

function write(buffer) {
  for (let at = 0; at < buffer.length; ) {
    try {
      at += writeSync(1, buffer, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // the reader is behind
    }
  }
}

if (what === "numbers") {
  write(new Uint8Array(Float64Array.from(rows.flatMap(row)).buffer));
} else {
  const { sentence } = await import(new URL("regime.js", base));
  write(Buffer.from(rows.map(([w, b, epsilon, x0, steps]) => sentence({ w, b, epsilon, x0, steps })).join("\n")));
}
