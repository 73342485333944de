// @ts-check
/**
 * Owns the one word on what has just happened, or why it did not.
 *
 * @typedef {{text: string, kind: "done" | "problem", undo?: number | null}} Toast  `undo`: what can be taken back
 */
import { signal } from "@preact/signals";

import { t } from "./i18n.js";
import { html } from "./ui.js";

const DONE_MS = 7_000;
const PROBLEM_MS = 9_000;

export const toast = signal(/** @type {Toast | null} */ (null));

let timer = 0;

/** @param {Toast} word */
export function say(word) {
  clearTimeout(timer);
  toast.value = word;
  timer = setTimeout(hush, word.kind === "problem" ? PROBLEM_MS : DONE_MS);
}

export const hush = () => void (toast.value = null);

/**
 * The word, for as long as it stands. A refusal while a sheet is open is told in the sheet: out here it would lie
 * behind it.
 * @param {{sheet?: boolean, onUndo?: (id: number) => unknown, hint?: string}} props  `hint`: the key that takes back
 */
export function Word({ sheet = false, onUndo, hint }) {
  const word = sheet && toast.value?.kind === "problem" ? null : toast.value;
  const problem = word?.kind === "problem";
  return html`
    <div class="toasts" role=${problem ? "alert" : "status"} aria-live=${problem ? "assertive" : "polite"}>
      ${word &&
      html`<div class=${`toast is-${word.kind}`} key=${word.text} data-testid="toast">
        <p>${word.text}</p>
        ${onUndo && word.undo && html`<button class="button" type="button" onClick=${() => onUndo(word.undo ?? 0)}>${t("console.undo")}${hint && html` <kbd aria-hidden="true">${hint}</kbd>`}</button>`}
        <button class="button quiet" type="button" aria-label=${t("console.close")} onClick=${hush}>×</button>
      </div>`}
    </div>
  `;
}
