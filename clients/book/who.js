// @ts-check
/**
 * Owns whom those who work here book for: found as they type, as at reception, or registered on the spot.
 *
 * @import {FoundPatient} from "../shared/wire.js"
 */
import { effect, signal } from "@preact/signals";
import { useRef } from "preact/hooks";

import { Problem, act, newKey, request } from "../shared/api.js";
import { bornIn, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { patient } from "./booking.js";

const PAUSE_MS = 150;
const RESULTS = 6;

const text = signal("");
const results = signal(/** @type {readonly FoundPatient[]} */ ([]));
const asked = signal("");
const active = signal(0);
const problem = signal("");
/** Somebody new: their name, while their phone is asked for; and those who may be the same. */
const fresh = signal(/** @type {{name: string, phone: string, key: string} | null} */ (null));
const twins = signal(/** @type {readonly FoundPatient[]} */ ([]));
const working = signal(false);

let turn = 0;
let timer = 0;

/** @param {string} typed */
function type(typed) {
  text.value = typed;
  clearTimeout(timer);
  turn += 1;
  if (typed.trim()) timer = setTimeout(search, PAUSE_MS);
  else results.value = [];
}

async function search() {
  clearTimeout(timer);
  const mine = (turn += 1);
  const q = text.peek().trim().slice(0, 200);
  if (!q) return;
  try {
    const found = await request("POST", "/patients/search", { body: { q, limit: RESULTS } });
    if (mine !== turn) return;
    results.value = found.items;
    problem.value = "";
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== turn) return;
    if (error.code === "not-authenticated") user.value = null;
    problem.value = error.message;
    results.value = [];
    return;
  }
  asked.value = q;
  active.value = 0;
}

/** @param {FoundPatient} found */
function take(found) {
  patient.value = { id: found.id, name: found.name, number: found.number, phone: found.phone, birth_date: found.birth_date, birth_year: found.birth_year };
  fresh.value = null;
  twins.value = [];
  type("");
}

async function enter() {
  if (!text.peek().trim()) return;
  if (asked.peek() !== text.peek().trim()) await search();
  // Typed on meanwhile, or not answered: what stands there still are others.
  if (!text.peek().trim() || asked.peek() !== text.peek().trim().slice(0, 200)) return;
  const found = results.peek()[active.peek()];
  if (found) take(found);
  else begin();
}

const begin = () => void (fresh.value = { name: text.peek().trim(), phone: "", key: newKey() });

/** @param {boolean} [confirmed] no candidate is the same person */
async function register(confirmed = false) {
  const who = fresh.peek();
  if (!who?.name.trim() || working.peek()) return;
  const desk = user.peek()?.id;
  working.value = true;
  problem.value = "";
  try {
    const body = { name: who.name.trim(), ...(who.phone.trim() ? { phone: who.phone.trim() } : {}), ...(confirmed ? { confirm_new: true } : {}) };
    const made = await act("/patients", body, `${who.key}${confirmed ? "-new" : ""}`);
    if (user.peek()?.id === desk) take(made.patient);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (user.peek()?.id !== desk) return;
    if (error.code === "possible-duplicate") twins.value = error.body.candidates ?? [];
    else problem.value = error.message;
    if (!error.retryable) fresh.value = fresh.peek() && { .../** @type {typeof who} */ (fresh.peek()), key: newKey() };
  } finally {
    working.value = false;
  }
}

// Nobody whom one person looked for is shown to the next.
effect(() => {
  if (user.value) return;
  type("");
  fresh.value = null;
  twins.value = [];
  problem.value = "";
});

export function Who() {
  const chosen = patient.value;
  if (chosen)
    return html`
      <section class="for-whom is-known" aria-label=${t("book.who")} data-testid="for-whom" data-patient=${chosen.id}>
        <p><span class="soft">${t("book.who")}</span> <strong><bdi>${chosen.name}</bdi></strong> <${Facts} found=${chosen} /></p>
        <button class="button quiet" type="button" onClick=${() => (patient.value = null)}>${t("book.who.change")}</button>
      </section>
    `;
  return html`<section class="for-whom" aria-label=${t("book.who")}>${fresh.value ? html`<${Fresh} />` : html`<${Find} />`}</section>`;
}

