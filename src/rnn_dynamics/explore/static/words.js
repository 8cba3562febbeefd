// Numbers in words, as papers print them.

/** Three digits as papers print them: .5, −2.66, 31, 4.5×10^−7. */
export function short(value) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(2).split("e").map(Number);
  const minus = value < 0 ? "−" : "";
  if (exponent < -4 || exponent > 4) {
    return `${minus}${Math.abs(mantissa)}×10^${exponent < 0 ? "−" : ""}${Math.abs(exponent)}`;
  }
  const fixed = Math.abs(value).toFixed(Math.max(2 - exponent, 0));
  const trimmed = fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
  return minus + trimmed.replace(/^0\./, ".");
}

/** Words as HTML: powers raised, x0 with its index, w, b and L as the quantities they are. */
export function typeset(text) {
  return text
    .replace(/10\^(−?\d+)/g, "10<sup>$1</sup>")
    .replace(/\bx0\b/g, "<i>x</i><sub>0</sub>")
    .replace(/\b([TL])(?= =| below)/g, "<i>$1</i>")
    .replace(/\(w, b\)/g, "(<i>w</i>, <i>b</i>)");
}

/** ±e^log in three digits, also where no double holds it. */
export function scaled(log, sign = 1) {
  const decades = log / Math.LN10;
  if (sign === 0 || log === -Infinity) return "0";
  const minus = sign < 0 ? "−" : "";
  if (Math.abs(decades) < 300) return minus + short(Math.exp(log));
  const whole = Math.floor(decades);
  return `${minus}${short(10 ** (decades - whole))}×10^${whole < 0 ? "−" : ""}${Math.abs(whole)}`;
}
