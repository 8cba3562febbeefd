// What the explorer's loss.js and outcome.js say of neurons, as rows of doubles or lines of text, for test_explore_cliff.py.
// node explore_loss.mjs MODULES loss|descents|sentences|map < rows of the settings in their order > rows
import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, what] = process.argv.slice(2);
const base = pathToFileURL(`${modules}/`);
const [{ descent, fillStates, limitLoss, lossAlong, lossAt }, { outcome }] = await Promise.all(
  ["loss.js", "outcome.js"].map((name) => import(new URL(name, base))),
);
const NAMES = ["w", "b", "epsilon", "x0", "target", "steps", "rate", "clip", "updates"];
const STATUS = ["", "RESOLVED", "UNRESOLVED", "", "DIVERGED"];
const bytes = readFileSync(0);
const given = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const rows = Array.from({ length: given.length / NAMES.length }, (_, i) => {
  return Object.fromEntries(NAMES.map((name, k) => [name, given[NAMES.length * i + k]]));
});

const logOf = ({ unit, exponent }) => (unit === 0 ? -Infinity : Math.log(Math.abs(unit)) + exponent * Math.LN2);

function atOnePoint(settings) {
  const { x, value, dw, db, status } = lossAt(settings), { w, b } = settings;
  const states = new Float64Array(1), grid = { x: [w - 1, w + 1], y: [b - 1, b + 1], columns: 1, rows: 1 };
  fillStates(states, grid, settings, 0, 1);
  const limit = limitLoss(settings), along = lossAlong([b], settings)[0];
  return [x, value, logOf(dw), Math.sign(dw.unit), logOf(db), Math.sign(db.unit), STATUS.indexOf(status), limit, states[0], along];
}

/** w, b, L of both paths, each as long as the updates; the statuses and the errors of the paths stand first. */
function paths(settings, isQuick) {
  const both = [null, settings.clip].map((clip) => descent(settings, clip, isQuick));
  const padded = (values) => Array.from({ length: settings.updates + 1 }, (_, i) => values[i] ?? NaN);
  const heads = both.flatMap(({ status, error, firstDiverged }) => [STATUS.indexOf(status), error, firstDiverged]);
  return [...heads, ...both.flatMap(({ w, b, value, logNorm }) => [w, b, value, logNorm].flatMap(padded))];
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

const doubles = (row) => write(new Uint8Array(Float64Array.from(rows.flatMap(row)).buffer));
if (what === "loss") doubles(atOnePoint);
else if (what === "sentences") {
  write(Buffer.from(rows.map((row) => outcome(descent(row, null), descent(row, row.clip), row)).join("\n")));
} else doubles((row) => paths(row, what === "quick"));