/** @param {{found: Pick<FoundPatient, "number" | "phone" | "birth_date" | "birth_year">}} props */
function Facts({ found }) {
  const born = bornIn(found);
  return html`<small class="facts">${born && html`<span>${t("console.born", { year: born })}</span>`} ${found.phone && html`<bdi dir="ltr">${found.phone}</bdi>`} ${found.number && html`<bdi dir="ltr">${found.number}</bdi>`}</small>`;
}

function Find() {
  const ref = useRef(/** @type {HTMLInputElement | null} */ (null));
  const shown = text.value.trim() !== "";
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.isComposing) return;
    const last = results.value.length;
    if (event.key === "ArrowDown") active.value = (active.value + 1) % (last + 1);
    else if (event.key === "ArrowUp") active.value = (active.value + last) % (last + 1);
    else if (event.key === "Enter") void enter();
    else if (event.key === "Escape" && text.value) type("");
    else return;
    event.preventDefault();
  };
  return html`
    <label class="field"><span>${t("book.who.find")}</span>
      <input ref=${ref} id="who" type="text" role="combobox" autocomplete="off" spellcheck="false" maxlength="200" placeholder=${t("reception.find.hint")}
        aria-expanded=${shown} aria-controls="who-found" aria-autocomplete="list" aria-activedescendant=${shown ? `who-${active.value}` : undefined}
        value=${text.value} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => type(event.currentTarget.value)} onKeyDown=${onKey} />
    </label>
    ${shown &&
    html`<ul id="who-found" class="found" role="listbox" aria-label=${t("reception.found")}>
      ${results.value.map((one, at) => html`<li key=${one.id} id=${`who-${at}`} role="option" aria-selected=${active.value === at} data-testid="who-found" data-patient=${one.id} onClick=${() => take(one)}><strong><bdi>${one.name}</bdi></strong><${Facts} found=${one} /></li>`)}
      <li id=${`who-${results.value.length}`} role="option" aria-selected=${active.value === results.value.length} data-testid="who-new" onClick=${begin}><strong>+ ${t("reception.new")}</strong><small><bdi>${text.value.trim()}</bdi></small></li>
    </ul>`}
    <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
  `;
}

function Fresh() {
  const who = /** @type {{name: string, phone: string, key: string}} */ (fresh.value);
  /** @param {Partial<{name: string, phone: string}>} change */
  const change = (change) => void (fresh.value = { ...who, ...change });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void register();
  };
  return html`
    <form class="fresh" onSubmit=${submit}>
      <label class="field"><span>${t("reception.name")}</span><input type="text" required maxlength="200" autocomplete="off" value=${who.name} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => change({ name: event.currentTarget.value })} /></label>
      <label class="field"><span>${t("reception.phone")}</span><input type="tel" dir="ltr" maxlength="40" autocomplete="off" value=${who.phone} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => change({ phone: event.currentTarget.value })} /></label>
      ${twins.value.length > 0 &&
      html`<div class="twins" role="alert"><p>${t("reception.twins")}</p><ul class="found">${twins.value.map((one) => html`<li key=${one.id}><button class="button" type="button" onClick=${() => take(one)}><bdi>${one.name}</bdi> <${Facts} found=${one} /></button></li>`)}</ul><button class="button" type="button" onClick=${() => void register(true)}>${t("reception.twins.new")}</button></div>`}
      <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
      <div class="fresh-foot"><button class="button" type="button" onClick=${() => { fresh.value = null; twins.value = []; }}>${t("console.cancel")}</button><button class="button main" type="submit" disabled=${working.value}>${t("book.who.register")}</button></div>
    </form>
  `;
}
