// @ts-check
/**
 * Owns what is told of an appointment wherever staff see it: when it is, where it stands, and what is known of it.
 *
 * @import {DoctorAppointment} from "./events.js"
 */
import { bornIn, clockTime, has, longDate, t } from "./i18n.js";
import { html } from "./ui.js";

/** @param {string} label @param {any} value */
export const fact = (label, value) => (value ? html`<div><dt>${label}</dt><dd dir="auto">${value}</dd></div>` : null);

/** @param {string | null} number */
export const called = (number) => number && html`<a href=${`tel:${number}`}><bdi dir="ltr">${number}</bdi></a>`;

/**
 * @param {{one: DoctorAppointment, place: string, doctor?: string | null, symptoms?: string | null}} props
 *   `doctor`: with whom, and `symptoms`: what ails them, where that is told
 */
export function Facts({ one, place, doctor = null, symptoms = null }) {
  const at = Date.parse(one.starts_at);
  return html`
    <p class="detail-when"><strong>${longDate(at)}</strong> ${clockTime(at)}${one.ends_at && ` – ${clockTime(Date.parse(one.ends_at))}`} <span class=${`badge stands-${one.state}`}>${t(`stands.${one.state}`)}</span></p>
    <dl class="detail">
      ${fact(t("agenda.number"), one.number)}
      ${fact(t("agenda.doctor"), doctor)}
      ${fact(t("agenda.visit"), [one.visit_type?.name, one.mode === "online" ? t("agenda.online") : place].filter(Boolean).join(" · "))}
      ${fact(t("agenda.birth"), bornIn(one.patient))}
      ${fact(t("agenda.phone"), called(one.patient.phone))}
      ${fact(t("agenda.reason"), one.reason)}
      ${fact(t("agenda.symptoms"), symptoms)}
      ${fact(t("agenda.needs"), one.requirements.map((need) => (has(`need.${need}`) ? t(`need.${need}`) : need)).join(", "))}
      ${fact(t("agenda.token"), one.token)}
      ${fact(t("agenda.cancelled"), one.cancel_reason)}
      ${fact(t("agenda.answer"), one.answer_reason)}
    </dl>
  `;
}
