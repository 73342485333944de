// @ts-check
/** Owns the sheet in which a page asks something: one at a time, and why its answer was not taken stands in it. */
import { signal } from "@preact/signals";

import { t } from "./i18n.js";
import { Sheet } from "./sheet.js";
import { html } from "./ui.js";
import { hush, toast } from "./word.js";

/** The sheet that is open, as a function that draws it; one at a time. */
export const sheet = signal(/** @type {(() => any) | null} */ (null));

/** @param {() => any} draw */
export function ask(draw) {
  if (toast.peek()?.kind === "problem") hush();
  sheet.value = draw;
}

/** What is told only once, and waits for its turn. @type {(() => any)[]} */
let waiting = [];

/** Close the sheet; what has waited for that is shown. */
export const close = () => void (sheet.value = waiting.shift() ?? null);

/**
 * Show what is told only once in the place of the sheet that asked for it, or when the one that was opened since is
 * closed: it covers nothing that is being written.
 * @param {() => any} draw @param {(() => any) | null} mine
 */
export const tell = (draw, mine) => void (sheet.peek() === null || sheet.peek() === mine ? ask(draw) : waiting.push(draw));

/** Somebody else may sit down here. */
export function clear() {
  waiting = [];
  close();
}

/**
 * What a page draws in it; `onSubmit` answers whether it is done with.
 * @param {{title: string, action?: string, danger?: boolean, disabled?: boolean, busy: boolean, beside?: boolean, children?: any, onSubmit?: () => Promise<boolean> | boolean}} props
 */
export function Asked({ onSubmit, ...rest }) {
  const submit = async () => {
    const mine = sheet.peek();
    // What it did may have opened the next sheet, such as the link that it made.
    if ((await onSubmit?.()) && sheet.peek() === mine) close();
  };
  const problem = toast.value?.kind === "problem" ? toast.value.text : "";
  return html`<${Sheet} ...${rest} problem=${problem} onClose=${close} onSubmit=${submit} />`;
}

/** @param {{value: string, needed?: boolean, onChange: (text: string) => void}} props */
export const Reason = ({ value, needed = false, onChange }) => html`
  <label class="field"><span>${needed ? t("console.reason") : t("console.reason.optional")}</span>
    <input type="text" value=${value} maxlength="500" required=${needed} autocomplete="off" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
  </label>
`;
