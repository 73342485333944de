// @ts-check
/**
 * Owns the last step: the time that is held, its minutes, a few words for the doctor, and the button.
 *
 * @import {Time} from "./days.js"
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { now } from "../shared/clock.js";
import { clockTime, longDate, t, timer } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { book, fill, form, insistable, mode, others, patient, pick, problem, staff, toggle, type, working } from "./booking.js";
import { Call } from "../shared/call.js";
import { NEEDS, doctorBy, feeOf, locationBy, phoneAt, specialtyBy, typeBy, zoneAt } from "./catalogue.js";
import { again, extend, hold, release } from "./hold.js";
import { moving } from "./moving.js";
import { go, place } from "./route.js";

/** The last minute is told apart, to the eye and once to the ear. */
const SOON_S = 60;

/** @typedef {{currentTarget: HTMLInputElement & HTMLTextAreaElement & HTMLSelectElement}} Typed */

export function Form() {
  const held = hold.value;
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => ref.current?.focus({ preventScroll: true }), [held?.time.key]);
  useEffect(() => globalThis.scrollTo?.({ top: 0 }), []);
  if (!held) return null;
  const at = place.value;
  const one = moving.value;
  const lacking = staff.value && patient.value === null && !one;
  const asks = at.step !== "choose" && (!at.doctor || !(doctorBy(at.doctor)?.confirms || user.value?.doctor_id === at.doctor));
  const until = held.time.start - (doctorBy(held.time.doctor)?.change_hours ?? 0) * 3_600_000;
  const inZone = zoneAt(held.time.location);
  const fit = held.state === "held" || held.state === "unheld";
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void book();
  };
  return html`
    <form class="last" aria-labelledby="last-title" onSubmit=${submit} data-testid="booking-form" data-state=${held.state}>
      <button class="button quiet back" type="button" onClick=${() => go({ ...at, step: "times" })}><span class="arrow" aria-hidden="true">←</span> ${t("book.other")}</button>
      <h2 id="last-title" ref=${ref} tabindex="-1">${one ? t("mine.move.title") : asks ? t("book.ask.title") : staff.value ? t("bookings.new") : t("book.last")}</h2>
      <${Summary} time=${held.time} />
      <${Clock} />
      ${!one && html`<${Words} />`}
      ${!one && staff.value && html`<${Source} />`}
      <div role="alert">${problem.value && html`<div class="problem"><p>${problem.value}</p>${insistable.value && html`<button class="button danger" type="button" data-testid="insist" onClick=${() => void book({ insist: true })}>${t("book.insist")}</button>`}</div>`}</div>
      ${lacking && html`<p class="note is-warn">${t("book.who.first")}</p>`}
      <div class="last-foot">
        <button class="button main book" type="submit" data-testid="book" disabled=${working.value || lacking || !fit} aria-busy=${working.value || held.state === "asking"}>${working.value ? t("console.working") : one && !asks ? t("mine.move.yes") : asks ? t("book.ask") : t("book.book")}</button>
        ${fit && !staff.value && html`<p class="soft">${until > now.peek() ? t("mine.until", { day: longDate(until, inZone), time: clockTime(until, inZone) }) : html`${t("book.notundoable")} <${Call} phone=${phoneAt(held.time.location)} />`}</p>`}
      </div>
    </form>
  `;
}

/** @param {{time: Time}} props */
export function Summary({ time }) {
  const at = place.value;
  const doctor = at.step !== "choose" && at.doctor ? doctorBy(at.doctor) : null;
  const who = doctor?.name ?? t("book.any.of", { specialty: specialtyBy(at.step === "choose" ? null : at.specialty)?.name ?? "" });
  const inZone = zoneAt(time.location);
  const one = moving.value;
  const kind = one ? one.type : type.value;
  const fee = one ? "" : feeOf(kind, doctor?.id ?? null);
  const name = one?.patient || patient.value?.name;
  return html`
    <dl class="summary" data-testid="summary">
      <div class="summary-when"><dt class="aside">${t("book.when")}</dt><dd><span>${longDate(time.start, inZone)}</span><strong>${clockTime(time.start, inZone)}<span class="soft">–${clockTime(time.end, inZone)}</span></strong></dd></div>
      <div><dt>${t("book.doctor")}</dt><dd><bdi>${who}</bdi></dd></div>
      ${typeBy(kind) && html`<div><dt>${t("book.type")}</dt><dd><bdi>${typeBy(kind)?.name}</bdi> · ${t(`book.mode.${mode.value}`)}</dd></div>`}
      ${mode.value === "in_person" && html`<div><dt>${t("book.where")}</dt><dd><bdi>${locationBy(time.location)?.name}</bdi></dd></div>`}
      ${name && html`<div><dt>${t("book.who")}</dt><dd><bdi>${name}</bdi></dd></div>`}
      ${fee && html`<div><dt>${t("book.fee")}</dt><dd>${fee}</dd></div>`}
    </dl>
  `;
}

