// @ts-check
/**
 * Owns how the list of appointments looks: filters, the table, and what is done to many at once.
 *
 * @import {Listed} from "./work.js"
 */
import { useEffect, useRef } from "preact/hooks";

import { AccountButton, AccountSheet } from "../shared/account.js";
import { ask, sheet } from "../shared/asked.js";
import { Stale } from "../shared/connection.js";
import { Choice, orAny } from "../shared/fields.js";
import { clockTime, dayName, money, number, t, zone } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { LIMIT, toggled } from "../shared/list.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { dayOf, plusDays } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { CancelMany, Detail } from "./detail.js";
import { BULK, allChosen, bulk, busy, catalogue, choose, chooseAll, chosen, filters, listed, load, loadSoon, next, pending, problem, results, save, set, text, today, undo } from "./work.js";

const STATES = ["pending", "confirmed", "checked_in", "in_progress", "completed", "no_show", "cancelled", "rejected", "rescheduled"];

export function Bookings() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("bookings.signin.lead")} />`;
  if (user.value.role === "patient") return html`<main class="calm-screen"><h1>${t("agenda.staff")}</h1><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></main>`;
  return html`
    <div class="bookings">
      <${Head} />
      <${Stale} />
      <main class="bookings-main">
        <${Asked} />
        <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
        <${Many} />
        ${listed.value === null ? !problem.value && html`<p class="list-empty">${t("link.connecting")}</p>` : html`<${Table} rows=${listed.value} />`}
        <${More} />
      </main>
      <${Word} sheet=${sheet.value !== null} onUndo=${undo} />
      ${sheet.value?.()}
      <${AccountSheet} />
    </div>
  `;
}

const Head = () => html`
  <header class="top">
    <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
    <h1 class="page-name">${t("bookings.title")}</h1>
    <nav class="page-links" aria-label=${t("agenda.elsewhere")}>
      <a class="button quiet" href="/agenda">${t("agenda.title")}</a>
      <a class="button quiet" href="/waitlist">${t("waitlist.title")}</a>
      ${user.value?.role !== "doctor" && html`<a class="button quiet" href="/reception">${t("reception.title")}</a>`}
    </nav>
    <div class="top-end">
      <a class="button main" href="/book">${t("bookings.new")}</a>
      <${AccountButton} />
      <${LanguageChoice} />
      <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
    </div>
  </header>
