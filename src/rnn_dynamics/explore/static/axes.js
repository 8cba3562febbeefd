// Axes on a canvas: a rectangle with limits, ticks, labels in which *x* is italic and _0 below the line, and lines.

const TEXT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif';
const MATH = '"STIX Two Text", "STIXGeneral", "Times New Roman", "Liberation Serif", "DejaVu Serif", serif';

function minus(text) {
  return text.replace("-", "−");
}

/** Round numbers from low to high, some `count` of them. */
export function ticks([low, high], count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].find((m) => m * power >= rough * 0.999) * power;
  const digits = Math.max(0, -Math.floor(Math.log10(size) + 1e-9));
  const found = [];
  for (let k = Math.ceil(low / size - 1e-9); k * size <= high + 1e-9 * size; k++) {
    found.push({ at: k * size, text: minus((k * size).toFixed(digits)) });
  }
  return found;
}

/** Pieces of a label: {text, font, size, shift}. */
function pieces(text, size) {
  return text.split(/(\*[^*]+\*|_\{[^}]+\}|_.|\^\{[^}]+\})/).filter(Boolean).map((part) => {
    if (part[0] === "*") return { text: part.slice(1, -1), font: `italic ${size * 1.1}px ${MATH}`, shift: 0 };
    if (part[0] === "_" || part[0] === "^") {
      const bare = part.slice(1).replace(/[{}]/g, "");
      return { text: bare, font: `${size * 0.75}px ${MATH}`, shift: part[0] === "_" ? size * 0.25 : -size * 0.35 };
    }
    return { text: part, font: `${size}px ${TEXT}`, shift: 0 };
  });
}

const known = new Map(), MOST_KNOWN = 500;

/** The pieces of a label with their widths, which most frames share. */
function laidOut(ctx, text, size, bold) {
  const key = `${size} ${bold} ${text}`;
  if (known.has(key)) return known.get(key);
  if (known.size >= MOST_KNOWN) known.clear();
  const parts = pieces(text, size).map((part) => {
    const font = ctx.font = bold ? `bold ${part.font}` : part.font;
    return { ...part, font, width: ctx.measureText(part.text).width };
  });
  const found = { parts, width: parts.reduce((sum, part) => sum + part.width, 0) };
  known.set(key, found);
  return found;
}

/** Write a label; align is 0 for left, ½ for centred, 1 for right. Returns its width. */
export function write(ctx, text, x, y, { align = 0, size = 12, bold = false, halo = null } = {}) {
  const { parts, width } = laidOut(ctx, text, size, bold);
  let at = x - align * width;
  for (const part of parts) {
    ctx.font = part.font;
    if (halo) {
      ctx.strokeStyle = halo;
      ctx.lineWidth = 3;
      ctx.strokeText(part.text, at, y + part.shift);
    }
    ctx.fillText(part.text, at, y + part.shift);
    at += part.width;
  }
  return width;
}

const UNSEEN = 0.3; // pixels: of points that are closer together one is drawn

/** A rectangle {left, top, width, height} of a canvas with limits x and y. */
export class Axes {
  constructor(ctx, box, { x, y }, colours) {
    Object.assign(this, { ctx, box, x, y, colours });
  }

  across(value) {
    return this.box.left + ((value - this.x[0]) / (this.x[1] - this.x[0])) * this.box.width;
  }

  up(value) {
    return this.box.top + this.box.height - ((value - this.y[0]) / (this.y[1] - this.y[0])) * this.box.height;
  }

  valueAt(px, py) {
    const { left, top, width, height } = this.box;
    return [
      this.x[0] + ((px - left) / width) * (this.x[1] - this.x[0]),
      this.y[1] - ((py - top) / height) * (this.y[1] - this.y[0]),
    ];
  }

