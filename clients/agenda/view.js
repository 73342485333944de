// @ts-check
/**
 * Owns how the agenda looks: a day or a week of one doctor, who asks for an answer, and who needs help.
 *
 * @import {DoctorAppointment} from "../shared/events.js"
 */
import { AccountButton, AccountSheet } from "../shared/account.js";
import { ask, sheet } from "../shared/asked.js";
import { coarse } from "../shared/clock.js";
import { Stale } from "../shared/connection.js";
import { Alarms, EmergencyButton, EmergencySheet } from "../shared/emergency.js";
import { bornIn, clockTime, dayName, dayTitle, has, longDate, number, span, t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { plusDays } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { DeskSheet, Detail, Reject } from "./detail.js";
import { FILTERS, go, href, route } from "./route.js";
import { allowNotices, catalogue, day, days, doctor, emergencies, entries, isDoctor, loaded, locationName, mayNotify, pending, requests, requestsTold, shut, take, today, told, undo, waiting } from "./work.js";

export function Agenda() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("agenda.signin.lead")} />`;
  if (user.value.role === "patient") return html`<main class="calm-screen"><h1>${t("agenda.staff")}</h1><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></main>`;
  if (catalogue.value?.doctors.length === 0) return html`<main class="calm-screen"><h1>${t("agenda.nodoctors")}</h1></main>`;
  return html`
    <div class="agenda">
      <${Head} />
      <${Stale} />
      <${Alarms} list=${emergencies.value} />
      <${Bar} />
      ${shut.value ? html`<p class="agenda-shut">${t("agenda.shut")}</p>` : loaded.value ? html`<main class="agenda-main"><${route.value.span === "week" ? Week : Day} /><${Requests} /></main>` : html`<p class="agenda-shut">${t("link.connecting")}</p>`}
      <${Word} sheet=${sheet.value !== null} onUndo=${undo} />
      ${sheet.value?.()}
      <${DeskSheet} />
      <${EmergencySheet} locations=${catalogue.value?.locations ?? []} location=${doctor.value?.location_ids[0] ?? null} specialties=${catalogue.value?.specialties ?? []} />
      <${AccountSheet} />
    </div>
  `;
}

function Head() {
  const all = catalogue.value?.doctors ?? [];
  const chosen = doctor.value;
  return html`
    <header class="top">
      <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
      <h1 class="agenda-name" dir="auto">${isDoctor.value ? chosen?.name : t("agenda.title")}</h1>
      ${!isDoctor.value &&
      html`<label class="agenda-doctor"><span class="aside">${t("agenda.doctor")}</span>
        <select value=${String(chosen?.id ?? "")} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => go({ doctor: Number(event.currentTarget.value) })}>
          ${all.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === chosen?.id}>${one.name}</option>`)}
        </select>
      </label>`}
      <nav class="page-links" aria-label=${t("agenda.elsewhere")}>
        ${isDoctor.value && html`<a class="button quiet" href="/console">${t("console.title")}</a>`}
        ${!isDoctor.value && html`<a class="button quiet" href="/reception">${t("reception.title")}</a>`}
        <a class="button quiet" href="/waitlist">${t("waitlist.title")}</a>
        <a class="button quiet" href=${`/schedule${isDoctor.value ? "" : `#/doctor/${chosen?.id ?? ""}`}`}>${t("schedule.title")}</a>
      </nav>
      <div class="top-end">
        <${EmergencyButton} />
        <${AccountButton} />
        <${LanguageChoice} />
        <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
      </div>
    </header>
  `;
}

function Bar() {
  const week = route.value.span === "week";
  const away = week ? 7 : 1;
  const shown = days.value;
  const title = week ? `${dayName(shown[0] ?? "")} – ${dayName(shown[6] ?? "")}` : dayTitle(day.value);
  /** @param {"day" | "week"} one */
  const span_ = (one) => html`<button class="button" type="button" aria-pressed=${route.value.span === one} onClick=${() => go({ span: one })}>${t(`agenda.span.${one}`)}</button>`;
  return html`
    <div class="agenda-bar">
      <div class="agenda-turn">
        <a class="button" href=${href({ day: plusDays(day.value, -away) })} aria-label=${t(week ? "agenda.week.before" : "agenda.day.before")}><span class="arrow" aria-hidden="true">←</span></a>
        <button class="button" type="button" disabled=${route.value.day === "" || day.value === today.value} onClick=${() => go({ day: "" })}>${t("agenda.today")}</button>
        <a class="button" href=${href({ day: plusDays(day.value, away) })} aria-label=${t(week ? "agenda.week.after" : "agenda.day.after")}><span class="arrow" aria-hidden="true">→</span></a>
      </div>
      <h2 aria-live="polite">${title}</h2>
      <label class="agenda-jump"><span class="aside">${t("agenda.jump")}</span><input type="date" value=${day.value} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => event.currentTarget.value && go({ day: event.currentTarget.value })} /></label>
      ${waiting.value.length > 0 && html`<button class="button requests-jump" type="button" onClick=${() => document.getElementById("requests")?.focus()}>${t("agenda.requests")} <span class="count">${number(waiting.value.length)}</span></button>`}
      <div class="agenda-spans" role="group" aria-label=${t("agenda.span")}>${span_("day")}${span_("week")}</div>
    </div>
  `;
}