`;

/** @param {string} family @param {string[]} all */
const known = (family, all) => [{ value: "", text: t("bookings.any") }, ...all.map((value) => ({ value, text: t(`${family}.${value}`) }))];

function Asked() {
  const now = filters.value;
  const day = today();
  const spans = [
    { text: t("agenda.today"), from: day, to: day },
    { text: t("bookings.tomorrow"), from: plusDays(day, 1), to: plusDays(day, 1) },
    { text: t("bookings.week"), from: day, to: plusDays(day, 6) },
    { text: t("bookings.past"), from: "", to: plusDays(day, -1) },
    { text: t("bookings.ever"), from: "", to: "" },
  ];
  /** @param {"from" | "to"} end */
  const date = (end) => html`<label class="field"><span>${t(`bookings.${end}`)}</span><input type="date" value=${now[end]} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => set({ [end]: event.currentTarget.value })} /></label>`;
  const few = [now.visit, now.mode, now.source, now.payment, now.kind].some(Boolean);
  return html`
    <form class="asked" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()} aria-label=${t("bookings.filters")}>
      <label class="field asked-text"><span>${t("bookings.find")}</span>
        <input type="search" value=${text.value} maxlength="200" autocomplete="off" spellcheck=${false} placeholder=${t("bookings.find.hint")} data-testid="bookings-find" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => ((text.value = event.currentTarget.value), loadSoon())} />
      </label>
      ${user.value?.role !== "doctor" && html`<${Choice} label=${t("agenda.doctor")} value=${now.doctors[0] ?? ""} options=${orAny(catalogue.value?.doctors ?? [])} onChange=${(/** @type {string} */ id) => set({ doctors: id ? [id] : [] })} />`}
      <${Choice} label=${t("bookings.location")} value=${now.location} options=${orAny(catalogue.value?.locations ?? [])} onChange=${(/** @type {string} */ id) => set({ location: id })} />
      ${date("from")} ${date("to")}
      <div class="asked-row" role="group" aria-label=${t("bookings.when")}>
        ${spans.map((one) => html`<button key=${one.text} class="button" type="button" aria-pressed=${one.from === now.from && one.to === now.to} onClick=${() => set({ from: one.from, to: one.to, order: one.from ? "soonest" : "latest" })}>${one.text}</button>`)}
      </div>
      <div class="asked-row" role="group" aria-label=${t("bookings.states")}>
        ${STATES.map((state) => html`<button key=${state} class="button small" type="button" aria-pressed=${now.states.includes(state)} onClick=${() => set({ states: toggled(now.states, state) })}>${t(`stands.${state}`)}</button>`)}
      </div>
      <details class="asked-row" open=${few}>
        <summary>${t("admin.audit.more")}</summary>
        <div class="asked-more">
          <${Choice} label=${t("bookings.visit")} value=${now.visit} options=${orAny(catalogue.value?.visit_types ?? [])} onChange=${(/** @type {string} */ visit) => set({ visit })} />
          <${Choice} label=${t("bookings.kind")} value=${now.kind} options=${known("bookings.kind", ["scheduled", "walk_in"])} onChange=${(/** @type {string} */ kind) => set({ kind })} />
          <${Choice} label=${t("bookings.mode")} value=${now.mode} options=${known("bookings.mode", ["in_person", "online"])} onChange=${(/** @type {string} */ mode) => set({ mode })} />
          <${Choice} label=${t("bookings.source")} value=${now.source} options=${known("bookings.source", ["online", "reception", "kiosk", "phone", "import"])} onChange=${(/** @type {string} */ source) => set({ source })} />
          <${Choice} label=${t("bookings.payment")} value=${now.payment} options=${known("bookings.payment", ["unpaid", "paid", "waived", "refunded"])} onChange=${(/** @type {string} */ payment) => set({ payment })} />
          <${Choice} label=${t("bookings.order")} value=${now.order} options=${[{ value: "soonest", text: t("bookings.order.soonest") }, { value: "latest", text: t("bookings.order.latest") }]} onChange=${(/** @type {"soonest" | "latest"} */ order) => set({ order })} />
        </div>
      </details>
    </form>
  `;
}

/** What can be done with all that are chosen, and with the list as it is. */
function Many() {
  const n = chosen.value.size;
  const idle = pending.value === "";
  return html`
    <div class="many">
      <p role="status">${n > 0 ? t("bookings.chosen", { n }) : listed.value && t("bookings.shown", { n: listed.value.length, more: next.value ? "+" : "" })}</p>
      <div class="many-steps">
        ${n > 0 && BULK.map((one) => html`<button key=${one} class="button" type="button" data-bulk=${one} disabled=${!idle} onClick=${() => (one === "cancel" ? ask(() => html`<${CancelMany} n=${n} />`) : bulk(one))}>${t(`agenda.step.${one}`)}</button>`)}
        <button class="button" type="button" data-testid="bookings-export" disabled=${!idle} onClick=${save}>${t("bookings.export")}</button>
      </div>
    </div>
  `;
}

/** @param {{rows: readonly Listed[]}} props */
function Table({ rows }) {
  if (rows.length === 0) return html`<p class="list-empty" data-testid="bookings-empty">${t("bookings.none")}</p>`;
  return html`
    <div class="table-frame" role="region" aria-label=${t("bookings.title")} tabindex="0">
      <table class="table" data-testid="bookings-table">
        <thead>
          <tr>
            <th scope="col"><input type="checkbox" checked=${allChosen.value} onChange=${chooseAll} aria-label=${t("bookings.all")} /></th>
            <th scope="col">${t("bookings.when")}</th><th scope="col">${t("bookings.patient")}</th><th scope="col">${t("agenda.doctor")}</th><th scope="col">${t("bookings.visit")}</th><th scope="col">${t("bookings.state")}</th><th scope="col">${t("bookings.payment")}</th><th scope="col">${t("agenda.number")}</th>
          </tr>
        </thead>
        <tbody>${rows.map((one) => html`<${Line} key=${one.appointment.appointment} listed=${one} />`)}</tbody>
      </table>
    </div>
  `;
}

/** @param {{listed: Listed}} props */
function Line({ listed: row }) {
  const one = row.appointment;
  const at = Date.parse(one.starts_at);
  const result = results.value.get(one.appointment);
  return html`
    <tr class=${chosen.value.has(one.appointment) ? "is-chosen" : ""} data-testid="bookings-row" data-appointment=${one.appointment} data-state=${one.state}>
      <td><input type="checkbox" checked=${chosen.value.has(one.appointment)} onChange=${() => choose(one.appointment)} aria-label=${t("bookings.choose", { number: one.number })} /></td>
      <td><time datetime=${one.starts_at}>${dayName(dayOf(at, zone.value))} <strong>${clockTime(at)}</strong></time></td>
      <td><button class="as-link" type="button" onClick=${() => ask(() => html`<${Detail} id=${one.appointment} />`)}><bdi>${one.patient.name}</bdi></button> <small class="soft"><bdi>${[one.patient.number, one.patient.phone].filter(Boolean).join(" · ")}</bdi></small></td>
      <td><span dir="auto">${row.doctor_name ?? t("agenda.any")}</span> <small class="soft" dir="auto">${row.location_name}</small></td>
      <td><span dir="auto">${one.visit_type?.name ?? (one.walk_in ? t("agenda.walkin") : "–")}</span>${one.mode === "online" && html` <small class="soft">${t("agenda.online")}</small>`}</td>
      <td><span class=${`badge stands-${one.state}`}>${t(`stands.${one.state}`)}</span>${result && html` <small class="row-problem" role="alert">${result}</small>`}${result === "" && html` <small class="soft">✓</small>`}</td>
      <td>${one.fee ? html`<bdi>${row.currency ? money(one.fee, row.currency) : one.fee}</bdi> <small class="soft">${t(`bookings.payment.${one.payment}`)}</small>` : "–"}</td>
      <td><code>${one.number}</code></td>
    </tr>
  `;
}

/** Loads the next page when it comes near; the button is for whoever has no scrolling. */
function More() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!next.value || busy.value || !ref.current) return undefined;
    const watch = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && load(true), { rootMargin: "200px" });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, [next.value, busy.value]);
  if (!next.value || listed.value === null) return null;
  return html`<p class="more-line" ref=${ref}><button class="button" type="button" aria-busy=${busy.value} onClick=${() => load(true)}>${busy.value ? t("console.working") : t("bookings.more", { n: number(LIMIT) })}</button></p>`;
}
