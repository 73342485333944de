// @ts-check
/**
 * Owns what the console asks before a step that needs an answer: which queue, what reason, how urgent.
 *
 * @import {QueueState, StaffTicket} from "../shared/wire.js"
 * @typedef {"transfer" | "return" | "call" | "prioritize" | "cancel" | "hold" | "state" | "keys"} Kind
 */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { Choice } from "../shared/fields.js";
import { t } from "../shared/i18n.js";
import { Sheet } from "../shared/sheet.js";
import { html, titled } from "../shared/ui.js";
import { hush, toast } from "../shared/word.js";
import { pending, place, queue, queues, step, ticketStep, waiting } from "./work.js";

export const dialog = signal(/** @type {{kind: Kind, ticket: StaffTicket | null} | null} */ (null));

/**
 * @param {Kind} kind
 * @param {StaffTicket | null} [ticket]
 */
export function open(kind, ticket = null) {
  if (toast.peek()?.kind === "problem") hush();
  dialog.value = { kind, ticket };
}
export const close = () => void (dialog.value = null);

export function Dialogs() {
  const shown = dialog.value;
  if (!shown) return null;
  const { kind, ticket } = shown;
  if (kind === "keys") return html`<${Keys} />`;
  if (kind === "state") return html`<${State} />`;
  if (!ticket) return null;
  const Chosen = { transfer: Transfer, return: Return, call: CallThis, prioritize: Prioritize, cancel: Cancel, hold: Hold }[kind];
  return html`<${Chosen} key=${ticket.ticket} ticket=${ticket} />`;
}

/** @param {{title: string, action?: string, danger?: boolean, children?: any, onSubmit?: () => Promise<boolean> | boolean}} props */
function Asked({ onSubmit, ...rest }) {
  const submit = async () => {
    const mine = dialog.peek();
    // Who has not waited for the answer may have opened the next one.
    if ((await onSubmit?.()) && dialog.peek() === mine) close();
  };
  const problem = toast.value?.kind === "problem" ? toast.value.text : "";
  return html`<${Sheet} ...${rest} busy=${pending.value !== null} problem=${problem} beside onClose=${close} onSubmit=${submit} />`;
}

/** @param {{value: string, onChange: (text: string) => void, required?: boolean, label?: string, placeholder?: string}} props */
function Text({ value, onChange, required = false, label, placeholder = "" }) {
  return html`
    <label class="field">
      <span>${label ?? t(required ? "console.reason" : "console.reason.optional")}</span>
      <input type="text" value=${value} maxlength="200" required=${required} placeholder=${placeholder} autocomplete="off"
        onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
    </label>
  `;
}

/** @param {string} text */
const reasonIn = (text) => (text.trim() ? { reason: text.trim() } : {});

/** @param {{ticket: StaffTicket}} props */
function Transfer({ ticket }) {
  const targets = (queues.value ?? []).filter((one) => one.id !== place.value?.queue);
  const [to, setTo] = useState(String(targets[0]?.id ?? ""));
  const [keep, setKeep] = useState(true);
  const [reason, setReason] = useState("");
  const title = t("console.transfer.title", { token: ticket.token });
  if (targets.length === 0) return html`<${Asked} title=${title}><p>${t("console.transfer.none")}</p><//>`;
  const submit = () => ticketStep("transfer", ticket, { queue_id: Number(to), keep_wait: keep, ...reasonIn(reason) });
  const named = targets.map((one) => ({ value: String(one.id), text: [...titled(one.name, one.doctor), t("console.waiting.n", { n: one.waiting })].filter(Boolean).join(" · ") }));
  return html`
    <${Asked} title=${title} action=${t("console.transfer")} onSubmit=${submit}>
      <${Choice} label=${t("console.transfer.to")} value=${to} options=${named} onChange=${setTo} />
      <label class="check"><input type="checkbox" checked=${keep} onChange=${() => setKeep(!keep)} /><span>${t("console.transfer.keep")}</span></label>
      <${Text} value=${reason} onChange=${setReason} />
    <//>
  `;
}

/** @param {{ticket: StaffTicket}} props */
function Return({ ticket }) {
  const [after, setAfter] = useState("");
  const options = [{ value: "", text: t("console.return.old") }, ...[1, 2, 3, 5, 10].map((n) => ({ value: String(n), text: t("console.return.after", { n }) }))];
  const submit = () => ticketStep("return", ticket, { after: after ? Number(after) : null });
  return html`
    <${Asked} title=${t("console.return.title", { token: ticket.token })} action=${t("console.return")} onSubmit=${submit}>
      <${Choice} label=${t("console.return.where")} value=${after} options=${options} onChange=${setAfter} />
    <//>
  `;
}

