// @ts-check
/**
 * Owns the questions that are asked before an appointment changes: another time, calling it off, arriving, asking for help.
 *
 * @import {PatientAppointment} from "../shared/wire.js"
 */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { zoneAt } from "../book/catalogue.js";
import { local } from "../book/days.js";
import { again, extend, hold } from "../book/hold.js";
import { Picker } from "../book/picker.js";
import { now } from "../shared/clock.js";
import { clockTime, longDate, t, timer } from "../shared/i18n.js";
import { Sheet } from "../shared/sheet.js";
import { html } from "../shared/ui.js";
import { callForHelp, cancel, checkIn, close, doing, move, pick, problem, times, working } from "./state.js";

export function Sheets() {
  const open = doing.value;
  if (!open) return null;
  const one = open.appointment;
  if (open.kind === "cancel") return html`<${Cancel} one=${one} />`;
  if (open.kind === "check-in") return html`<${CheckIn} one=${one} />`;
  if (open.kind === "help") return html`<${Help} one=${one} />`;
  return html`<${Move} one=${one} />`;
}

/** @param {PatientAppointment} one */
const spoken = (one) => ({ day: longDate(Date.parse(one.starts_at), zoneAt(one.location)), time: clockTime(Date.parse(one.starts_at), zoneAt(one.location)) });

/** @typedef {{currentTarget: HTMLInputElement}} Typed */

/** @param {{one: PatientAppointment}} props */
function Cancel({ one }) {
  const [reason, setReason] = useState("");
  const [title, action] = one.state === "pending" ? [t("mine.withdraw.title"), t("mine.withdraw")] : one.state === "checked_in" ? [t("mine.leave.title"), t("ticket.leave")] : [t("mine.cancel.title"), t("mine.cancel.yes")];
  return html`
    <${Sheet} title=${title} action=${action} dismiss=${t("mine.cancel.no")} danger=${true} busy=${working.value} problem=${problem.value} onClose=${close} onSubmit=${() => void cancel(one, reason)}>
      <p>${one.state === "checked_in" ? t("mine.leave.text", { token: one.token ?? "" }) : t("mine.cancel.text", spoken(one))}</p>
      <label class="field"><span>${t("mine.cancel.reason")} <small class="soft">${t("book.optional")}</small></span><input type="text" maxlength="500" autocomplete="off" value=${reason} onInput=${(/** @type {Typed} */ event) => setReason(event.currentTarget.value)} /></label>
    <//>
  `;
}

/** @param {{one: PatientAppointment}} props */
function CheckIn({ one }) {
  const [code, setCode] = useState("");
  return html`
    <${Sheet} title=${t("mine.checkin.title")} action=${t("mine.checkin.yes")} busy=${working.value} disabled=${code.trim() === ""} problem=${problem.value} onClose=${close} onSubmit=${() => void checkIn(one, code)}>
      <p>${t("mine.checkin.text", { place: one.location_name })}</p>
      <label class="field"><span>${t("mine.checkin.code")}</span><input class="code" type="text" inputmode="numeric" autocomplete="one-time-code" maxlength="12" dir="ltr" autofocus value=${code} onInput=${(/** @type {Typed} */ event) => setCode(event.currentTarget.value)} /></label>
    <//>
  `;
}

/** @param {{one: PatientAppointment}} props */
function Help({ one }) {
  const [reason, setReason] = useState("");
  return html`
    <${Sheet} title=${t("mine.help.title")} action=${t("mine.help.yes")} danger=${true} busy=${working.value} problem=${problem.value} onClose=${close} onSubmit=${() => void callForHelp(one, reason)}>
      <p>${t("mine.help.text", { place: one.location_name })}</p>
      <label class="field"><span>${t("mine.help.reason")} <small class="soft">${t("book.optional")}</small></span><input type="text" maxlength="500" autocomplete="off" value=${reason} onInput=${(/** @type {Typed} */ event) => setReason(event.currentTarget.value)} /></label>
    <//>
  `;
}

const day = signal("");
let byHand = false;

/** @param {{one: PatientAppointment}} props */
function Move({ one }) {
  const shown = times.value;
  const held = hold.value;
  if (!shown) return null;
  const days = shown.days.value;
  const first = [...days].find(([, list]) => list.some((each) => each.free > 0))?.[0] ?? shown.from.value;
  const chosen = byHand && days.has(day.value) ? day.value : first;
  /** @param {string} which */
  const showDay = (which) => {
    byHand = true;
    day.value = which;
  };
  const left = held ? Math.max(0, (held.until - now.value) / 1_000) : 0;
  const inZone = held ? zoneAt(held.time.location) : undefined;
  return html`
    <div class="move-sheet"><${Sheet} title=${t("mine.move.title")} action=${t("mine.move.yes")} dismiss=${t("mine.cancel.no")} busy=${working.value} disabled=${held?.state !== "held"} problem=${problem.value} onClose=${close} onSubmit=${() => void move(one)}>
      <p>${t("mine.move.text", spoken(one))} <a href=${`/book?move=${one.appointment}`}>${t("mine.move.elsewhere")}</a></p>
      <${Picker} times=${shown} day=${chosen} chosen=${held?.time ?? null} onDay=${showDay} onWeek=${(/** @type {number} */ by) => { byHand = false; shown.turnTo(by); }} onTime=${pick} onNext=${(/** @type {import("../book/days.js").Time} */ time) => { const at = local(time.start, zoneAt(time.location)).day; showDay(at); if (shown.wish) void shown.seek(shown.wish, at); }} />
      ${held &&
      html`<div class="moving" data-testid="moving" data-state=${held.state}>
        ${held.state === "lost" ? html`<p class="problem" role="alert">${held.problem} ${t("book.lost.text")}</p>` : html`<p><span class="soft">${t("mine.move.to")}</span> <strong>${longDate(held.time.start, inZone)}, ${clockTime(held.time.start, inZone)}</strong></p>`}
        ${held.state === "held" && html`<p class="soft"><span aria-hidden="true">${t("book.held", { time: timer(left) })}</span> ${left <= 60 && !held.extended && html`<button class="button" type="button" onClick=${extend}>${t("book.extend")}</button>`}</p>`}
        ${held.state === "over" && html`<p role="alert">${t("book.over")} <button class="button" type="button" onClick=${again}>${t("book.over.again")}</button></p>`}
      </div>`}
    <//></div>
  `;
}
