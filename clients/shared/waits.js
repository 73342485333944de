// @ts-check
/**
 * Owns how waiting for a freed time is told, wherever it is: what somebody waits for, how likely a time is for them, and
 * how long one that is offered is still held.
 *
 * @import {Standing} from "./wire.js"
 * @typedef {{doctor_name: string | null, specialty_name: string | null, visit_type: {name: string} | null, location_name: string | null, mode: string, first_day: string, last_day: string, parts: readonly string[]}} Wish
 */
import { now } from "./clock.js";
import { clockTime, dayName, dayTitle, locale, number, t, timer } from "./i18n.js";
import { html } from "./ui.js";

/** Nine in ten is as sure as a guess may sound. */
const SUREST = 9;

/** Whom they would be seen by. @param {Pick<Wish, "doctor_name" | "specialty_name">} one */
export const withWhom = (one) => one.doctor_name ?? (one.specialty_name ? t("book.any.of", { specialty: one.specialty_name }) : t("book.any"));

/** On which days. @param {Pick<Wish, "first_day" | "last_day">} one */
export const onDays = (one) => (one.first_day === one.last_day ? dayTitle(one.first_day) : t("waitlist.days", { from: dayName(one.first_day), to: dayName(one.last_day) }));

/** @param {readonly string[]} parts */
export const atParts = (parts) => (parts.length === 0 || parts.length === 3 ? t("waitlist.parts.any") : new Intl.ListFormat(locale.value, { type: "disjunction" }).format(parts.map((part) => t(`book.part.${part}`))));

/** What else was wished for: the kind of visit, where, and how. @param {Wish} one */
export const besides = (one) => [one.visit_type?.name, one.location_name, one.mode === "both" ? null : t(`book.mode.${one.mode}`)].filter(Boolean);

/**
 * How likely a time is, as one would say it to somebody's face: never surer than the figure is.
 * @param {Standing} standing
 */
export function likely({ chance, seats }) {
  if (seats === 0) return t("waitlist.chance.none");
  const n = Math.min(SUREST, Math.round(chance * 10));
  return t(`waitlist.chance.${n >= 7 ? "good" : n >= 3 ? "fair" : n >= 1 ? "small" : "least"}`, { n });
}

/** A chance as a figure, for those who read many of them; nothing is impossible, and nothing certain. @param {Standing} standing */
export const percent = ({ chance, seats }) => (seats === 0 ? "–" : new Intl.NumberFormat(locale.value, { style: "percent" }).format(Math.max(0.01, Math.min(0.99, chance))));

/** Seconds for which an offer is still held. @param {{expires_at: string}} offer */
export const secondsLeft = (offer) => Math.max(0, (Date.parse(offer.expires_at) - now.value) / 1_000);

/**
 * How long an offer is still held: counted for the eye, and said as a time of day to the ear.
 * @param {{offer: {expires_at: string, offered_at?: string}, zone?: string}} props
 */
export function Countdown({ offer, zone }) {
  const left = secondsLeft(offer);
  return html`
    <p class=${`countdown ${left < 120 ? "is-soon" : ""}`} data-testid="countdown" data-left=${Math.floor(left)}>
      <span>${t("waitlist.held", { time: clockTime(Date.parse(offer.expires_at), zone) })}</span>
      <strong aria-hidden="true">${timer(left)}</strong>
    </p>
  `;
}

/** @param {{standing: Standing | null | undefined}} props */
export const Standings = ({ standing }) => standing && html`<p class="standing" data-testid="standing" data-position=${standing.position}><strong>${t("waitlist.position", { n: standing.position })}</strong> <span>${likely(standing)}</span></p>`;

/** A place by its number, as the desk speaks of it. @param {number} id */
export const placeName = (id) => t("waitlist.entry", { number: number(id) });
