// @ts-check
/**
 * Owns the sheets of one appointment: everything about it, the treating side's notes, and the steps that want a reason.
 *
 * @import {DoctorAppointment} from "../shared/events.js"
 * @typedef {"note" | "diagnosis" | "prescription"} Kind
 * @typedef {{kind: Kind, version: number, content: string, at: string}} Note
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { Problem, get } from "../shared/api.js";
import { Asked as Plain, Reason, ask } from "../shared/asked.js";
import { stamp, t } from "../shared/i18n.js";
import { Sheet } from "../shared/sheet.js";
import { html } from "../shared/ui.js";
import { Facts } from "../shared/visit.js";
import { appointment, deskFor, desksAt, isDoctor, locationName, pending, step, take, takeAt } from "./work.js";

/** @param {{title: string, action?: string, danger?: boolean, disabled?: boolean, children?: any, onSubmit?: () => Promise<boolean>}} props */
const Asked = (props) => html`<${Plain} ...${props} busy=${pending.value !== ""} beside />`;

/** @param {{one: DoctorAppointment}} props */
export function Reject({ one }) {
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${t("agenda.reject.title")} action=${t("agenda.step.reject")} danger onSubmit=${() => take("reject", one, reason.trim() ? { reason: reason.trim() } : {})}>
      <p class="sheet-note">${t("agenda.reject.text")}</p>
      <${Reason} value=${reason} onChange=${setReason} />
    <//>
  `;
}

/** @param {{one: DoctorAppointment}} props */
function Cancel({ one }) {
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${t("agenda.cancel.title")} action=${t("agenda.step.cancel")} danger onSubmit=${() => take("cancel", one, { reason: reason.trim() })}>
      <p class="sheet-note">${t("agenda.cancel.text")}</p>
      <${Reason} value=${reason} needed onChange=${setReason} />
    <//>
  `;
}

/** @param {{id: number}} props */
export function Detail({ id }) {
  const one = appointment(id);
  if (!one) return html`<${Asked} title=${t("agenda.gone")}><p>${t("agenda.gone.text")}</p><//>`;
  const busy = pending.value !== "";
  /** @param {string} name */
  const tap = (name) => html`<button class="button" type="button" disabled=${busy} data-step=${name} onClick=${() => take(name, one)}>${t(`agenda.step.${name}`)}</button>`;
  const open = ["confirmed", "checked_in", "in_progress"].includes(one.state);
  return html`
    <${Asked} title=${one.patient.name}>
      <${Facts} one=${one} place=${locationName(one.location)} symptoms=${one.symptoms} />
      ${open &&
      html`<div class="detail-steps">
        ${one.state === "confirmed" && tap("check-in")} ${one.state !== "in_progress" && tap("start")} ${tap("complete")}
        ${one.state !== "in_progress" && tap("no-show")}
        ${one.state !== "in_progress" && html`<button class="button" type="button" disabled=${busy} data-step="cancel" onClick=${() => ask(() => html`<${Cancel} one=${one} />`)}>${t("agenda.step.cancel")}</button>`}
      </div>`}
      ${one.undo && html`<button class="button quiet" type="button" disabled=${busy} onClick=${() => step("undo", `/appointments/${one.appointment}/undo`)}>${t("console.undo")}: ${t(`agenda.step.${one.undo}`)}</button>`}
      ${isDoctor.value && html`<${Notes} key=${id} id=${id} /><${History} key=${`history ${one.patient.id}`} patient=${one.patient.id} />`}
    <//>
  `;
}

/** @type {Kind[]} */
const KINDS = ["note", "diagnosis", "prescription"];

/** What the treating side wrote; every version is kept. @param {{id: number}} props */
function Notes({ id }) {
  const [turn, setTurn] = useState(0);
  const [answer] = useAnswer(() => get(`/appointments/${id}`), [id, turn]);
  if (answer === null) return html`<p class="soft">${t("link.connecting")}</p>`;
  const notes = /** @type {Note[]} */ (answer.notes ?? []);
  return html`<section class="notes" aria-label=${t("agenda.notes")}><h3>${t("agenda.notes")}</h3><p class="soft">${t("agenda.notes.who")}</p>${KINDS.map((kind) => html`<${Written} key=${kind} id=${id} kind=${kind} versions=${notes.filter((one) => one.kind === kind)} onSaved=${() => setTurn(turn + 1)} />`)}</section>`;
}