/** @param {DoctorAppointment} one */
const times = (one) => (one.ends_at ? `${clockTime(Date.parse(one.starts_at))} – ${clockTime(Date.parse(one.ends_at))}` : clockTime(Date.parse(one.starts_at)));

/** @param {DoctorAppointment} one */
const aged = (one) => (one.patient.birth_year ? t("console.born", { year: bornIn(one.patient) }) : "");

/** The one step that comes next, by a tap. @param {{one: DoctorAppointment}} props */
function Next({ one }) {
  const busy = pending.value !== "";
  /** @param {string} name @param {boolean} [main] */
  const tap = (name, main = true) => html`<button class=${`button ${main ? "main" : ""}`} type="button" disabled=${busy} data-step=${name} onClick=${() => take(name, one)}>${t(`agenda.step.${name}`)}</button>`;
  if (one.state === "confirmed") return one.mode === "online" ? tap("start") : tap("check-in", false);
  if (one.state === "checked_in") return tap("start");
  if (one.state === "in_progress") return tap("complete");
  return null;
}

function Day() {
  const list = entries.value.get(day.value) ?? [];
  const at = coarse.value;
  const upcoming = day.value === today.value ? list.findIndex((one) => Date.parse(one.starts_at) > at) : -1;
  return html`
    <section class="day" aria-label=${t("agenda.span.day")} data-testid="agenda-day">
      <${Sum} list=${list} />
      ${list.length === 0 && html`<p class="list-empty">${told(day.value) ? t("agenda.free") : t("link.connecting")}</p>`}
      <ol class="visits">
        ${list.map((one, nth) => html`${nth === upcoming && html`<li key="now" class="now-line"><span>${clockTime(at)}</span></li>`}<${Visit} key=${one.appointment} one=${one} />`)}
      </ol>
    </section>
  `;
}

/** @param {{list: DoctorAppointment[]}} props */
function Sum({ list }) {
  const open = list.filter((one) => ["confirmed", "checked_in", "in_progress"].includes(one.state)).length;
  const here = list.filter((one) => one.state === "checked_in").length;
  const done = list.filter((one) => one.state === "completed").length;
  return html`<p class="day-sum soft">${t("agenda.sum", { open, here, done })}</p>`;
}

/** @param {{one: DoctorAppointment}} props */
function Visit({ one }) {
  const over = ["completed", "cancelled", "no_show", "rescheduled", "rejected"].includes(one.state);
  return html`
    <li class=${`visit is-${one.state} ${over ? "is-over" : ""}`} data-testid="agenda-visit" data-appointment=${one.appointment} data-state=${one.state}>
      <i class="visit-mark" style=${{ background: one.visit_type?.colour ?? null }} aria-hidden="true"></i>
      <div class="visit-time"><time datetime=${one.starts_at}>${times(one)}</time>${one.token && html`<span class="token">${one.token}</span>`}</div>
      <button class="visit-who" type="button" onClick=${() => ask(() => html`<${Detail} id=${one.appointment} />`)}>
        <strong dir="auto">${one.patient.name}</strong>
        <span class="soft"><bdi>${[one.visit_type?.name, one.mode === "online" && t("agenda.online"), aged(one), one.reason].filter(Boolean).join(" · ")}</bdi></span>
      </button>
      <div class="visit-marks">
        ${one.urgency !== "routine" && html`<span class=${`badge is-${one.urgency}`}>${t(`urgency.${one.urgency}`)}</span>`}
        ${one.walk_in && html`<span class="chip">${t("agenda.walkin")}</span>`}
        ${one.requirements.map((need) => html`<span key=${need} class="chip">${has(`need.${need}`) ? t(`need.${need}`) : need}</span>`)}
        <span class=${`badge stands-${one.state}`}>${t(`stands.${one.state}`)}</span>
      </div>
      <div class="visit-step"><${Next} one=${one} /></div>
    </li>
  `;
}