  /** Draw inside the rectangle alone. */
  inside(draw) {
    const { ctx, box } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.width, box.height);
    ctx.clip();
    draw();
    ctx.restore();
  }

  /** Two spines, ticks, labels, and a letter with a title above. */
  frame({ letter, title, across, up }) {
    const { ctx, box, colours } = this, bottom = box.top + box.height;
    ctx.strokeStyle = ctx.fillStyle = colours.ink;
    ctx.lineWidth = 0.8;
    ctx.beginPath();
    ctx.moveTo(box.left, box.top);
    ctx.lineTo(box.left, bottom);
    ctx.lineTo(box.left + box.width, bottom);
    for (const { at } of ticks(this.x, box.width / 75)) this.mark(this.across(at), bottom, 0, 4);
    for (const { at } of ticks(this.y, box.height / 45)) this.mark(box.left, this.up(at), -4, 0);
    ctx.stroke();
    for (const { at, text } of ticks(this.x, box.width / 75)) {
      write(ctx, text, this.across(at), bottom + 16, { align: 0.5, size: 11 });
    }
    for (const { at, text } of ticks(this.y, box.height / 45)) {
      write(ctx, text, box.left - 7, this.up(at) + 4, { align: 1, size: 11 });
    }
    write(ctx, across, box.left + box.width / 2, bottom + 33, { align: 0.5 });
    ctx.save();
    ctx.translate(box.left - 38, box.top + box.height / 2);
    ctx.rotate(-Math.PI / 2);
    write(ctx, up, 0, 0, { align: 0.5 });
    ctx.restore();
    const width = write(ctx, letter, box.left - 38, box.top - 12, { size: 13, bold: true });
    write(ctx, title, box.left - 38 + width + 10, box.top - 12, { size: 12.5 });
  }

  mark(x, y, dx, dy) {
    this.ctx.moveTo(x, y);
    this.ctx.lineTo(x + dx, y + dy);
  }

  /** A line through points given as arrays. */
  line(xs, ys, { colour, width = 1.5, dash = [], alpha = 1 }) {
    const { ctx } = this;
    ctx.beginPath();
    let isOpen = false, lastX = NaN, lastY = NaN;
    for (let i = 0; i < xs.length; i++) {
      const px = this.across(xs[i]), py = this.up(ys[i]);
      if (!Number.isFinite(px) || !Number.isFinite(py)) isOpen = false;
      else if (!isOpen) {
        ctx.moveTo(px, py);
        isOpen = true;
      } else if (i + 1 < xs.length && Math.abs(px - lastX) + Math.abs(py - lastY) < UNSEEN) continue;
      else ctx.lineTo(px, py);
      [lastX, lastY] = [px, py];
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.setLineDash(dash);
    ctx.lineJoin = "round";
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  /** Dots at points given as arrays. */
  dots(xs, ys, { colour, size }) {
    const { ctx } = this;
    let lastX = NaN, lastY = NaN;
    ctx.beginPath();
    for (let i = 0; i < xs.length; i++) {
      const px = this.across(xs[i]), py = this.up(ys[i]);
      if (Math.abs(px - lastX) + Math.abs(py - lastY) < UNSEEN) continue;
      ctx.moveTo(px + size, py);
      ctx.arc(px, py, size, 0, 2 * Math.PI);
      [lastX, lastY] = [px, py];
    }
    ctx.fillStyle = colour;
    ctx.fill();
  }

  area(xs, ys, colour, alpha) {
    const { ctx } = this;
    ctx.beginPath();
    xs.forEach((x, i) => ctx.lineTo(this.across(x), this.up(ys[i])));
    ctx.globalAlpha = alpha;
    ctx.fillStyle = colour;
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  /** A marker: "dot" filled, "ring" and "square" open, "diamond". */
  marker(x, y, shape, { colour, fill = colour, size = 4 }) {
    const { ctx } = this, px = this.across(x), py = this.up(y);
    ctx.beginPath();
    if (shape === "square") ctx.rect(px - size, py - size, 2 * size, 2 * size);
    else if (shape === "diamond") {
      ctx.moveTo(px, py - size * 1.3);
      ctx.lineTo(px + size * 1.3, py);
      ctx.lineTo(px, py + size * 1.3);
      ctx.lineTo(px - size * 1.3, py);
      ctx.closePath();
    } else ctx.arc(px, py, size, 0, 2 * Math.PI);
    ctx.fillStyle = fill;
    ctx.fill();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.3;
    ctx.stroke();
  }

  /** A note inside the panel, with paper about its letters where lines cross them. */
  note(text, px, py, { align = 0, colour = this.colours.ink, size = 11 } = {}) {
    this.ctx.fillStyle = colour;
    return write(this.ctx, text, px, py, { align, size, halo: this.colours.paper });
  }

  /** Samples of lines with their names, from the right end of the row of the title leftward. */
  legend(entries) {
    const { ctx, box, colours } = this, y = box.top - 12;
    let right = box.left + box.width;
    for (const { label, colour, dash = [] } of [...entries].reverse()) {
      right -= this.note(label, right, y, { align: 1, size: 12 }) + 6;
      ctx.strokeStyle = colour ?? colours.grey;
      ctx.lineWidth = 2;
      ctx.setLineDash(dash);
      ctx.beginPath();
      this.mark(right, y - 4, -22, 0);
      ctx.stroke();
      ctx.setLineDash([]);
      right -= 36;
    }
  }
}