/** @param {{id: number, kind: Kind, versions: Note[], onSaved: () => void}} props */
function Written({ id, kind, versions, onSaved }) {
  const last = versions.reduce((a, b) => (a && a.version > b.version ? a : b), /** @type {Note | null} */ (null));
  const [text, setText] = useState(last?.content ?? "");
  const base = useRef(last?.content ?? "");
  useEffect(() => {
    const known = base.current;
    base.current = last?.content ?? "";
    // Whoever has typed on meanwhile keeps what they typed.
    setText((now) => (now === known ? base.current : now));
  }, [last?.version]);
  const changed = text.trim() !== (last?.content ?? "").trim() && text.trim() !== "";
  const save = async () => {
    // The version that this text goes on from: of two who write at once, the later one reads the other's first.
    const body = { kind, content: text.trim(), version: last?.version ?? 0 };
    const done = await step("notes", `/appointments/${id}/notes`, body, null, (problem) => (problem.code === "note-changed" && onSaved(), false));
    if (done) onSaved();
  };
  return html`
    <div class="written">
      <label class="field"><span>${t(`agenda.notes.${kind}`)}</span>
        <textarea rows="2" maxlength="20000" value=${text} dir="auto" onInput=${(/** @type {{currentTarget: HTMLTextAreaElement}} */ event) => setText(event.currentTarget.value)}></textarea>
      </label>
      ${versions.length > 1 && html`<details class="versions"><summary>${t("agenda.notes.before", { n: versions.length - 1 })}</summary><ol>${[...versions].sort((a, b) => b.version - a.version).slice(1).map((one) => html`<li key=${one.version}><small class="soft">${t("agenda.notes.version", { n: one.version, at: stamp(Date.parse(one.at)) })}</small><p dir="auto">${one.content}</p></li>`)}</ol></details>`}
      <div class="written-foot">${last && html`<small class="soft">${t("agenda.notes.version", { n: last.version, at: stamp(Date.parse(last.at)) })}</small>`}<button class="button" type="button" disabled=${!changed || pending.value !== ""} onClick=${save}>${t("console.save")}</button></div>
    </div>
  `;
}

/** A patient's medical history, asked for only when a doctor wants it: that it was read is on record. @param {{patient: number}} props */
function History({ patient }) {
  const [known, setKnown] = useState(/** @type {string | null} */ (null));
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const show = async () => {
    try {
      const found = await get(`/patients/${patient}/medical-notes`);
      setKnown(found.medical_notes ?? "");
      setText(found.medical_notes ?? "");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error.message);
    }
  };
  const save = async () => void ((await step("notes", `/patients/${patient}/medical-notes`, { medical_notes: text.trim() || null })) && setKnown(text.trim()));
  if (known === null) return html`<div class="notes"><button class="button" type="button" onClick=${show}>${t("agenda.history.show")}</button><div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div></div>`;
  return html`
    <section class="notes" aria-label=${t("agenda.history")}>
      <label class="field"><span>${t("agenda.history")}</span><textarea rows="4" maxlength="20000" dir="auto" value=${text} onInput=${(/** @type {{currentTarget: HTMLTextAreaElement}} */ event) => setText(event.currentTarget.value)}></textarea></label>
      <div class="written-foot"><small class="soft">${t("agenda.history.who")}</small><button class="button" type="button" disabled=${text.trim() === known || pending.value !== ""} onClick=${save}>${t("console.save")}</button></div>
    </section>
  `;
}

/** The question at which desk a step is taken; nothing while none waits for the answer. */
export const DeskSheet = () => (deskFor.value ? html`<${Desk} key=${deskFor.value.one.appointment} one=${deskFor.value.one} />` : null);

/** @param {{one: DoctorAppointment}} props */
function Desk({ one }) {
  const [desks, setDesks] = useState(/** @type {{id: number, name: string, queue: number}[] | null} */ (null));
  const [chosen, setChosen] = useState(0);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    desksAt(one.location).then(
      (found) => current && (setDesks(found), setChosen(found[0]?.id ?? 0)),
      (error) => {
        if (!(error instanceof Problem)) throw error;
        if (current) setProblem(error.message);
      },
    );
    return () => void (current = false);
  }, [one.location]);
  const desk = desks?.find((each) => each.id === chosen);
  return html`
    <${Sheet} title=${t("agenda.desk.title")} action=${t(`agenda.step.${deskFor.value?.name}`)} disabled=${!desk} busy=${pending.value !== ""} problem=${problem} beside onClose=${() => (deskFor.value = null)} onSubmit=${() => desk && takeAt(desk)}>
      <p class="sheet-note">${t("agenda.desk.text", { token: one.token ?? "" })}</p>
      ${desks?.length === 0 && html`<p>${t("agenda.desk.none")}</p>`}
      <fieldset class="radios"><legend>${t("console.desk.choose")}</legend>
        ${(desks ?? []).map((each) => html`<label key=${each.id} class="radio"><input type="radio" name="desk" checked=${each.id === chosen} onChange=${() => setChosen(each.id)} /><span dir="auto">${each.name}</span></label>`)}
      </fieldset>
    <//>
  `;
}
