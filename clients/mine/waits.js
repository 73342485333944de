// @ts-check
/**
 * Owns what a patient waits for, on their own page: where they stand, a time that is offered to them, and its answer.
 *
 * Invariant: a place is shown as the stream tells it; how an offer ended is said until another comes.
 *
 * @import {Booked, PatientWait, Standing, WaitlistOffer} from "../shared/wire.js"
 * @import {Envelope} from "../shared/wire.js"
 */
import { computed, effect, signal } from "@preact/signals";

import { zoneAt } from "../book/catalogue.js";
import { Problem, act, get, newKey } from "../shared/api.js";
import { clockTime, longDate, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { Sheet } from "../shared/sheet.js";
import { html } from "../shared/ui.js";
import { Countdown, Standings, atParts, besides, onDays, secondsLeft, withWhom } from "../shared/waits.js";
import { happened, rows, said } from "./state.js";

const ANEW_MS = 60_000;

const waits = computed(() => /** @type {PatientWait[]} */ (rows.value.filter(([key]) => key.startsWith("w:")).map(([, row]) => row)).sort((a, b) => Number(b.offer !== null) - Number(a.offer !== null) || a.entry - b.entry));
const standings = signal(/** @type {ReadonlyMap<number, Standing>} */ (new Map()));
/** What became of the last offer to each place that waits on: the key of its sentence. */
const ended = signal(/** @type {ReadonlyMap<number, string>} */ (new Map()));
const problem = signal("");
const busy = signal("");
const leaving = signal(/** @type {PatientWait | null} */ (null));

let asked = 0;

/** Places in a line move as others come and go: they are asked for, not told; the last question's answer counts. */
async function look() {
  const turn = ++asked;
  try {
    const { items } = await get("/waitlist/mine");
    if (turn !== asked) return;
    standings.value = new Map(items.map((/** @type {PatientWait & {standing: Standing}} */ one) => [one.entry, one.standing]));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
  }
}

const which = computed(() => waits.value.map((one) => `${one.entry} ${one.state}`).join());
effect(() => void (which.value ? look() : (standings.value = new Map())));
setInterval(() => which.peek() && !document.hidden && void look(), ANEW_MS);

/** How an offer can end without its patient's own answer. */
const ENDS = /** @type {Record<string, string>} */ ({ "offer-expired": "mine.offer.over", "offer-withdrawn": "mine.offer.gone" });

happened((/** @type {readonly Envelope[]} */ events) => {
  const after = new Map(ended.peek());
  for (const { type, data } of events) {
    if (ENDS[type]) after.set(data.entry, ENDS[type] ?? "");
    else if (type === "offer-made") after.delete(data.entry);
    else if (type === "ticket-changed" && data.ended === "day-ended") said.value = t("ticket.dayended.text");
  }
  ended.value = after;
});

/** @type {{what: string, key: string} | null} */
let trying = null;

/** @param {string} path @returns {Promise<any>} undefined where it was refused, and `problem` says why */
async function answer(path) {
  if (busy.peek()) return undefined;
  if (trying?.what !== path) trying = { what: path, key: newKey() };
  const who = user.peek()?.id;
  busy.value = path;
  problem.value = said.value = "";
  try {
    const reply = await act(path, {}, trying.key);
    trying = null;
    return user.peek()?.id === who ? reply : undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) trying = null;
    if (user.peek()?.id !== who) return undefined;
    if (error.code === "not-authenticated") user.value = null;
    problem.value = error.message;
    return undefined;
  } finally {
    busy.value = "";
  }
}

/** @param {WaitlistOffer} offer */
async function accept(offer) {
  const booked = /** @type {Booked | undefined} */ (await answer(`/offers/${offer.offer}/accept`));
  if (!booked) return;
  const at = Date.parse(booked.starts_at);
  said.value = t("mine.offer.taken", { day: longDate(at, zoneAt(booked.location_id)), time: clockTime(at, zoneAt(booked.location_id)) });
}

/** @param {WaitlistOffer} offer */
async function decline(offer) {
  if (await answer(`/offers/${offer.offer}/decline`)) said.value = t("mine.offer.declined");
}

/** @param {PatientWait} one */
async function leave(one) {
  if (!(await answer(`/waitlist/${one.entry}/leave`))) return;
  if (leaving.peek() === one) leaving.value = null;
  said.value = t("mine.wait.left");
}

