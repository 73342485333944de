// @ts-check
/** Owns the booking page as a whole: one step at a time on a phone, the times and the form side by side where there is room. */
import { clockTime, longDate, t, timer } from "../shared/i18n.js";
import { now } from "../shared/clock.js";
import { html } from "../shared/ui.js";
import { branch, branches, day, doctors, done, mode, modes, pick, showDay, showTime, showWeek, staff, times, type, types } from "./booking.js";
import { doctorBy, feeOf, specialtyBy, zoneAt } from "./catalogue.js";
import { Choose, Face } from "./choose.js";
import { Done } from "./done.js";
import { Form } from "./form.js";
import { hold, release } from "./hold.js";
import { immovable, leave, moving, reading } from "./moving.js";
import { Picker } from "./picker.js";
import { go, place } from "./route.js";
import { Shell } from "./shell.js";
import { Waiting } from "./waiting.js";
import { Who } from "./who.js";

export const Book = () => html`<${Shell} title=${t("book.signin")} current="book" testid="book-page"><${Steps} /><//>`;

function Steps() {
  const { step } = place.value;
  if (done.value) return html`<main class="booking is-done"><${Done} /></main>`;
  if (reading.value) return html`<main class="booking"><p class="nothing" role="status">${t("link.connecting")}</p></main>`;
  if (immovable.value) return html`<main class="booking"><div class="nothing" role="alert"><p>${immovable.value}</p><a class="button main" href=${home()}>${t("book.move.back")}</a></div></main>`;
  return html`
    <main class="booking" data-step=${step} data-held=${hold.value !== null}>
      ${moving.value ? html`<${Moved} one=${moving.value} />` : staff.value && html`<${Who} />`}
      ${step === "choose" ? html`<${Choose} />` : html`<div class="sides"><${When} />${hold.value && html`<aside class="side"><${Form} /></aside>`}</div>`}
      ${hold.value && step !== "form" && html`<${Going} />`}
    </main>
  `;
}

/** Where appointments are looked after. */
const home = () => (staff.value ? "/bookings" : "/appointments");

/** What is about to be moved; it stays until its new time is there. @param {{one: import("./moving.js").Moving}} props */
function Moved({ one }) {
  const inZone = zoneAt(one.location);
  return html`
    <section class="for-whom is-moving" aria-label=${t("mine.move.title")} data-testid="moved">
      <p>${one.patient && html`<strong><bdi>${one.patient}</bdi></strong> · `}<bdi>${one.who}</bdi><br />${t("mine.move.text", { day: longDate(one.start, inZone), time: clockTime(one.start, inZone) })}</p>
      <a class="button quiet" href=${home()} onClick=${leave}>${t("book.move.keep")}</a>
    </section>
  `;
}

function When() {
  const at = place.value;
  const shown = times.value;
  if (at.step === "choose" || !shown) return null;
  if (doctors.value.length === 0) return html`<section class="when"><p class="nothing">${t("book.gone")}</p><button class="button" type="button" onClick=${() => go({ step: "choose" })}>${t("book.back")}</button></section>`;
  const doctor = at.doctor ? doctorBy(at.doctor) : null;
  const specialty = specialtyBy(doctor ? doctor.specialty_id : at.specialty)?.name;
  return html`
    <section class="when" aria-labelledby="when-title">
      <button class="button quiet back" type="button" onClick=${() => go({ step: "choose" })}><span class="arrow" aria-hidden="true">←</span> ${t("book.back")}</button>
      <header class="when-head">
        ${doctor ? html`<${Face} doctor=${doctor} />` : html`<span class="face" aria-hidden="true">✦</span>`}
        <div><h1 id="when-title"><bdi>${doctor ? doctor.name : t("book.any")}</bdi></h1>${specialty && html`<p class="soft">${specialty}</p>`}</div>
      </header>
      ${!moving.value && html`<${Wishes} />`}
      ${doctor ? !doctor.confirms && html`<p class="note">${t("book.asks.note")}</p>` : html`<p class="note">${t("book.any.note")}</p>`}
      <${Picker} times=${shown} day=${day.value || shown.from.value} chosen=${hold.value?.time ?? null} several=${!doctor} onDay=${showDay} onWeek=${showWeek} onTime=${pick} onNext=${showTime} wait=${moving.value ? undefined : (/** @type {boolean} */ empty) => html`<${Waiting} day=${day.value || shown.from.value} from=${shown.from.value} empty=${empty} />`} />
    </section>
  `;
}

/** @typedef {{currentTarget: HTMLSelectElement}} Chosen */

/** What for, in person or online, and where: asked only where there is a choice. */
function Wishes() {
  const kinds = types.value;
  const doctor = place.value.step === "choose" ? null : (place.value.doctor ?? null);
  return html`
    <div class="visit-wishes">
      ${kinds.length > 1 &&
      html`<label class="field"><span>${t("book.type")}</span><select data-testid="visit-type" onChange=${(/** @type {Chosen} */ event) => (type.value = Number(event.currentTarget.value))}>${kinds.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === type.value}>${[t("book.type.minutes", { name: one.name, n: one.minutes }), feeOf(one.id, doctor)].filter(Boolean).join(" · ")}</option>`)}</select></label>`}
      ${branches.value.length > 1 &&
      html`<label class="field"><span>${t("book.where")}</span><select onChange=${(/** @type {Chosen} */ event) => (branch.value = Number(event.currentTarget.value) || null)}><option value="" selected=${branch.value === null}>${t("book.where.any")}</option>${branches.value.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === branch.value}>${one.name}</option>`)}</select></label>`}
      ${modes.value.length > 1 &&
      html`<fieldset class="modes"><legend class="aside">${t("book.mode")}</legend>${modes.value.map((one) => html`<label key=${one}><input type="radio" name="mode" checked=${mode.value === one} onChange=${() => (mode.value = one)} /><span>${t(`book.mode.${one}`)}</span></label>`)}</fieldset>`}
    </div>
  `;
}

/** The time that is held while somebody looks at others: on with it, or let it go. */
function Going() {
  const held = hold.value;
  if (!held || held.state === "lost") return null;
  const left = Math.max(0, (held.until - now.value) / 1_000);
  return html`
    <div class="going" data-testid="going">
      <p><strong>${clockTime(held.time.start, zoneAt(held.time.location))}</strong> <span>${held.state === "over" ? t("book.over") : held.state === "held" ? t("book.held", { time: timer(left) }) : ""}</span></p>
      <button class="button quiet" type="button" data-testid="let-go" onClick=${release}>${t("book.letgo")}</button>
      <button class="button main" type="button" onClick=${() => go({ step: "form", ...(place.peek().step === "choose" ? { doctor: held.time.doctor } : { ...place.peek(), step: "form" }) })}>${t("book.goon")}</button>
    </div>
  `;
}
