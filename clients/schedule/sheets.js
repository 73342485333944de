// @ts-check
/**
 * Owns the sheets of the schedule page: a session's form, one slot, many slots, blocked time, an end.
 *
 * @import {Pause, Session} from "./week.js"
 * @import {Block as Blocked, Slot, Weekly} from "./work.js"
 */
import { useState } from "preact/hooks";

import { BlockSheet as Block } from "../shared/block.js";
import { Choice } from "../shared/fields.js";
import { clockTime, datePart, dayTitle, t, zone } from "../shared/i18n.js";
import { Sheet } from "../shared/sheet.js";
import { instant, plusDays } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { say, toast } from "../shared/word.js";
import { arranged, busy, closeAfter, closeSheet, draft, redraw, replace, spot, step, today, who } from "./work.js";

const MODES = ["both", "in_person", "online"];
const WEEKDAYS = [0, 1, 2, 3, 4, 5, 6];
const weekdayName = (/** @type {number} */ weekday) => datePart(Date.UTC(2024, 0, 1 + weekday), { weekday: "long", timeZone: "UTC" });
const problem = () => (toast.value?.kind === "problem" ? toast.value.text : "");

/** @param {{label: string, type: string, value: string | number, onChange: (text: string) => void, min?: number, max?: number}} props */
const Field = ({ label, type, value, onChange, min, max }) => html`<label class="field"><span>${label}</span><input type=${type} required value=${String(value)} min=${min} max=${max} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} /></label>`;

const modes = () => MODES.map((value) => ({ value, text: t(`schedule.mode.${value}`) }));
const places = () => (arranged.value?.locations ?? []).map((one) => ({ value: String(one.id), text: one.name }));

/** @param {{session: Session, nth: number}} props */
export function SessionSheet({ session, nth }) {
  const [own, setOwn] = useState(session);
  const set = (/** @type {Partial<Session>} */ some) => setOwn({ ...own, ...some });
  const pause = (/** @type {number} */ at, /** @type {Partial<Pause>} */ some) => set({ breaks: own.breaks.map((one, each) => (each === at ? { ...one, ...some } : one)) });
  const remove = () => (redraw({ week: (draft.peek()?.week ?? []).filter((_, at) => at !== nth) }), closeSheet());
  return html`
    <${Sheet} title=${t("schedule.session")} action=${t("schedule.take")} onClose=${closeSheet} onSubmit=${() => (replace(nth, own), closeSheet())}>
      <${Choice} label=${t("schedule.weekday")} value=${String(own.weekday)} options=${WEEKDAYS.map((one) => ({ value: String(one), text: weekdayName(one) }))} onChange=${(/** @type {string} */ text) => set({ weekday: Number(text) })} />
      <div class="pair"><${Field} label=${t("schedule.starts")} type="time" value=${own.starts.slice(0, 5)} onChange=${(/** @type {string} */ starts) => set({ starts })} /><${Field} label=${t("schedule.ends")} type="time" value=${own.ends.slice(0, 5)} onChange=${(/** @type {string} */ ends) => set({ ends })} /></div>
      <div class="pair"><${Field} label=${t("schedule.minutes")} type="number" min=${5} max=${720} value=${own.slot_minutes} onChange=${(/** @type {string} */ text) => set({ slot_minutes: Number(text) })} /><${Field} label=${t("schedule.buffer")} type="number" min=${0} max=${240} value=${own.buffer_minutes} onChange=${(/** @type {string} */ text) => set({ buffer_minutes: Number(text) })} /></div>
      <div class="pair"><${Field} label=${t("schedule.capacity")} type="number" min=${1} max=${100} value=${own.capacity} onChange=${(/** @type {string} */ text) => set({ capacity: Number(text) })} /><${Choice} label=${t("schedule.mode")} value=${own.mode} options=${modes()} onChange=${(/** @type {any} */ mode) => set({ mode })} /></div>
      ${own.breaks.map((one, at) => html`<div class="pair" key=${at}><${Field} label=${t("schedule.break.from")} type="time" value=${one.starts.slice(0, 5)} onChange=${(/** @type {string} */ starts) => pause(at, { starts })} /><${Field} label=${t("schedule.break.to")} type="time" value=${one.ends.slice(0, 5)} onChange=${(/** @type {string} */ ends) => pause(at, { ends })} />
        <button class="button quiet" type="button" onClick=${() => set({ breaks: own.breaks.filter((_, each) => each !== at) })}>${t("schedule.break.remove")}</button></div>`)}
      <button class="button" type="button" onClick=${() => set({ breaks: [...own.breaks, { starts: "12:00", ends: "12:30" }] })}>${t("schedule.break.add")}</button>
      <button class="button quiet" type="button" onClick=${remove}>${t("schedule.session.remove")}</button>
    <//>
  `;
}