/** Times that are offered stand above all else. */
export const Offers = () => html`${waits.value.map((one) => one.offer && html`<${Offer} key=${one.offer.offer} one=${one} offer=${one.offer} />`)}`;

/** @param {{one: PatientWait, offer: WaitlistOffer}} props */
function Offer({ one, offer }) {
  const inZone = zoneAt(offer.location);
  const at = Date.parse(offer.starts_at);
  const open = secondsLeft(offer) > 0;
  return html`
    <section class="offer-card" aria-labelledby=${`offer-${offer.offer}`} data-testid="offer" data-offer=${offer.offer} data-open=${open}>
      <h2 id=${`offer-${offer.offer}`} role="status">${open ? t("offer.title") : t("offer.over")}</h2>
      <p class="offer-when"><strong>${clockTime(at, inZone)}<span class="soft">–${clockTime(Date.parse(offer.ends_at), inZone)}</span></strong> <span>${longDate(at, inZone)}</span></p>
      <p><bdi>${offer.doctor_name}</bdi> · ${offer.mode === "online" ? t("book.mode.online") : html`<bdi>${offer.location_name}</bdi>`}${one.visit_type && html` · <bdi>${one.visit_type.name}</bdi>`}</p>
      ${open ? html`<${Countdown} offer=${offer} zone=${inZone} />` : html`<p>${t("mine.offer.over")}</p>`}
      <div role="alert">${problem.value && !leaving.value && html`<p class="problem">${problem.value}</p>`}</div>
      ${open &&
      html`<div class="offer-answers">
        <button class="button main" type="button" data-testid="accept" disabled=${busy.value !== ""} aria-busy=${busy.value !== ""} onClick=${() => accept(offer)}>${t("offer.accept")}</button>
        <button class="button" type="button" data-testid="decline" disabled=${busy.value !== ""} onClick=${() => decline(offer)}>${t("offer.decline")}</button>
      </div>
      <p class="soft"><small>${t("offer.note")}</small></p>`}
    </section>
  `;
}

/** What they wait for, and where they stand. */
export function Waits() {
  const list = waits.value.filter((one) => one.offer === null);
  if (list.length === 0) return null;
  return html`
    <section aria-labelledby="waits-title">
      <h2 id="waits-title">${t("mine.waits")}</h2>
      ${problem.value && !waits.value.some((one) => one.offer) && !leaving.value && html`<p class="problem" role="alert">${problem.value}</p>`}
      <ul class="cards">${list.map((one) => html`<li key=${one.entry}><${Wait} one=${one} /></li>`)}</ul>
      <p class="soft"><small>${t("waitlist.chance.how")}</small></p>
    </section>
    ${leaving.value && html`<${Leave} one=${leaving.value} />`}
  `;
}

/** @param {{one: PatientWait}} props */
function Wait({ one }) {
  const last = ended.value.get(one.entry);
  return html`
    <article class="waiting-for" data-testid="wait" data-entry=${one.entry} data-state=${one.state} aria-label=${`${withWhom(one)}, ${onDays(one)}`}>
      <h3><bdi>${withWhom(one)}</bdi></h3>
      <p>${onDays(one)} · ${atParts(one.parts)}${besides(one).map((text) => html` · <bdi>${text}</bdi>`)}</p>
      <div role="status">${last && html`<p class="answered">${t(last)}</p>`}</div>
      <${Standings} standing=${standings.value.get(one.entry)} />
      <button class="button" type="button" data-testid="leave-wait" onClick=${() => { problem.value = ""; leaving.value = one; }}>${t("mine.wait.leave")}</button>
    </article>
  `;
}

/** @param {{one: PatientWait}} props */
const Leave = ({ one }) => html`
  <${Sheet} title=${t("mine.wait.leave.title")} action=${t("mine.wait.leave")} dismiss=${t("mine.wait.keep")} danger=${true} busy=${busy.value !== ""} problem=${problem.value} onClose=${() => (leaving.value = null)} onSubmit=${() => void leave(one)}>
    <p>${t("mine.wait.leave.text")}</p>
  <//>
`;

/** Nothing of one patient is left for the next. */
effect(() => {
  if (user.value) return;
  ended.value = standings.value = new Map();
  leaving.value = null;
  problem.value = "";
});
