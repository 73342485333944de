// @ts-check
/**
 * Owns waiting for a freed time, offered where none is free: one tap joins for what is looked at, and from then on the
 * same place tells where somebody stands.
 *
 * @import {PatientWait, Standing} from "../shared/wire.js"
 * @import {Feed} from "../shared/socket.js"
 * @typedef {"day" | "week" | "month"} Range
 * @typedef {PatientWait & {standing: Standing | null}} Place
 */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Problem, act, get, newKey } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { Countdown, Standings, atParts, onDays, secondsLeft, withWhom } from "../shared/waits.js";
import { branch, doctors, mode, modes, patient, staff, times, type, types } from "./booking.js";
import { PARTS, dayAfter } from "./days.js";
import { place } from "./route.js";

const MONTH = 27;

const range = signal(/** @type {Range | null} */ (null));
const parts = signal(/** @type {readonly string[]} */ ([]));
const busy = signal(false);
const problem = signal("");
/** Whatever a patient waits for; of the desk, what it has just put somebody on. */
const places = signal(/** @type {readonly Place[]} */ ([]));

/** @type {{what: string, key: string} | null} */
let trying = null;

/** @param {Range} which @param {string} day @param {string} from */
function daysOf(which, day, from) {
  if (which === "day") return { first_day: day, last_day: day };
  const today = times.peek()?.today ?? from;
  const first = from < today ? today : from;
  return { first_day: first, last_day: dayAfter(first, which === "week" ? 6 : MONTH) };
}

/** What is waited for, as it is asked. @param {Range} which @param {string} day @param {string} from */
function wish(which, day, from) {
  const at = place.peek();
  if (at.step === "choose") return null;
  return {
    ...(staff.peek() ? { patient_id: patient.peek()?.id } : {}),
    ...(at.doctor ? { doctor_id: at.doctor } : { specialty_id: at.specialty }),
    ...(type.peek() ? { visit_type_id: type.peek() } : {}),
    ...(branch.peek() ? { location_id: branch.peek() } : {}),
    mode: mode.peek(),
    parts: [...parts.peek()],
    ...daysOf(which, day, from),
  };
}

/** @param {Range} which @param {string} day @param {string} from */
async function join(which, day, from) {
  const body = wish(which, day, from);
  if (!body || busy.peek()) return;
  const what = JSON.stringify(body);
  if (trying?.what !== what) trying = { what, key: newKey() };
  busy.value = true;
  problem.value = "";
  try {
    const reply = await act("/waitlist", body, trying.key);
    trying = null;
    await look(reply.entry_id);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) trying = null;
    if (error.code === "not-authenticated") user.value = null;
    if (error.code === "already-on-waitlist") await look(error.body.entry_id);
    problem.value = error.message;
  } finally {
    busy.value = false;
  }
}

let asked = 0;

/** Read where they stand; the desk, of the one place that it made. The last question's answer counts. @param {number} [entry] */
async function look(entry) {
  const turn = ++asked;
  try {
    const found = staff.peek() ? entry && [await get(`/waitlist/${entry}`)] : (await get("/waitlist/mine")).items;
    if (found && turn === asked) places.value = found;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
  }
}

/** The place that stands for what is looked at, if there is one. @param {string} day @param {string} from */
function standsFor(day, from) {
  const at = place.value;
  if (at.step === "choose") return undefined;
  const whom = patient.value?.id;
  return places.value.find(
    (one) =>
      (!staff.value || /** @type {any} */ (one).patient?.id === whom) &&
      (at.doctor ? one.doctor === at.doctor : one.doctor === null && one.specialty === at.specialty) &&
      (one.visit_type === null || one.visit_type.id === type.value) &&
      one.first_day <= day && one.last_day >= (day < from ? from : day),
  );
}

/**
 * What is offered where nothing is free.
 * @param {{day: string, from: string, empty: boolean}} props  `empty`: not this day alone, but all that are shown
 */
