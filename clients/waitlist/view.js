// @ts-check
/**
 * Owns how the waitlist looks to those who work here: filters, the offers that are open, the line, and how many wait
 * for which doctor's day.
 *
 * @import {Listed} from "./work.js"
 */
import { AccountButton, AccountSheet } from "../shared/account.js";
import { ask, sheet } from "../shared/asked.js";
import { Stale } from "../shared/connection.js";
import { Choice, orAny } from "../shared/fields.js";
import { clockTime, datePart, dayName, dayTitle, fullDate, number, t, zone } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { LIMIT, toggled } from "../shared/list.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { dayOf, plusDays } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { Countdown, atParts, besides, onDays, percent, withWhom } from "../shared/waits.js";
import { Word } from "../shared/word.js";
import { Add, Detail } from "./sheets.js";
import { DAYS, STATES, busy, catalogue, filters, listed, load, loadSoon, next, offers, pending, problem, set, step, text, today, wanted } from "./work.js";

/** A day for which so many wait is as dark as any: one person alone is no demand. */
const DARKEST = 4;

export function Waitlist() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("waitlist.signin")} />`;
  if (user.value.role === "patient") return html`<main class="calm-screen"><h1>${t("agenda.staff")}</h1><a class="button main" href="/appointments">${t("mine.title")}</a><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></main>`;
  return html`
    <div class="bookings waitlist">
      <${Head} />
      <${Stale} />
      <main class="waitlist-main">
        <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
        <${Open} />
        <section class="line" aria-labelledby="line-title">
          <h2 id="line-title">${t("waitlist.line")}</h2>
          <${Asked} />
          ${listed.value === null ? !problem.value && html`<p class="list-empty">${t("link.connecting")}</p>` : html`<${Table} rows=${listed.value} />`}
          ${next.value && listed.value !== null && html`<p class="more-line"><button class="button" type="button" aria-busy=${busy.value} onClick=${() => load(true)}>${busy.value ? t("console.working") : t("bookings.more", { n: number(LIMIT) })}</button></p>`}
        </section>
        <${Demand} />
      </main>
      <${Word} sheet=${sheet.value !== null} />
      ${catalogue.value && sheet.value?.()}
      <${AccountSheet} />
    </div>
  `;
}

const Head = () => html`
  <header class="top">
    <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
    <h1 class="page-name">${t("waitlist.title")}</h1>
    <nav class="page-links" aria-label=${t("agenda.elsewhere")}>
      <a class="button quiet" href="/bookings">${t("bookings.title")}</a>
      <a class="button quiet" href="/agenda">${t("agenda.title")}</a>
    </nav>
    <div class="top-end">
      <button class="button main" type="button" data-testid="waitlist-add" disabled=${catalogue.value === null} onClick=${() => ask(() => html`<${Add} />`)}>${t("waitlist.add")}</button>
      <${AccountButton} />
      <${LanguageChoice} />
      <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
    </div>
  </header>