/** @param {{slot: Slot}} props */
export function SlotSheet({ slot }) {
  const [own, setOwn] = useState({ open: slot.open, capacity: slot.capacity, mode: slot.mode });
  const submit = () => closeAfter(step(`/slots/${slot.id}`, own, "schedule.slot.saved"));
  const remove = () => closeAfter(step("/slots/remove", { slot_ids: [slot.id] }, "schedule.slot.removed"));
  return html`
    <${Sheet} title=${`${dayTitle(slot.starts_at)} ${clockTime(Date.parse(slot.starts_at))}–${clockTime(Date.parse(slot.ends_at))}`} action=${t("schedule.save")} busy=${busy.value} problem=${problem()} onClose=${closeSheet} onSubmit=${submit}>
      <p class="soft">${t("schedule.seats", { taken: slot.taken, capacity: slot.capacity })}</p>
      <label class="check"><input type="checkbox" checked=${own.open} onChange=${() => setOwn({ ...own, open: !own.open })} /><span>${t("schedule.slot.open")}</span></label>
      <div class="pair"><${Field} label=${t("schedule.capacity")} type="number" min=${1} max=${100} value=${own.capacity} onChange=${(/** @type {string} */ text) => setOwn({ ...own, capacity: Number(text) })} /><${Choice} label=${t("schedule.mode")} value=${own.mode} options=${modes()} onChange=${(/** @type {string} */ mode) => setOwn({ ...own, mode })} /></div>
      <button class="button quiet" type="button" disabled=${busy.value || slot.taken > 0} onClick=${remove}>${t("schedule.slot.remove")}</button>
    <//>
  `;
}

/** Many slots at once; one day with one slot's length is a single one. */
export function BulkSheet() {
  const [own, setOwn] = useState({ location_id: arranged.peek()?.locations[0]?.id ?? 0, first_day: plusDays(today.peek(), 1), last_day: plusDays(today.peek(), 1), weekdays: WEEKDAYS, starts: "09:00", ends: "12:00", slot_minutes: 15, between_minutes: 0, capacity: 1, mode: "both" });
  const set = (/** @type {Partial<typeof own>} */ some) => setOwn({ ...own, ...some });
  const submit = () => closeAfter(step(`/doctors/${who.peek()}/slots/bulk`, own, "schedule.bulk.done"));
  return html`
    <${Sheet} title=${t("schedule.bulk")} action=${t("schedule.bulk.go")} busy=${busy.value} disabled=${own.weekdays.length === 0} problem=${problem()} onClose=${closeSheet} onSubmit=${submit}>
      <${Choice} label=${t("schedule.location")} value=${String(own.location_id)} options=${places()} onChange=${(/** @type {string} */ text) => set({ location_id: Number(text) })} />
      <div class="pair"><${Field} label=${t("schedule.first_day")} type="date" value=${own.first_day} onChange=${(/** @type {string} */ first_day) => set({ first_day, last_day: own.last_day < first_day ? first_day : own.last_day })} /><${Field} label=${t("schedule.last_day")} type="date" value=${own.last_day} onChange=${(/** @type {string} */ last_day) => set({ last_day })} /></div>
      <fieldset class="weekdays"><legend>${t("schedule.weekdays")}</legend>${WEEKDAYS.map((one) => html`<label class="check" key=${one}><input type="checkbox" checked=${own.weekdays.includes(one)} onChange=${() => set({ weekdays: own.weekdays.includes(one) ? own.weekdays.filter((each) => each !== one) : [...own.weekdays, one] })} /><span>${weekdayName(one)}</span></label>`)}</fieldset>
      <div class="pair"><${Field} label=${t("schedule.starts")} type="time" value=${own.starts} onChange=${(/** @type {string} */ starts) => set({ starts })} /><${Field} label=${t("schedule.ends")} type="time" value=${own.ends} onChange=${(/** @type {string} */ ends) => set({ ends })} /></div>
      <div class="pair"><${Field} label=${t("schedule.minutes")} type="number" min=${5} max=${720} value=${own.slot_minutes} onChange=${(/** @type {string} */ text) => set({ slot_minutes: Number(text) })} /><${Field} label=${t("schedule.buffer")} type="number" min=${0} max=${240} value=${own.between_minutes} onChange=${(/** @type {string} */ text) => set({ between_minutes: Number(text) })} /></div>
      <div class="pair"><${Field} label=${t("schedule.capacity")} type="number" min=${1} max=${100} value=${own.capacity} onChange=${(/** @type {string} */ text) => set({ capacity: Number(text) })} /><${Choice} label=${t("schedule.mode")} value=${own.mode} options=${modes()} onChange=${(/** @type {string} */ mode) => set({ mode })} /></div>
    <//>
  `;
}

