// Colours with one meaning each, those of rnn_dynamics.plots.palette, on white and on dark.

export const COLOURS = {
  light: {
    paper: "#ffffff", ink: "#000000", grey: "#6e6e6e", light: "#d9d9d9",
    point: "#D55E00", cycle: "#0072B2", wall: "#E69F00", byStart: "#0072B2", byBias: "#009E73",
    low: "#9ecae1", high: "#fdd0a2", shade: 0.5,
    wallText: "#000000", pointText: "#D55E00", heat: ["#ffffff", "#d9d9d9", "#6e6e6e"],
  },
  dark: {
    paper: "#14161a", ink: "#f0f0f0", grey: "#a2a6ad", light: "#3b3f46",
    point: "#D55E00", cycle: "#56B4E9", wall: "#E69F00", byStart: "#56B4E9", byBias: "#009E73",
    low: "#9ecae1", high: "#fdd0a2", shade: 0.17,
    wallText: "#E69F00", pointText: "#F58A42", heat: ["#14161a", "#3b3f46", "#8a8f98"],
  },
};

const prefersDark = () => globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;

/** "light" or "dark": as asked for, else as the notebook says, else as the browser does. */
export function resolved(theme) {
  if (theme !== "auto") return theme;
  const { dataset, classList } = document.body;
  if (dataset.jpThemeLight !== undefined) return dataset.jpThemeLight === "true" ? "light" : "dark";
  if (dataset.vscodeThemeKind !== undefined) return dataset.vscodeThemeKind.includes("light") ? "light" : "dark";
  if (classList.contains("theme-dark")) return "dark";
  return prefersDark() ? "dark" : "light";
}

/** Call back when the browser's or the notebook's theme changes; returns what ends that. */
export function watch(changed) {
  const query = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
  query?.addEventListener("change", changed);
  const observer = new MutationObserver(changed);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "class"] });
  return () => {
    query?.removeEventListener("change", changed);
    observer.disconnect();
  };
}