/** @param {{ticket: StaffTicket}} props */
function CallThis({ ticket }) {
  const [reason, setReason] = useState("");
  const submit = () => ticketStep("call", ticket, { desk_id: place.value?.desk, reason: reason.trim() });
  return html`
    <${Asked} title=${t("console.callthis.title", { token: ticket.token })} action=${t("console.callthis")} onSubmit=${submit}>
      <p class="sheet-note">${t("console.callthis.text")}</p>
      <${Text} value=${reason} onChange=${setReason} required />
    <//>
  `;
}

/** @param {{ticket: StaffTicket}} props */
function Prioritize({ ticket }) {
  const [urgency, setUrgency] = useState(/** @type {string} */ (ticket.urgency));
  const [spot, setSpot] = useState("");
  const [reason, setReason] = useState("");
  const levels = ["routine", "urgent", "emergency"].map((level) => ({ value: level, text: t(`urgency.${level}`) }));
  const spots = [{ value: "", text: t("console.prioritize.place.auto") }, ...waiting.value.map((_, at) => ({ value: String(at + 1), text: t("console.place", { n: at + 1 }) }))];
  const submit = () => ticketStep("prioritize", ticket, { urgency, ...(spot ? { place: Number(spot) } : {}), reason: reason.trim() });
  return html`
    <${Asked} title=${t("console.prioritize.title", { token: ticket.token })} action=${t("console.save")} onSubmit=${submit}>
      <${Choice} label=${t("console.prioritize.urgency")} value=${urgency} options=${levels} onChange=${setUrgency} />
      <${Choice} label=${t("console.prioritize.place")} value=${spot} options=${spots} onChange=${setSpot} />
      <${Text} value=${reason} onChange=${setReason} required />
    <//>
  `;
}

/** @param {{ticket: StaffTicket}} props */
function Cancel({ ticket }) {
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${t("console.cancel.title", { token: ticket.token })} action=${t("console.cancel.action")} danger onSubmit=${() => ticketStep("cancel", ticket, reasonIn(reason))}>
      <${Text} value=${reason} onChange=${setReason} />
    <//>
  `;
}

/** @param {{ticket: StaffTicket}} props */
function Hold({ ticket }) {
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${`${t("console.hold")} · ${ticket.token}`} action=${t("console.hold")} onSubmit=${() => ticketStep("hold", ticket, reasonIn(reason))}>
      <${Text} value=${reason} onChange=${setReason} />
    <//>
  `;
}

function State() {
  const [state, setState] = useState(/** @type {string} */ (queue.value?.state ?? "open"));
  const [message, setMessage] = useState(queue.value?.message ?? "");
  const states = /** @type {QueueState[]} */ (["open", "paused", "closed"]);
  const submit = () =>
    step("state", `/queues/${place.value?.queue}/state`, { state, message: message.trim() || null }, { undoable: false, values: { state: t(`value.${state}`) } });
  return html`
    <${Asked} title=${t("console.pause.title")} action=${t("console.save")} onSubmit=${submit}>
      <fieldset class="radios">
        <legend>${t("console.state")}</legend>
        ${states.map((one) => html`<label key=${one} class="radio"><input type="radio" name="state" value=${one} checked=${state === one} onChange=${() => setState(one)} /><span>${t(`console.state.${one}`)}</span></label>`)}
      </fieldset>
      <${Text} label=${t("console.pause.message")} value=${message} onChange=${setMessage} placeholder=${t("console.pause.example")} />
    <//>
  `;
}

/** Each shortcut: its key, and the text that tells what it does. */
const KEYS = [["console.key.space", "console.keys.space"], ["S", "console.keys.s"], ["R", "console.keys.r"], ["C", "console.keys.c"], ["N", "console.keys.n"], ["H", "console.keys.h"], ["B", "console.keys.b"], ["T", "console.keys.t"], ["U", "console.keys.u"], ["?", "console.keys.help"]];

const Keys = () => html`
  <${Asked} title=${t("console.keys.title")}>
    <dl class="keys">
      ${KEYS.map(([key = "", text = ""]) => html`<div key=${text}><dt><kbd>${key.includes(".") ? t(key) : key}</kbd></dt><dd>${t(text)}</dd></div>`)}
    </dl>
  <//>
`;