/** A blocked period of this doctor's. */
export const BlockSheet = () => html`<${Block} whose=${[{ value: "own", text: "", scope: { doctor_id: who.peek() } }]} today=${today.peek()} onClose=${closeSheet} onDone=${() => say({ text: t("schedule.block.done"), kind: "done" })} />`;

/** One slot more on a day. @param {{day: string}} props */
export function OneSheet({ day }) {
  const [own, setOwn] = useState({ location_id: arranged.peek()?.locations[0]?.id ?? 0, day, starts: "09:00", minutes: 15, capacity: 1, mode: "both" });
  const set = (/** @type {Partial<typeof own>} */ some) => setOwn({ ...own, ...some });
  const submit = async () => {
    const { day: on, starts, ...rest } = own;
    const at = instant(`${on}T${starts}`, spot(own.location_id)?.zone ?? zone.peek());
    if (at !== null) await closeAfter(step(`/doctors/${who.peek()}/slots`, { ...rest, starts_at: new Date(at).toISOString() }, "schedule.one.done"));
  };
  return html`
    <${Sheet} title=${t("schedule.one")} action=${t("schedule.bulk.go")} busy=${busy.value} problem=${problem()} onClose=${closeSheet} onSubmit=${submit}>
      <${Choice} label=${t("schedule.location")} value=${String(own.location_id)} options=${places()} onChange=${(/** @type {string} */ text) => set({ location_id: Number(text) })} />
      <div class="pair"><${Field} label=${t("schedule.day")} type="date" value=${own.day} onChange=${(/** @type {string} */ on) => set({ day: on })} /><${Field} label=${t("schedule.starts")} type="time" value=${own.starts} onChange=${(/** @type {string} */ starts) => set({ starts })} /><${Field} label=${t("schedule.minutes")} type="number" min=${5} max=${720} value=${own.minutes} onChange=${(/** @type {string} */ text) => set({ minutes: Number(text) })} /></div>
      <div class="pair"><${Field} label=${t("schedule.capacity")} type="number" min=${1} max=${100} value=${own.capacity} onChange=${(/** @type {string} */ text) => set({ capacity: Number(text) })} /><${Choice} label=${t("schedule.mode")} value=${own.mode} options=${modes()} onChange=${(/** @type {string} */ mode) => set({ mode })} /></div>
    <//>
  `;
}

/** @param {{block: Blocked}} props */
export const OverSheet = ({ block }) => html`<${Sheet} title=${t("schedule.unblock")} action=${t("schedule.unblock")} busy=${busy.value} problem=${problem()} onClose=${closeSheet} onSubmit=${() => closeAfter(step(`/blocks/${block.id}/end`, {}, "schedule.unblocked"))}><p class="sheet-note">${t("schedule.unblock.text")}</p><//>`;

/** @param {{weekly: Weekly}} props */
export function EndSheet({ weekly }) {
  const [last, setLast] = useState(today.peek());
  const submit = () => closeAfter(step(`/schedules/${weekly.id}/end`, { last_day: last }, "schedule.ended"));
  return html`<${Sheet} title=${t("schedule.end")} action=${t("schedule.end")} danger busy=${busy.value} problem=${problem()} onClose=${closeSheet} onSubmit=${submit}><p class="sheet-note">${t("schedule.end.text")}</p><${Field} label=${t("schedule.last_day")} type="date" value=${last} onChange=${setLast} /><//>`;
}
