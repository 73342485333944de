// @ts-check
/**
 * Owns the page behind the link in the message that tells of a freed time: what is offered, until when, and the answer.
 *
 * Invariants: opening the page answers nothing, since programs follow links, too; a press does, once. Whose offer it is
 * stands nowhere here, and what the link ends with goes to the server in a request's body alone.
 *
 * @import {Booked, Mode} from "../shared/wire.js"
 * @typedef {{offer_id: number, state: string, institution_name: string, doctor_name: string, location_name: string, zone: string, mode: Mode, starts_at: string, ends_at: string, offered_at?: string, expires_at: string, at: string}} Offered
 */
import { computed, signal } from "@preact/signals";

import { Problem, act, newKey, pause, request } from "../shared/api.js";
import { Nothing, Opening, begin, secret } from "../shared/bylink.js";
import { setServerTime } from "../shared/clock.js";
import { clockTime, longDate, t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { html } from "../shared/ui.js";
import { Countdown, secondsLeft } from "../shared/waits.js";

const ANEW_MS = 20_000;

const keys = { accept: newKey(), decline: newKey() };

const told = signal(/** @type {Offered | null} */ (null));
const booked = signal(/** @type {Booked | null} */ (null));
const unknown = signal(false);
const busy = signal("");
const problem = signal("");

/** How the offer stands: one whose time has run out is over, though nobody has said so yet. */
const state = computed(() => {
  const one = told.value;
  return one && one.state === "open" && secondsLeft(one) <= 0 ? "expired" : (one?.state ?? "");
});

/** Looks and answers are counted: what was asked for before what is shown says nothing of it any more. */
let turn = 0;
let shownTurn = 0;

/** @returns {Promise<boolean>} whether there is anything to ask for again */
async function look() {
  const sent = Date.now();
  const mine = (turn += 1);
  try {
    const shown = /** @type {Offered} */ (await request("POST", "/offers/by-link", { body: { secret } }));
    setServerTime(shown.at, sent);
    if (mine > shownTurn) {
      shownTurn = mine;
      told.value = shown;
    }
    return told.peek()?.state === "open";
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) unknown.value = told.peek() === null;
    return error.retryable;
  }
}

/** Look for as long as it may change: somebody may answer at the desk. */
async function follow() {
  for (let attempt = 0; await look(); attempt += 1) await (told.peek() ? new Promise((done) => setTimeout(done, ANEW_MS)) : pause(attempt));
}

/** @param {"accept" | "decline"} how */
async function answer(how) {
  if (busy.peek()) return;
  busy.value = how;
  problem.value = "";
  try {
    const reply = await act(`/offers/by-link/${how}`, { secret }, keys[how]);
    if (how === "accept") booked.value = reply;
    shownTurn = turn += 1;
    const before = told.peek();
    if (before) told.value = { ...before, state: how === "accept" ? "accepted" : "declined" };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) keys[how] = newKey();
    // Where it has expired or is answered, the page says so below.
    problem.value = error.code === "offer-expired" || error.code === "offer-answered" ? "" : error.message;
  } finally {
    await look();
    busy.value = "";
  }
}

function Page() {
  if (unknown.value) return html`<${Nothing} title=${t("feedback.unknown")} text=${t("offer.unknown.text")} />`;
  const one = told.value;
  if (!one) return html`<${Opening} />`;
  const open = state.value === "open";
  const at = Date.parse(one.starts_at);
  return html`
    <main class="gate">
      <div class="gate-card" data-testid="offer-link" data-state=${state.value}>
        <p class="soft"><bdi>${one.institution_name}</bdi></p>
        <h1 role="status">${t(`offer.${open ? "title" : state.value}`)}</h1>
        <p class="offer-when"><strong>${clockTime(at, one.zone)}<span class="soft">–${clockTime(Date.parse(one.ends_at), one.zone)}</span></strong> <span>${longDate(at, one.zone)}</span></p>
        <p><bdi>${one.doctor_name}</bdi> · ${one.mode === "online" ? t("book.mode.online") : html`<bdi>${one.location_name}</bdi>`}</p>
        ${booked.value && html`<p>${t("book.number")}: <strong><bdi dir="ltr">${booked.value.number}</bdi></strong></p>`}
        ${open ? html`<${Countdown} offer=${one} zone=${one.zone} />` : html`<p>${t(`offer.${state.value}.text`)}</p>`}
        <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
        ${open
          ? html`<div class="offer-answers">
                <button class="button main" type="button" data-testid="accept" disabled=${busy.value !== ""} aria-busy=${busy.value === "accept"} onClick=${() => answer("accept")}>${t("offer.accept")}</button>
                <button class="button" type="button" data-testid="decline" disabled=${busy.value !== ""} aria-busy=${busy.value === "decline"} onClick=${() => answer("decline")}>${t("offer.decline")}</button>
              </div>
              <p class="soft"><small>${t("offer.note")}</small></p>`
          : html`<a class="button" href="/appointments">${t("mine.title")}</a>`}
        <${LanguageChoice} />
      </div>
    </main>
  `;
}

void begin(Page, "offer.page").then(() => {
  document.addEventListener("visibilitychange", () => !document.hidden && told.peek() && void look());
  return follow();
});
