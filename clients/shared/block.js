// @ts-check
/**
 * Owns the question before time is blocked: whose, whole days or hours, and what becomes of the bookings in it.
 *
 * @typedef {{institution_id?: number, doctor_id?: number, location_id?: number}} Scope
 * @typedef {{value: string, text: string, scope: Scope}} Choosable
 * @typedef {{appointment_id: number, number: string, starts_at: string, doctor_name: string | null, patient: string | null}} Booking
 * @typedef {{appointment_id: number, number: string, outcome: string, problem: any}} Became
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, request } from "./api.js";
import { Choice } from "./fields.js";
import { clockTime, dayName, t, zone } from "./i18n.js";
import { user } from "./session.js";
import { Sheet } from "./sheet.js";
import { instant, plusDays } from "./times.js";
import { html } from "./ui.js";

const KINDS = ["leave", "holiday", "emergency", "other"];
const FATES = ["move", "cancel", "keep"];

/** @param {{label: string, type: string, value: string, onChange: (text: string) => void, min?: string}} props */
const Field = ({ label, type, value, onChange, min }) => html`<label class="field"><span>${label}</span><input type=${type} required value=${value} min=${min} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} /></label>`;

/**
 * A blocked period; where there are bookings in it, they are listed, and what becomes of them is asked for.
 * @param {{whose: Choosable[], today: string, onClose: () => void, onDone: () => void}} props  `whose`: the first is chosen
 */
export function BlockSheet({ whose, today, onClose, onDone }) {
  const tomorrow = plusDays(today, 1);
  const [own, setOwn] = useState({ whose: whose[0]?.value ?? "", kind: "leave", reason: "", whole: true, first: tomorrow, last: tomorrow, from: `${tomorrow}T09:00`, to: `${tomorrow}T12:00` });
  const [found, setFound] = useState(/** @type {Booking[] | null} */ (null));
  const [fate, setFate] = useState("");
  const [stayed, setStayed] = useState(/** @type {Became[] | null} */ (null));
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  // What was asked is about the time as it was then; and one question at a time.
  const asking = useRef({ turn: 0, busy: false, here: true });
  useEffect(() => () => void (asking.current.here = false), []);
  const set = (/** @type {Partial<typeof own>} */ some) => ((asking.current.turn += 1), setOwn((was) => ({ ...was, ...some })), setFound(null), setProblem(""));
  const body = () => {
    const at = (/** @type {string} */ local) => new Date(instant(local, zone.peek()) ?? NaN).toISOString();
    const time = own.whole ? { first_day: own.first, last_day: own.last } : { starts_at: at(own.from), ends_at: at(own.to) };
    return { ...whose.find((one) => one.value === own.whose)?.scope, kind: own.kind, reason: own.reason.trim() || null, ...time, ...(found && fate && { bookings: fate }) };
  };
  const submit = async () => {
    const now = asking.current;
    if (stayed) return onClose();
    if (now.busy) return;
    if (own.whole ? own.last < own.first : own.to <= own.from) return setProblem(t("schedule.block.order"));
    const mine = now.turn;
    now.busy = true;
    setBusy(true);
    setProblem("");
    try {
      const reply = await request("POST", "/blocks", { body: body(), patience: 60_000 });
      if (user.peek()) onDone();
      // Whoever has not waited may have opened another sheet.
      if (!now.here) return;
      const left = reply.bookings.filter((/** @type {Became} */ one) => one.problem);
      if (left.length === 0) return onClose();
      setStayed(left);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!now.here) return;
      if (error.code === "not-authenticated") user.value = null;
      if (mine !== now.turn) return;
      if (error.code === "block-has-bookings") setFound(error.body.bookings ?? []);
      else setProblem(error.message);
    } finally {
      now.busy = false;
      setBusy(false);
    }
  };
  if (stayed)
    return html`<${Sheet} key="stayed" title=${t("schedule.block.stayed", { n: stayed.length })} onClose=${onClose}>
      <p class="sheet-note">${t("schedule.block.stayed.text")}</p>
      <ul class="block-booked">${stayed.map((one) => html`<li key=${one.appointment_id}><bdi>${one.number}</bdi> <span>${new Problem(one.problem).message}</span></li>`)}</ul>
    <//>`;
  return html`
    <${Sheet} key="ask" title=${t("schedule.block")} action=${t("schedule.block.go")} danger=${fate === "cancel" && found !== null} busy=${busy} disabled=${found !== null && !fate} problem=${problem} onClose=${onClose} onSubmit=${submit}>
      ${whose.length > 1 && html`<${Choice} label=${t("schedule.block.whose")} value=${own.whose} options=${whose} onChange=${(/** @type {string} */ value) => set({ whose: value })} />`}
      <${Choice} label=${t("schedule.kind")} value=${own.kind} options=${KINDS.map((value) => ({ value, text: t(`schedule.kind.${value}`) }))} onChange=${(/** @type {string} */ kind) => set({ kind })} />
      <label class="check"><input type="checkbox" checked=${own.whole} onChange=${() => set({ whole: !own.whole })} /><span>${t("schedule.block.whole")}</span></label>
      ${own.whole
        ? html`<div class="pair"><${Field} label=${t("schedule.first_day")} type="date" min=${today} value=${own.first} onChange=${(/** @type {string} */ first) => set({ first, last: own.last < first ? first : own.last })} /><${Field} label=${t("schedule.last_day")} type="date" min=${own.first} value=${own.last} onChange=${(/** @type {string} */ last) => set({ last })} /></div>`
        : html`<div class="pair"><${Field} label=${t("schedule.starts")} type="datetime-local" value=${own.from} onChange=${(/** @type {string} */ from) => set({ from })} /><${Field} label=${t("schedule.ends")} type="datetime-local" value=${own.to} onChange=${(/** @type {string} */ to) => set({ to })} /></div>`}
      <label class="field"><span>${t("schedule.reason")}</span><input maxlength="500" value=${own.reason} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setOwn({ ...own, reason: event.currentTarget.value })} /></label>
      <div role="status">
        ${found && html`<div class="block-found" data-testid="block-found"><strong>${t("schedule.block.booked", { n: found.length })}</strong>
          <ul class="block-booked">${found.map((one) => html`<li key=${one.appointment_id}>${dayName(one.starts_at)} ${clockTime(Date.parse(one.starts_at))} <bdi>${one.patient ?? ""}</bdi> <span class="soft"><bdi>${[one.doctor_name, one.number].filter(Boolean).join(" · ")}</bdi></span></li>`)}</ul></div>`}
      </div>
      ${found && html`<fieldset class="radios"><legend>${t("schedule.block.fate")}</legend>${FATES.map((one) => html`<label key=${one} class="radio"><input type="radio" name="fate" required checked=${fate === one} onChange=${() => setFate(one)} /><span>${t(`schedule.fate.${one}`)}</span></label>`)}</fieldset>`}
    <//>
  `;
}