`;

/** The offers that wait for an answer: whoever rings to say yes or no is answered here. */
function Open() {
  const all = offers.value;
  if (all.length === 0) return null;
  return html`
    <section class="open-offers" aria-labelledby="open-title">
      <h2 id="open-title">${t("waitlist.open", { n: all.length })}</h2>
      <ul>${all.map((one) => one.offer && html`<li key=${one.offer.offer}><${Offer} one=${one} offer=${one.offer} /></li>`)}</ul>
    </section>
  `;
}

/** @param {{one: Listed, offer: import("../shared/wire.js").WaitlistOffer}} props */
function Offer({ one, offer }) {
  const at = Date.parse(offer.starts_at);
  const idle = pending.value === "";
  return html`
    <article class="open-offer" data-testid="waitlist-offer" data-offer=${offer.offer} aria-label=${one.patient.name}>
      <p><button class="as-link" type="button" onClick=${() => ask(() => html`<${Detail} id=${one.entry} />`)}><bdi>${one.patient.name}</bdi></button>${one.patient.phone && html` <a class="soft" href=${`tel:${one.patient.phone}`}><bdi dir="ltr">${one.patient.phone}</bdi></a>`}</p>
      <p><strong>${dayName(dayOf(at, zone.value))}, ${clockTime(at)}</strong> · <bdi>${offer.doctor_name}</bdi></p>
      <${Countdown} offer=${offer} />
      <div class="open-answers">
        <button class="button" type="button" disabled=${!idle} onClick=${() => step("accept", `/offers/${offer.offer}/accept`)}>${t("waitlist.accept")}</button>
        <button class="button quiet" type="button" disabled=${!idle} onClick=${() => step("decline", `/offers/${offer.offer}/decline`)}>${t("waitlist.decline")}</button>
      </div>
    </article>
  `;
}

function Asked() {
  const now = filters.value;
  const isDoctor = user.value?.role === "doctor";
  return html`
    <form class="asked" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()} aria-label=${t("waitlist.filters")}>
      <label class="field asked-text"><span>${t("bookings.find")}</span>
        <input type="search" value=${text.value} maxlength="200" autocomplete="off" spellcheck=${false} placeholder=${t("bookings.find.hint")} data-testid="waitlist-find" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => ((text.value = event.currentTarget.value), loadSoon())} />
      </label>
      ${!isDoctor && html`<${Choice} label=${t("agenda.doctor")} testid="waitlist-doctor" value=${now.doctor} options=${orAny(catalogue.value?.doctors ?? [])} onChange=${(/** @type {string} */ doctor) => set({ doctor })} />`}
      ${!isDoctor && (catalogue.value?.specialties.length ?? 0) > 0 && html`<${Choice} label=${t("waitlist.specialty")} value=${now.specialty} options=${orAny(catalogue.value?.specialties ?? [])} onChange=${(/** @type {string} */ specialty) => set({ specialty })} />`}
      <${Choice} label=${t("waitlist.priority")} testid="waitlist-least" value=${now.least} options=${[{ value: "", text: t("bookings.any") }, { value: "6", text: t("waitlist.least", { n: 6 }) }, { value: "8", text: t("waitlist.least", { n: 8 }) }]} onChange=${(/** @type {string} */ least) => set({ least })} />
      <label class="field"><span>${t("waitlist.day")}</span><input type="date" value=${now.day} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => set({ day: event.currentTarget.value })} /></label>
      <div class="asked-row" role="group" aria-label=${t("bookings.states")}>
        ${STATES.map((state) => html`<button key=${state} class="button small" type="button" aria-pressed=${now.states.includes(state)} onClick=${() => set({ states: toggled(now.states, state) })}>${t(`waitlist.state.${state}`)}</button>`)}
      </div>
    </form>
  `;
}

/** @param {{rows: readonly Listed[]}} props */
function Table({ rows }) {
  if (rows.length === 0) return html`<p class="list-empty" data-testid="waitlist-empty">${t("waitlist.none")}</p>`;
  return html`
    <p role="status" class="soft">${t("waitlist.shown", { n: rows.length, more: next.value ? "+" : "" })}</p>
    <div class="table-frame" role="region" aria-label=${t("waitlist.line")} tabindex="0">
      <table class="table" data-testid="waitlist-table">
        <thead><tr>
          <th scope="col">${t("waitlist.place")}</th><th scope="col">${t("bookings.patient")}</th><th scope="col">${t("waitlist.for")}</th><th scope="col">${t("waitlist.when")}</th><th scope="col">${t("waitlist.since")}</th><th scope="col">${t("waitlist.chance")}</th><th scope="col">${t("waitlist.priority")}</th><th scope="col">${t("bookings.state")}</th>
        </tr></thead>
        <tbody>${rows.map((one) => html`<${Line} key=${one.entry} one=${one} />`)}</tbody>
      </table>
    </div>
  `;
}

/** @param {{one: Listed}} props */
function Line({ one }) {
  return html`
    <tr data-testid="waitlist-row" data-entry=${one.entry} data-state=${one.state} data-priority=${one.priority}>
      <td>${one.standing ? html`<strong>${t("waitlist.place.n", { n: one.standing.position })}</strong>` : "–"}</td>
      <td><button class="as-link" type="button" onClick=${() => ask(() => html`<${Detail} id=${one.entry} />`)}><bdi>${one.patient.name}</bdi></button> <small class="soft"><bdi>${[one.patient.number, one.patient.phone].filter(Boolean).join(" · ")}</bdi></small></td>
      <td><span dir="auto">${withWhom(one)}</span> <small class="soft" dir="auto">${besides(one).join(" · ")}</small></td>
      <td>${onDays(one)} <small class="soft">${atParts(one.parts)}</small></td>
      <td><time datetime=${one.joined_at}>${fullDate(one.joined_at)}</time></td>
      <td>${one.standing && one.state === "waiting" ? percent(one.standing) : "–"}</td>
      <td><span class=${`badge ${one.priority > 7 ? "is-emergency" : one.priority > 5 ? "is-urgent" : "is-routine"}`}>${number(one.priority)}</span>${one.priority_reason && html` <small class="soft" dir="auto">${one.priority_reason}</small>`}</td>
      <td><span class=${`badge wait-${one.state}`}>${t(`waitlist.state.${one.state}`)}</span></td>
    </tr>
  `;
}

/** How many wait for each doctor's next days: the darker, the more. A press shows who. */
function Demand() {
  const first = today();
  const days = Array.from({ length: DAYS }, (_, nth) => plusDays(first, nth));
  const cells = new Map(wanted.value.map((one) => [`${one.doctor} ${one.day}`, one]));
  const most = Math.max(DARKEST, ...wanted.value.map((one) => one.waiting));
  const doctors = (catalogue.value?.doctors ?? []).filter((one) => wanted.value.some(({ doctor }) => doctor === one.id));
  return html`
    <section class="demand" aria-labelledby="demand-title">
      <h2 id="demand-title">${t("waitlist.demand")}</h2>
      <p class="soft">${doctors.length > 0 ? t("waitlist.demand.text") : listed.value === null ? t("link.connecting") : t("waitlist.demand.none", { n: DAYS })}</p>
      ${doctors.length > 0 &&
      html`<div class="table-frame" role="region" aria-label=${t("waitlist.demand")} tabindex="0">
        <table class="heat" data-testid="waitlist-demand">
          <thead><tr><td></td>${days.map((day) => html`<th key=${day} scope="col"><span class="aside">${dayTitle(day)}</span><span aria-hidden="true">${datePart(Date.parse(day), { weekday: "short", timeZone: "UTC" })}<strong>${datePart(Date.parse(day), { day: "numeric", timeZone: "UTC" })}</strong></span></th>`)}</tr></thead>
          <tbody>${doctors.map((one) => html`<tr key=${one.id}><th scope="row"><bdi>${one.name}</bdi></th>${days.map((day) => html`<${Cell} key=${day} doctor=${one} day=${day} cell=${cells.get(`${one.id} ${day}`)} most=${most} />`)}</tr>`)}</tbody>
        </table>
      </div>`}
    </section>
  `;
}

/** @param {{doctor: {id: number, name: string}, day: string, cell: import("./work.js").DayWanted | undefined, most: number}} props */
function Cell({ doctor, day, cell, most }) {
  if (!cell) return html`<td></td>`;
  const here = filters.value.day === day && (filters.value.doctor === String(doctor.id) || user.value?.role === "doctor");
  const narrow = () => set(here ? { day: "", doctor: "" } : { day, ...(user.peek()?.role === "doctor" ? {} : { doctor: String(doctor.id) }) });
  return html`<td><button class="heat-cell" type="button" data-heat=${Math.ceil((cell.waiting / most) * 4)} aria-pressed=${here} aria-label=${t("waitlist.demand.cell", { doctor: doctor.name, day: dayTitle(day), n: cell.waiting, urgent: cell.urgent })} onClick=${narrow}>${number(cell.waiting)}${cell.urgent > 0 && html`<i aria-hidden="true">!</i>`}</button></td>`;
}
