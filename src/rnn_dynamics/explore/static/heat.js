// The loss over the plane as a picture: x_T on a grid that is coarse at first and refined frame by frame.

import { fillStates } from "./loss.js";

const CELLS = [16, 12, 8, 6, 4, 2, 1]; // pixels of a side
const QUICK = 2e5; // steps of orbits in a frame while something moves

/** Milliseconds of refining in a frame. */
export const SLICE = 7;

const SHADES = 4096;

/** The decades of L that have colours of their own. */
export const DECADES = [-4, 0];

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** Red, green and blue at a share of the way through a list of colours. */
function mixed(colours, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1), i = Math.min(Math.floor(at), colours.length - 2);
  const [low, high] = [channels(colours[i]), channels(colours[i + 1])];
  return low.map((one, k) => Math.round(one + (at - i) * (high[k] - one)));
}

const shareOf = (loss) => (Math.log10(loss) - DECADES[0]) / (DECADES[1] - DECADES[0]);

export class HeatMap {
  constructor() {
    this.key = null;
    this.version = 0; // of the picture
    this.canvas = document.createElement("canvas");
  }

  begin(level, { x, y, box }) {
    const columns = Math.max(2, Math.ceil(box.width / CELLS[level])), rows = Math.max(2, Math.ceil(box.height / CELLS[level]));
    this.work = { level, x, y, columns, rows, states: new Float64Array(columns * rows), done: 0 };
  }

  /** Compute rows until the time is over; whether all are done. */
  advance(neuron, until) {
    const { work } = this;
    while (work.done < work.rows) {
      const next = Math.min(work.done + Math.max(1, Math.floor(2e4 / (work.columns * (neuron.steps + 1)))), work.rows);
      fillStates(work.states, work, neuron, work.done, next);
      work.done = next;
      if (performance.now() > until) break;
    }
    return work.done === work.rows;
  }

  /** Make the best picture that there is: its version, whether a better one will come, and how it is drawn. */
  prepare(axes, neuron, target, colours, isQuick) {
    const { box, x, y } = axes, key = JSON.stringify([neuron, x, y, box.width, box.height]);
    if (key !== this.key) {
      this.key = key;
      const cost = (cell) => (box.width / cell) * (box.height / cell) * (neuron.steps + 1);
      const level = CELLS.findLastIndex((cell) => cost(cell) <= QUICK);
      this.begin(Math.max(level, 0), axes);
      this.advance(neuron, Infinity);
      this.show();
    } else if (!isQuick && this.shown.level + 1 < CELLS.length) {
      if (this.work === this.shown) this.begin(this.shown.level + 1, axes);
      if (this.advance(neuron, performance.now() + SLICE)) this.show();
    }
    this.paint(target, colours);
    const draw = (ctx) => ctx.drawImage(this.canvas, box.left, box.top, box.width, box.height);
    return { version: this.version, isUnfinished: !isQuick && this.shown.level + 1 < CELLS.length, draw };
  }

  show() {
    this.shown = this.work;
    this.painted = null;
  }

  /** Colours by |x_T − target|, as a logarithm for each pixel takes ten times as long. */
  shades(colours) {
    const key = colours.join();
    if (this.table?.key === key) return this.table.words;
    const words = new Uint32Array(SHADES + 1), bytes = new Uint8Array(words.buffer);
    for (let i = 0; i <= SHADES; i++) bytes.set([...mixed(colours, shareOf((i / SHADES) ** 2)), 255], 4 * i);
    this.table = { key, words };
    return words;
  }

  paint(target, colours) {
    const { columns, rows, states } = this.shown, key = JSON.stringify([target, colours]);
    if (this.painted === key) return;
    this.painted = key;
    this.version++;
    const table = this.shades(colours);
    [this.canvas.width, this.canvas.height] = [columns, rows];
    const ctx = this.canvas.getContext("2d"), image = ctx.createImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[(Math.abs(states[i] - target) * SHADES) | 0];
    ctx.putImageData(image, 0, 0);
  }
}

/** A bar of the colours beside a panel, with its decades. */
export function colourBar(axes, colours) {
  const { ctx, box } = axes, left = box.left + box.width + 12, width = 10;
  ctx.fillStyle = ctx.createLinearGradient(0, box.top + box.height, 0, box.top);
  colours.forEach((colour, i) => ctx.fillStyle.addColorStop(i / (colours.length - 1), colour));
  ctx.fillRect(left, box.top, width, box.height);
  ctx.strokeStyle = axes.colours.grey;
  ctx.lineWidth = 0.8;
  ctx.strokeRect(left, box.top, width, box.height);
  for (let decade = DECADES[0]; decade <= DECADES[1]; decade++) {
    const y = box.top + box.height * (1 - (decade - DECADES[0]) / (DECADES[1] - DECADES[0]));
    const text = decade ? `10^{−${-decade}}` : "1";
    axes.note(decade === DECADES[0] ? `≤${text}` : text, left + width + 4, y + 4);
  }
  axes.note("*L*", left, box.top - 8, { size: 12 });
}
