// Sliders with a number beside each; one with `decades` moves in powers of ten.

let sliderCount = 0; // of this page: labels need names of their own

const settle3 = (value) => Number(value.toPrecision(3));

export class Sliders {
  constructor(parent, sliders, settings, changed) {
    this.inputs = sliders.map((slider) => this.add(parent, slider, settings[slider.name], changed));
  }

  add(parent, slider, value, changed) {
    const { name, label, low, high, step, decades, whole } = slider;
    const row = document.createElement("div"), id = `rnn-explore-${name}-${sliderCount++}`;
    row.innerHTML = `<label for="${id}">${label}</label><input type="number" step="any"><input type="range" id="${id}">`;
    const [number, range] = row.querySelectorAll("input");
    const ends = decades ? [Math.log10(low), Math.log10(high)] : [low, high];
    Object.assign(range, { min: ends[0], max: ends[1], step: decades ? 0.01 : step });
    number.setAttribute("aria-label", `${row.firstChild.textContent}, exact`);
    range.addEventListener("input", () => {
      changed({ [name]: decades ? settle3(10 ** Number(range.value)) : Number(range.value) });
    });
    number.addEventListener("change", () => {
      const typed = Number(number.value);
      if (number.value === "" || !Number.isFinite(typed)) number.value = this.shown[name];
      else changed({ [name]: whole ? Math.round(typed) : typed });
    });
    parent.append(row);
    const input = { slider, range, number };
    this.stretch(input, value);
    return input;
  }

  /** Let a slider reach what it is set to. */
  stretch({ slider: { decades, isFine }, range }, value) {
    const at = decades ? Math.log10(value) : value, whole = !decades && !isFine;
    if (at > Number(range.max)) range.max = whole ? Math.ceil(at) : at;
    if (at < Number(range.min)) range.min = whole ? Math.floor(at) : at;
    return at;
  }

  show(settings) {
    this.shown = settings;
    for (const input of this.inputs) {
      const { slider, range, number } = input, value = settings[slider.name];
      if (document.activeElement !== number && number.value !== String(value)) number.value = value;
      if (input.value === value) continue;
      input.value = value;
      range.value = this.stretch(input, value);
      if (slider.decades) range.setAttribute("aria-valuetext", String(value));
    }
  }
}
