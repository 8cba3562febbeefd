// The picture of a panel that the kernel draws. A click sends where it was, as shares from the left and from below.

import { resolved, watch } from "./theme.js";

// On a dark page light and dark change places, and hues stay.
const DARK = "invert(0.92) hue-rotate(180deg)";

export default {
  render({ model, el }) {
    const image = document.createElement("img");
    Object.assign(image.style, { maxWidth: "100%", height: "auto" });
    const show = () => {
      if (!model.get("source")) return;
      Object.assign(image, { src: model.get("source"), alt: model.get("alt"), width: model.get("width") });
    };
    const colour = () => (image.style.filter = resolved("auto") === "dark" ? DARK : "");
    if (model.get("hears")) {
      image.style.cursor = "crosshair";
      image.addEventListener("click", (event) => {
        const box = image.getBoundingClientRect();
        model.send({ across: (event.clientX - box.left) / box.width, up: (box.bottom - event.clientY) / box.height });
      });
    }
    model.on("change:source", show);
    const unwatch = watch(colour);
    show();
    colour();
    el.append(image);
    return () => {
      model.off("change:source", show);
      unwatch();
    };
  },
};
