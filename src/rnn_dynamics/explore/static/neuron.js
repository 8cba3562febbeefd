// The door: `mount` puts an explorer into an element of a page, `render` into a notebook's cell.

import { Explorer } from "./explorer.js";

const NAMES = ["w", "b", "epsilon", "x0", "steps", "theme"];

/** An explorer in an element; `notify` is called with the parameters after each frame that the user has changed. */
export function mount(root, settings, notify = () => {}) {
  return new Explorer(root, settings, notify);
}

/** The widget of a notebook, as anywidget calls it. */
function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  const explorer = mount(root, Object.fromEntries(NAMES.map((name) => [name, model.get(name)])), (settings) => {
    for (const name of NAMES) model.set(name, settings[name]);
    model.save_changes();
  });
  const heard = NAMES.map((name) => [`change:${name}`, () => explorer.set({ [name]: model.get(name) })]);
  for (const [event, answer] of heard) model.on(event, answer);
  return () => {
    for (const [event, answer] of heard) model.off(event, answer);
    explorer.destroy();
  };
}

export default { render };
