// @ts-check
/**
 * Owns the sheets over the list of appointments: one with its steps and its story, and calling off many.
 *
 * @typedef {{at: string, number: string, action: string, actor: string, who: string | null, role: string, before: Record<string, any> | null, after: Record<string, any> | null, address: string}} Told
 */
import { useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { get } from "../shared/api.js";
import { Asked as Plain, Reason, ask } from "../shared/asked.js";
import { clockTime, has, longDate, money, stamp, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Facts } from "../shared/visit.js";
import { Notices } from "./notices.js";
import { bulk, found, pending, step, take } from "./work.js";

/** @param {{title: string, action?: string, danger?: boolean, disabled?: boolean, children?: any, onSubmit?: () => Promise<boolean>}} props */
const Asked = (props) => html`<${Plain} ...${props} busy=${pending.value !== ""} beside />`;

/** @param {{n: number}} props */
export function CancelMany({ n }) {
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${t("bookings.cancel.many", { n })} action=${t("agenda.step.cancel")} danger onSubmit=${() => bulk("cancel", reason.trim())}>
      <p class="sheet-note">${t("agenda.cancel.text")}</p>
      <${Reason} value=${reason} needed onChange=${setReason} />
    <//>
  `;
}

/** @param {{id: number, name: "cancel" | "reject"}} props */
function WithReason({ id, name }) {
  const [reason, setReason] = useState("");
  const one = found(id)?.appointment;
  if (!one) return null;
  return html`
    <${Asked} title=${t(`agenda.${name}.title`)} action=${t(`agenda.step.${name}`)} danger onSubmit=${() => take(name, one, { reason: reason.trim() })}>
      <p class="sheet-note">${t(`agenda.${name}.text`)}</p>
      <${Reason} value=${reason} needed onChange=${setReason} />
    <//>
  `;
}

/** @param {{id: number}} props */
export function Detail({ id }) {
  const row = found(id);
  if (!row) return html`<${Asked} title=${t("agenda.gone")}><p>${t("agenda.gone.text")}</p><//>`;
  const one = row.appointment;
  const busy = pending.value !== "";
  /** @param {string} name */
  const tap = (name) => html`<button class="button" type="button" disabled=${busy} data-step=${name} onClick=${() => take(name, one)}>${t(`agenda.step.${name}`)}</button>`;
  /** @param {"cancel" | "reject"} name */
  const why = (name) => html`<button class="button" type="button" disabled=${busy} data-step=${name} onClick=${() => ask(() => html`<${WithReason} id=${id} name=${name} />`)}>${t(`agenda.step.${name}`)}</button>`;
  const early = one.state === "pending" || one.state === "confirmed";
  return html`
    <${Asked} title=${one.patient.name}>
      <${Facts} one=${one} place=${row.location_name} doctor=${row.doctor_name ?? row.specialty_name} />
      <div class="detail-steps">
        ${one.state === "pending" && html`${tap("confirm")} ${why("reject")}`}
        ${one.state === "confirmed" && tap("check-in")}
        ${["confirmed", "checked_in", "in_progress"].includes(one.state) && tap("complete")}
        ${["confirmed", "checked_in"].includes(one.state) && tap("no-show")}
        ${early && !one.walk_in && html`<a class="button" href=${`/book?move=${one.appointment}`}>${t("bookings.move")}</a>`}
        ${(early || one.state === "checked_in") && why("cancel")}
        ${one.undo && html`<button class="button quiet" type="button" disabled=${busy} onClick=${() => step("undo", `/appointments/${one.appointment}/undo`)}>${t("console.undo")}: ${t(`agenda.step.${one.undo}`)}</button>`}
      </div>
      <div class="detail-money">
        <label class="field"><span>${t("bookings.payment")} ${one.fee && html`<bdi class="soft">${row.currency ? money(one.fee, row.currency) : one.fee}</bdi>`}</span>
          <select value=${one.payment} disabled=${busy} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => step("payment", `/appointments/${id}/payment`, { payment: event.currentTarget.value })}>
            ${["unpaid", "paid", "waived", "refunded"].map((value) => html`<option key=${value} value=${value} selected=${value === one.payment}>${t(`bookings.payment.${value}`)}</option>`)}
          </select>
        </label>
        <label class="check"><input type="checkbox" checked=${one.insurance_verified} disabled=${busy} onChange=${() => step("insurance", `/appointments/${id}/insurance`, { verified: !one.insurance_verified })} /><span>${t("bookings.insurance")}</span></label>
      </div>
      <${Notices} key=${`notices ${id}`} id=${id} />
      <${Story} key=${id} id=${id} mark=${JSON.stringify(one)} />
    <//>
  `;
}

/** Who did what with it, and when; told anew when something happens to it. @param {{id: number, mark: string}} props */
function Story({ id, mark }) {
  const [answer] = useAnswer(() => get(`/appointments/${id}/history`), [id, mark]);
  const told = /** @type {Told[]} */ (answer?.items ?? []);
  return html`
    <details class="story">
      <summary>${t("bookings.story")}</summary>
      <ol>${told.map((one, nth) => html`<li key=${nth}><time datetime=${one.at}>${stamp(Date.parse(one.at))}</time> <strong>${has(`act.${one.action}`) ? t(`act.${one.action}`) : one.action}</strong> <span class="soft"><bdi>${[one.who ?? (has(`role.${one.role}`) ? t(`role.${one.role}`) : one.role), one.address].filter(Boolean).join(" · ")}</bdi></span><${Changed} one=${one} /></li>`)}</ol>
    </details>
  `;
}

/** What of an appointment its story tells, with the texts that name it; what it began with is told of the first few. */
const TOLD = { number: "agenda.number", state: "bookings.state", doctor: "agenda.doctor", starts_at: "bookings.when", visit_type: "bookings.visit", mode: "bookings.mode", location: "bookings.location", token: "agenda.token", fee: "bookings.fee", payment: "bookings.payment", insurance_verified: "bookings.insurance", answer_reason: "agenda.answer", cancel_reason: "agenda.cancelled", overridden: "bookings.late", insisted: "bookings.insisted", "note version": "agenda.notes.note", "diagnosis version": "agenda.notes.diagnosis", "prescription version": "agenda.notes.prescription" };
/** Of a new one these go without saying. */
const BEGUN = new Set(["number", "token", "payment", "location"]);

/** @param {string} name @param {any} value */
function words(name, value) {
  if (value === null || value === undefined || value === false) return "–";
  if (value === true) return t("bookings.yes");
  if (name === "starts_at") return `${longDate(Date.parse(value))} ${clockTime(Date.parse(value))}`;
  const family = { state: "stands", mode: "bookings.mode", payment: "bookings.payment" }[name];
  return family && has(`${family}.${value}`) ? t(`${family}.${value}`) : String(value);
}

/** What was changed of it, from what to what. @param {{one: Told}} props */
function Changed({ one }) {
  const { before, after } = one;
  if (!after) return null;
  const names = Object.keys(TOLD).filter((name) => name in after && (before ? after[name] !== before[name] : after[name] && !BEGUN.has(name)));
  if (names.length === 0) return null;
  return html`<dl class="story-change">${names.map((name) => html`<div key=${name}><dt>${t(/** @type {Record<string, string>} */ (TOLD)[name] ?? name)}</dt><dd>${before && before[name] ? html`<del><bdi>${words(name, before[name])}</bdi></del> <span class="arrow" aria-hidden="true">→</span><span class="aside">${t("admin.audit.became")}</span> ` : ""}<ins><bdi>${words(name, after[name])}</bdi></ins></dd></div>`)}</dl>`;
}
