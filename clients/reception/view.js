// @ts-check
/** Owns the reception page as a whole: its head, the filters, registering beside the queues, a word on what happened. */
import { signal } from "@preact/signals";

import { AccountButton, AccountSheet } from "../shared/account.js";
import { Stale } from "../shared/connection.js";
import { Alarms, EmergencyButton, EmergencySheet, useEmergencies } from "../shared/emergency.js";
import { number, t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { html, titled } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { useArrival } from "./arrival.js";
import { chosen, columns, departments, doctors, filter, here, location, locations, queues, settle } from "./desk.js";
import { Paper, Registration } from "./form.js";
import { Lines } from "./lines.js";
import { look, ready } from "./registration.js";
import { Sheets, help } from "./sheets.js";
import { said, undo } from "./steps.js";

/** On a phone one of the two is shown. */
export const tab = signal(/** @type {"register" | "queues"} */ ("register"));

export function Reception() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("reception.signin.lead")} />`;
  if (queues.value === null) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (queues.value.length === 0)
    return html`<main class="gate"><div class="gate-card"><h1>${t("reception.title")}</h1><p>${t("console.pick.none")}</p><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></div></main>`;
  return html`
    <div class="reception" data-tab=${tab.value}>
      <${Head} />
      <${Stale} />
      <${Help} />
      <${Ready} />
      <nav class="tabs" aria-label=${t("reception.title")}>
        ${/** @type {const} */ (["register", "queues"]).map((one) => html`<button key=${one} class="button" type="button" aria-pressed=${tab.value === one} onClick=${() => (tab.value = one)}>${t(`reception.tab.${one}`)}</button>`)}
      </nav>
      <main class="reception-main">
        <${Registration} />
        <section class="house" aria-labelledby="house-title">
          <${House} />
          <${Lines} />
        </section>
      </main>
      <p id="move-hint" hidden>${t("reception.move.hint")}</p>
      <p class="aside" role="status" aria-live="assertive" data-testid="reception-said">${said.value}</p>
      <${Word} onUndo=${() => undo()} hint="U" />
      <${Sheets} />
      <${EmergencySheet} locations=${locations.value} location=${location.value} />
      <${AccountSheet} />
    </div>
    <${Paper} />
  `;
}

/** @typedef {{currentTarget: HTMLSelectElement}} Chosen */

function Head() {
  const all = locations.value;
  return html`
    <header class="top">
      <h1 class="aside">${t("reception.title")}</h1>
      <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
      ${all.length > 1
        ? html`<label class="field top-where"><span class="aside">${t("reception.location")}</span><select onChange=${(/** @type {Chosen} */ event) => settle(Number(event.currentTarget.value))}>${all.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === location.value}>${one.name}</option>`)}</select></label>`
        : html`<strong class="top-where">${all[0]?.name}</strong>`}
      <${ArrivalCode} />
      <div class="top-end">
        <${EmergencyButton} />
        <a class="button quiet top-links" href="/bookings">${t("bookings.title")}</a>
        <a class="button quiet top-links" href="/waitlist">${t("waitlist.title")}</a>
        <${AccountButton} />
        <${LanguageChoice} />
        <button class="button quiet top-keys" type="button" onClick=${() => (help.value = true)}>${t("console.keys")} <kbd>?</kbd></button>
        <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
      </div>
    </header>
  `;
}

/** Who needs help at once at the chosen location. */
const Help = () => html`<${Alarms} list=${useEmergencies(location.value)} />`;

/** New links that came while somebody was being registered. */
const Ready = () => ready.value.map((one) => html`<p key=${one.ticket_id} class="banner is-ready" role="status"><span>${t("reception.ready", { token: one.token })} <bdi>${one.name}</bdi></span><button class="button" type="button" data-testid="reception-ready" onClick=${() => look(one)}>${t("reception.ready.show")}</button></p>`);

/** The code with which patients check in by themselves, where the boards show it too: some will ask at the desk. */
function ArrivalCode() {
  const shown = useArrival(location.value);
  return shown && html`<p class="top-code" data-testid="reception-code"><span>${t("reception.code")}</span> <strong><bdi dir="ltr">${shown}</bdi></strong></p>`;
}

/** The location's day, and what is to be seen of it. */
function House() {
  const all = columns.value;
  /** @param {(one: import("./desk.js").Column) => number} count */
  const sum = (count) => all.reduce((total, one) => total + count(one), 0);
  const served = sum((one) => one.day?.served ?? 0);
  // Of means, the mean over those who were called: a queue of one must not weigh like a queue of fifty.
  const called = sum((one) => (one.day?.wait_mean_s == null ? 0 : one.day.served + one.day.called + one.day.in_consultation));
  const mean = called && sum((one) => (one.day?.wait_mean_s == null ? 0 : one.day.wait_mean_s * (one.day.served + one.day.called + one.day.in_consultation))) / called;
  const facts = [
    [number(sum((one) => one.waiting.length)), t("value.waiting")],
    [number(sum((one) => one.rooms.length)), t("reception.inrooms")],
    [number(served), t("console.stats.served")],
    [number(sum((one) => one.day?.no_shows ?? one.missed.length)), t("console.stats.noshows")],
    [called ? t("console.minutes", { n: Math.round(mean / 60) }) : "–", t("console.stats.mean")],
  ];
  return html`
    <div class="house-head">
      <h2 id="house-title" class="aside">${t("reception.queues")}</h2>
      <dl class="today" aria-label=${t("console.stats")}>${facts.map(([value, label]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
      <${Filters} />
    </div>
  `;
}

function Filters() {
  const set = filter.value;
  /** @param {Partial<import("./desk.js").Filter>} change */
  const change = (change) => void (filter.value = { ...filter.peek(), ...change });
  return html`
    <div class="filters" role="group" aria-label=${t("reception.filter")}>
      <${Select} label=${t("console.queue")} value=${String(set.queue ?? "")} options=${here.value.map((one) => [String(one.id), titled(one.name, one.doctor)[0]])} onChange=${(/** @type {string} */ value) => change({ queue: value ? Number(value) : null })} />
      ${departments.value.length > 0 && html`<${Select} label=${t("reception.department")} value=${set.department} options=${departments.value.map((one) => [one, one])} onChange=${(/** @type {string} */ department) => change({ department })} />`}
      ${doctors.value.length > 0 && html`<${Select} label=${t("reception.doctor")} value=${String(set.doctor ?? "")} options=${doctors.value.map((one) => [String(one.id), one.name])} onChange=${(/** @type {string} */ value) => change({ doctor: value ? Number(value) : null })} />`}
      <${Select} label=${t("console.prioritize.urgency")} value=${set.urgency} options=${["routine", "urgent", "emergency"].map((one) => [one, t(`urgency.${one}`)])} onChange=${(/** @type {any} */ urgency) => change({ urgency })} />
      ${(chosen.value.length < columns.value.length || set.urgency) && html`<button class="button quiet" type="button" onClick=${() => change({ queue: null, department: "", doctor: null, urgency: "" })}>${t("reception.filter.clear")}</button>`}
    </div>
  `;
}

/** @param {{label: string, value: string, options: string[][], onChange: (value: string) => void}} props */
const Select = ({ label, value, options, onChange }) => html`
  <label class=${`filter ${value ? "is-set" : ""}`}><span>${label}</span>
    <select onChange=${(/** @type {Chosen} */ event) => onChange(event.currentTarget.value)}>
      <option value="" selected=${!value}>${t("reception.all")}</option>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${value === key}>${text}</option>`)}
    </select>
  </label>
`;