/** The minutes that are left, what to do when they are over, and what else is free when the time has gone. */
function Clock() {
  const held = hold.value;
  if (!held) return null;
  if (held.state === "unheld") return html`<p class="note is-warn" role="status">${t("book.unheld")}</p>`;
  if (held.state === "asking") return html`<p class="note" role="status">${t("book.holding")}</p>`;
  if (held.state === "over") return html`<${Over} />`;
  if (held.state === "lost") return html`<${Lost} />`;
  const left = Math.max(0, Math.floor((held.until - now.value) / 1_000));
  return html`
    <div class=${`clock ${left <= SOON_S ? "is-soon" : ""}`} data-testid="countdown" data-left=${left}>
      <p><span aria-hidden="true">${t("book.held", { time: timer(left) })}</span><span class="aside" role="status">${left <= SOON_S ? t("book.held.soon") : t("book.held.said", { n: Math.ceil(left / 60) })}</span></p>
      ${left <= SOON_S && !held.extended && html`<button class="button" type="button" onClick=${extend} data-testid="extend">${t("book.extend")}</button>`}
    </div>
  `;
}

const Over = () => html`
  <div class="gone" role="alert" data-testid="hold-over">
    <p><strong>${hold.value?.problem || t("book.over")}</strong> ${t("book.over.text")}</p>
    <button class="button main" type="button" data-testid="hold-again" onClick=${again}>${t("book.over.again")}</button>
    <${Others} />
  </div>
`;

const Lost = () => html`
  <div class="gone" role="alert" data-testid="hold-lost">
    <p><strong>${hold.value?.problem}</strong> ${t("book.lost.text")}</p>
    <${Others} />
    <button class="button" type="button" onClick=${() => { release(); go({ ...place.peek(), step: "times" }); }}>${t("book.lost.all")}</button>
  </div>
`;

function Others() {
  const list = others();
  const lost = hold.value?.time;
  if (list.length === 0 || !lost) return null;
  // The day is said where it is another one.
  /** @param {Time} time */
  const day = (time) => longDate(time.start, zoneAt(time.location));
  return html`
    <p>${t("book.others")}</p>
    <ul class="others">${list.map((time) => html`<li key=${time.key}><button class="slot" type="button" data-testid="alternative" onClick=${() => pick(time)}><strong>${clockTime(time.start, zoneAt(time.location))}</strong>${day(time) !== day(lost) && html`<small>${day(time)}</small>`}</button></li>`)}</ul>
  `;
}

function Words() {
  const { reason, symptoms, needs } = form.value;
  const ref = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  // Open where something is in it: what was typed before a reload must be seen.
  useLayoutEffect(() => {
    if (ref.current && (symptoms || needs.length > 0)) ref.current.open = true;
  }, []);
  return html`
    <label class="field"><span>${t("book.reason")} <small class="soft">${t("book.optional")}</small></span><input name="reason" type="text" maxlength="500" autocomplete="off" placeholder=${t("book.reason.hint")} value=${reason} onInput=${(/** @type {Typed} */ event) => fill({ reason: event.currentTarget.value })} /></label>
    <details class="more" ref=${ref}>
      <summary>${t("book.more")}</summary>
      <label class="field"><span>${t("book.symptoms")}</span><textarea name="symptoms" rows="3" maxlength="2000" value=${symptoms} onInput=${(/** @type {Typed} */ event) => fill({ symptoms: event.currentTarget.value })}></textarea></label>
      <fieldset class="radios needs">
        <legend>${t("book.needs")}</legend>
        ${NEEDS.map((need) => html`<label key=${need} class="radio"><input type="checkbox" name="needs" checked=${needs.includes(need)} onChange=${() => toggle(need)} /><span>${t(`need.${need}`)}</span></label>`)}
      </fieldset>
    </details>
  `;
}

/** How it came in, where those who work here book. */
const Source = () => html`
  <fieldset class="radios"><legend>${t("book.source")}</legend>
    ${/** @type {const} */ (["reception", "phone"]).map((one) => html`<label key=${one} class="radio"><input type="radio" name="source" checked=${form.value.source === one} onChange=${() => fill({ source: one })} /><span>${t(`book.source.${one}`)}</span></label>`)}
  </fieldset>
`;