export function Waiting({ day, from, empty }) {
  const shown = times.value;
  const here = `${user.value?.id} ${patient.value?.id ?? ""}`;
  useEffect(() => {
    range.value = null;
    problem.value = "";
  }, [here, day, empty]);
  useEffect(() => {
    /** @type {Feed | undefined} */
    let feed;
    places.value = [];
    asked += 1;
    if (user.peek()?.patient_id) feed = shown?.link.follow(`patient:${user.peek()?.patient_id}`, (events, how) => (how === "snapshot" || events.some((one) => "entry" in one.data)) && void look());
    return () => feed?.stop();
  }, [here, shown]);
  if (!doctors.value.some((one) => one.waitlist)) return null;
  const stands = standsFor(day, from);
  return stands ? html`<${There} one=${stands} />` : html`<${Ask} day=${day} from=${from} which=${range.value ?? (empty ? "week" : "day")} />`;
}

/** @param {{one: Place}} props */
function There({ one }) {
  const offer = one.offer && secondsLeft(one.offer) > 0 ? one.offer : null;
  return html`
    <section class="waiting-for" data-testid="waiting" data-entry=${one.entry} data-state=${one.state}>
      <h4 role="status">${staff.value ? t("waitlist.joined.for", { name: patient.value?.name ?? "" }) : t("waitlist.joined")}</h4>
      <p class="soft"><bdi>${withWhom(one)}</bdi> · ${onDays(one)} · ${atParts(one.parts)}</p>
      ${offer ? html`<p role="alert"><strong>${t("waitlist.joined.offer")}</strong></p><${Countdown} offer=${offer} />` : html`<${Standings} standing=${one.standing} />`}
      ${problem.value && html`<p class="soft">${problem.value}</p>`}
      <a class=${`button ${offer ? "main" : ""}`} href=${staff.value ? "/waitlist" : "/appointments"}>${offer ? t("waitlist.joined.answer") : staff.value ? t("waitlist.title") : t("waitlist.joined.look")}</a>
    </section>
  `;
}

/** @param {{day: string, from: string, which: Range}} props */
function Ask({ day, from, which }) {
  const nobody = staff.value && patient.value === null;
  const span = daysOf(which, day, from);
  /** @param {string} part */
  const toggle = (part) => void (parts.value = parts.peek().includes(part) ? parts.peek().filter((one) => one !== part) : PARTS.filter((one) => one === part || parts.peek().includes(one)));
  const kind = types.value.length > 1 ? types.value.find((one) => one.id === type.value)?.name : null;
  return html`
    <section class="waiting-for" aria-labelledby="wait-title" data-testid="wait">
      <h4 id="wait-title">${t("waitlist.ask")}</h4>
      <p class="soft">${[onDays(span), atParts(parts.value), kind, modes.value.length > 1 ? t(`book.mode.${mode.value}`) : null].filter(Boolean).join(" · ")}</p>
      ${nobody && html`<p>${t("book.who.first")}</p>`}
      <button class="button main" type="button" data-testid="wait-join" disabled=${busy.value || nobody} aria-busy=${busy.value} onClick=${() => join(which, day, from)}>${busy.value ? t("console.working") : t(staff.value ? "waitlist.ask.join.for" : "waitlist.ask.join")}</button>
      <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
      <p>${t("waitlist.ask.text")}</p>
      <details>
        <summary>${t("waitlist.ask.more")}</summary>
        <fieldset class="chips"><legend>${t("waitlist.ask.days")}</legend>
          ${/** @type {Range[]} */ (["day", "week", "month"]).map((one) => html`<label key=${one} class="chip-choice"><input type="radio" name="wait-range" checked=${which === one} onChange=${() => (range.value = one)} /><span>${t(`waitlist.range.${one}`)}</span></label>`)}
        </fieldset>
        <fieldset class="chips"><legend>${t("waitlist.ask.parts")}</legend>
          ${PARTS.map((one) => html`<label key=${one} class="chip-choice"><input type="checkbox" checked=${parts.value.includes(one)} onChange=${() => toggle(one)} /><span>${t(`book.part.${one}`)}</span></label>`)}
        </fieldset>
      </details>
    </section>
  `;
}
