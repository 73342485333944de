// @ts-check
/** Owns what somebody sees once they have booked: the number, when and where; of a request, what becomes of it, live. */
import { useLayoutEffect, useRef } from "preact/hooks";

import { clockTime, longDate, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { answer, anew, done, staff } from "./booking.js";
import { zoneAt } from "./catalogue.js";

const TITLES = /** @type {Record<string, string>} */ ({ pending: "book.done.pending", rejected: "book.done.rejected", cancelled: "book.done.cancelled" });

export function Done() {
  const made = done.value;
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => ref.current?.focus(), [made?.appointment_id]);
  if (!made) return null;
  const state = answer.value?.state ?? made.state;
  const inZone = zoneAt(made.location_id);
  const start = Date.parse(made.starts_at);
  const doctor = answer.value?.doctor ?? made.doctor_name;
  const bad = state === "rejected" || state === "cancelled";
  return html`
    <section class=${`finished is-${state}`} aria-labelledby="done-title" data-testid="booked" data-state=${state} data-appointment=${made.appointment_id} data-number=${made.number}>
      <span class="finished-mark" aria-hidden="true">${bad ? "×" : state === "pending" ? "…" : "✓"}</span>
      <h1 id="done-title" ref=${ref} tabindex="-1">${t(TITLES[state] ?? (made.moved ? "book.moved" : "book.done"))}</h1>
      <div role="status">
        ${state === "pending" && html`<p>${made.expires_at ? t("book.done.pending.text", { day: longDate(Date.parse(made.expires_at), inZone), time: clockTime(Date.parse(made.expires_at), inZone) }) : t("book.done.pending.wait")}</p>`}
        ${made.stays && (state === "pending" || state === "rejected") && html`<p>${t("book.moved.stays")}</p>`}
        ${state === "rejected" && html`<p>${answer.value?.reason ? t("book.done.rejected.reason", { reason: answer.value.reason }) : t("book.done.rejected.text")}</p>`}
      </div>
      <dl class="summary">
        <div class="summary-when"><dt class="aside">${t("book.when")}</dt><dd><span>${longDate(start, inZone)}</span><strong>${clockTime(start, inZone)}<span class="soft">–${clockTime(Date.parse(made.ends_at), inZone)}</span></strong></dd></div>
        <div><dt>${t("book.doctor")}</dt><dd><bdi>${doctor ?? t("book.any")}</bdi></dd></div>
        ${made.mode === "in_person" ? html`<div><dt>${t("book.where")}</dt><dd><bdi>${made.location_name}</bdi></dd></div>` : html`<div><dt>${t("book.where")}</dt><dd>${t("book.mode.online")}</dd></div>`}
        ${staff.value && html`<div><dt>${t("book.who")}</dt><dd><bdi>${made.patient}</bdi></dd></div>`}
        <div><dt>${t("book.number")}</dt><dd><bdi dir="ltr">${made.number}</bdi></dd></div>
      </dl>
      <div class="finished-foot">
        ${!staff.value && html`<a class="button main" href="/appointments">${t("mine.title")}</a>`}
        <button class=${`button ${staff.value ? "main" : ""}`} type="button" data-testid="book-another" onClick=${anew}>${bad ? t("book.done.again") : t("book.done.another")}</button>
      </div>
    </section>
  `;
}