function Week() {
  return html`
    <section class="week-grid" aria-label=${t("agenda.span.week")} data-testid="agenda-week">
      ${days.value.map((one) => {
        const list = entries.value.get(one) ?? [];
        return html`
          <section key=${one} class=${`week-day ${one === today.value ? "is-today" : ""}`} aria-label=${dayTitle(one)}>
            <a class="week-head" href=${href({ span: "day", day: one })}><span>${dayName(one)}</span> <span class="count">${told(one) ? number(list.filter((each) => each.state !== "cancelled" && each.state !== "rescheduled").length) : "…"}</span></a>
            <ol>${list.map((each) => html`<li key=${each.appointment}><button class=${`week-visit is-${each.state}`} type="button" style=${{ borderInlineStartColor: each.visit_type?.colour ?? null }} onClick=${() => ask(() => html`<${Detail} id=${each.appointment} />`)}><time>${clockTime(Date.parse(each.starts_at))}</time> <span dir="auto">${each.patient.name}</span><span class="aside"> ${t(`stands.${each.state}`)}</span></button></li>`)}</ol>
          </section>
        `;
      })}
    </section>
  `;
}

function Requests() {
  const list = requests.value;
  return html`
    <aside class="requests" aria-label=${t("agenda.requests")}>
      <div class="requests-head"><h2 id="requests" tabindex="-1">${t("agenda.requests")} <span class="count">${number(waiting.value.length)}</span></h2>${mayNotify.value === "default" && html`<button class="button" type="button" onClick=${allowNotices}>${t("agenda.notify")}</button>`}</div>
      <div class="requests-filters" role="group" aria-label=${t("agenda.requests.show")}>
        ${FILTERS.map((one) => html`<button key=${one} class="button" type="button" aria-pressed=${route.value.requests === one} onClick=${() => go({ requests: one })}>${t(`agenda.requests.${one}`)}</button>`)}
      </div>
      ${list.length === 0 && html`<p class="list-empty">${requestsTold.value ? t(`agenda.requests.none.${route.value.requests}`) : t("link.connecting")}</p>`}
      <ol class="requests-list">${list.map((one) => html`<${Request} key=${one.appointment} one=${one} />`)}</ol>
    </aside>
  `;
}

/** @param {{one: DoctorAppointment}} props */
function Request({ one }) {
  const at = Date.parse(one.starts_at);
  const left = one.expires_at ? (Date.parse(one.expires_at) - coarse.value) / 1_000 : null;
  return html`
    <li class="request card" data-testid="agenda-request" data-appointment=${one.appointment} data-state=${one.state}>
      <div class="request-when"><strong>${longDate(at)}</strong><span>${times(one)}</span></div>
      <p><strong dir="auto">${one.patient.name}</strong> <span class="soft"><bdi>${[aged(one), one.visit_type?.name, one.mode === "online" && t("agenda.online"), locationName(one.location)].filter(Boolean).join(" · ")}</bdi></span></p>
      ${one.reason && html`<p dir="auto">${one.reason}</p>`}
      <div class="visit-marks">
        ${one.urgency !== "routine" && html`<span class=${`badge is-${one.urgency}`}>${t(`urgency.${one.urgency}`)}</span>`}
        ${one.doctor === null && html`<span class="chip">${t("agenda.any")}</span>`}
        ${one.state !== "pending" && html`<span class=${`badge stands-${one.state}`}>${t(`stands.${one.state}`)}</span>`}
      </div>
      ${one.state === "pending"
        ? html`
            ${left !== null && html`<p class="soft">${left > 0 ? t("agenda.requests.left", { time: span(left) }) : t("agenda.requests.over")}</p>`}
            <div class="request-steps">
              <button class="button" type="button" disabled=${pending.value !== ""} onClick=${() => ask(() => html`<${Reject} one=${one} />`)}>${t("agenda.step.reject")}</button>
              <button class="button main" type="button" disabled=${pending.value !== ""} data-step="accept" onClick=${() => take(isDoctor.value ? "accept" : "confirm", one)}>${t("agenda.step.accept")}</button>
            </div>`
        : one.answer_reason && html`<p class="soft" dir="auto">${one.answer_reason}</p>`}
    </li>
  `;
}
