// @ts-check
/**
 * Owns what reception asks before a step is sent: the reason of a place given by hand, another urgency; and the keys; and which sheet is open.
 *
 * @import {StaffTicket, Urgency} from "../shared/wire.js"
 */
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { Problem } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { Sheet } from "../shared/sheet.js";
import { html, store } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { asking, rest } from "./carry.js";
import { takeAway } from "./desk.js";
import { picture } from "./form.js";
import { Correct, Decide, correcting, deciding } from "./record.js";
import { looked, renew } from "./registration.js";
import { finish, step } from "./steps.js";

const kept = store();
/** Reasons that are one key away; the last one used stands ready. */
const QUICK = ["unwell", "frail", "child", "appointment", "agreed"];

export const urgency = signal(/** @type {{ticket: StaffTicket, queue: number} | null} */ (null));
export const help = signal(false);

/**
 * @param {StaffTicket} ticket
 * @param {number} queue
 */
export const prioritize = (ticket, queue) => void (urgency.value = { ticket, queue });

/** @param {StaffTicket} ticket */
export async function showLink(ticket) {
  try {
    await renew(ticket.ticket);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    else say({ text: t("reception.refused", { token: ticket.token, reason: error.message }), kind: "problem", undo: null });
  }
}

export function Sheets() {
  if (asking.value) return html`<${Reason} key=${asking.value.move} />`;
  if (urgency.value) return html`<${Urgent} key=${urgency.value.ticket.ticket} />`;
  if (correcting.value) return html`<${Correct} key=${correcting.value.id} record=${correcting.value} />`;
  if (deciding.value !== null) return html`<${Decide} key=${deciding.value} queue=${deciding.value} />`;
  if (help.value) return html`<${Keys} />`;
  if (looked.value) return html`<${Renewed} key=${looked.value.ticket_id} given=${looked.value} />`;
  return null;
}

/** A ticket's new link, over whatever was begun. @param {{given: import("./registration.js").Given}} props */
const Renewed = ({ given }) => html`
  <${Sheet} title=${given.token} action=${t("reception.print")} dismiss=${t("console.close")} onClose=${() => (looked.value = null)} onSubmit=${() => print()}>
    <div class="done" data-testid="reception-renewed" data-token=${given.token}>
      <p class="done-who"><strong><bdi>${given.name}</bdi></strong><span>${[given.queue, given.doctor].filter(Boolean).join(" · ")}</span></p>
      <img class="qr" src=${picture(given.qr_svg)} alt=${t("reception.slip.qr")} width="220" height="220" />
    </div>
  <//>
`;

/**
 * A reason: one of the usual ones by its number, or any other in words. The last one used stands ready.
 * @param {{value: string, onChange: (text: string) => void}} props
 */
function Reasons({ value, onChange }) {
  const ref = useRef(/** @type {HTMLInputElement | null} */ (null));
  useLayoutEffect(() => ref.current?.select(), []);
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const chosen = QUICK[Number(event.key) - 1];
    if (!chosen || event.ctrlKey || event.metaKey || event.isComposing) return;
    event.preventDefault();
    onChange(t(`reception.because.${chosen}`));
  };
  return html`
    <label class="field"><span>${t("console.reason")}</span>
      <input ref=${ref} autofocus type="text" required maxlength="200" autocomplete="off" value=${value} onKeyDown=${onKey} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
    </label>
    <div class="quick" role="group" aria-label=${t("reception.because")}>
      ${QUICK.map((one, at) => html`<button key=${one} class="button" type="button" aria-pressed=${value === t(`reception.because.${one}`)} onClick=${() => onChange(t(`reception.because.${one}`))}>${t(`reception.because.${one}`)} <kbd aria-hidden="true">${at + 1}</kbd></button>`)}
    </div>
  `;
}

const lastReason = () => kept.get("callboard.because") ?? t("reception.because.unwell");

function Reason() {
  const now = asking.value;
  const [reason, setReason] = useState(lastReason);
  if (!now) return null;
  const { move, ticket, queue, place } = now;
  const close = () => {
    if (asking.peek()?.move !== move) return;
    asking.value = null;
    takeAway(move);
    rest(ticket, queue);
  };
  const submit = () => {
    if (!reason.trim()) return;
    asking.value = null;
    kept.set("callboard.because", reason.trim());
    void finish(move, "prioritize", ticket, { place, reason: reason.trim() }, t("reception.moved", { token: ticket.token, n: place }));
    rest(ticket, queue);
  };
  return html`<${Sheet} beside title=${t("reception.why", { token: ticket.token, n: place })} action=${t("reception.move")} onClose=${close} onSubmit=${submit}><${Reasons} value=${reason} onChange=${setReason} /><//>`;
}

function Urgent() {
  const now = urgency.value;
  const [level, setLevel] = useState(/** @type {Urgency} */ (now?.ticket.urgency ?? "routine"));
  const [reason, setReason] = useState(lastReason);
  if (!now) return null;
  const { ticket, queue } = now;
  const close = () => void (urgency.value = null);
  const submit = () => {
    if (!reason.trim()) return;
    close();
    kept.set("callboard.because", reason.trim());
    void step("prioritize", { ticket, from: queue, change: { urgency: level } }, { urgency: level, reason: reason.trim() });
  };
  return html`
    <${Sheet} beside title=${t("console.prioritize.title", { token: ticket.token })} action=${t("console.save")} onClose=${close} onSubmit=${submit}>
      <fieldset class="radios">
        <legend>${t("console.prioritize.urgency")}</legend>
        ${["routine", "urgent", "emergency"].map((one) => html`<label key=${one} class="radio"><input type="radio" name="level" value=${one} checked=${level === one} onChange=${() => setLevel(/** @type {Urgency} */ (one))} /><span>${t(`urgency.${one}`)}</span></label>`)}
      </fieldset>
      <${Reasons} value=${reason} onChange=${setReason} />
    <//>
  `;
}

/** Each shortcut: its key, and the text that tells what it does. */
const KEYS = [["N", "reception.keys.n"], ["1 2 3", "reception.keys.urgency"], ["Enter", "reception.keys.enter"], ["P", "reception.keys.p"], ["reception.key.esc", "reception.keys.esc"], ["Q", "reception.keys.q"], ["← ↑ ↓ →", "reception.keys.arrows"], ["M", "reception.keys.m"], ["E", "reception.keys.e"], ["S", "reception.keys.s"], ["U", "console.keys.u"], ["?", "console.keys.help"]];

const Keys = () => html`
  <${Sheet} beside title=${t("console.keys.title")} onClose=${() => (help.value = false)}>
    <dl class="keys">
      ${KEYS.map(([key = "", text = ""]) => html`<div key=${text}><dt><kbd>${key.includes(".") ? t(key) : key}</kbd></dt><dd>${t(text)}</dd></div>`)}
    </dl>
  <//>
`;
