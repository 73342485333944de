// @ts-check
/**
 * Owns two forms over the page: a patient's record corrected, and a queue opened, paused or closed with its message.
 *
 * @import {QueueState} from "../shared/wire.js"
 * @typedef {{id: number, name: string, number?: string | null, phone: string | null, birth_date: string | null, birth_year: number | null}} Record
 */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import { Problem, act } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";
import { fullDate, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { Sheet } from "../shared/sheet.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { birthIn } from "./birth.js";
import { columnOf } from "./desk.js";
import { PHONE, faultIn, patient } from "./registration.js";
import { nameOf } from "./steps.js";

export const correcting = signal(/** @type {Record | null} */ (null));
/** The queue whose state is asked. */
export const deciding = signal(/** @type {number | null} */ (null));

/**
 * Ask the server, and say what became of it; the sheet stays open with the reason where it is refused.
 * @param {(problem: string) => void} tell
 */
function useStep(tell) {
  const [busy, setBusy] = useState(false);
  /**
   * @param {string} path
   * @param {{[field: string]: any}} body
   * @param {(reply: any) => void} done
   */
  const send = async (path, body, done) => {
    setBusy(true);
    tell("");
    try {
      done(await act(path, body));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "not-authenticated") user.value = null;
      tell(faultIn(error)?.text ?? error.message);
    } finally {
      setBusy(false);
    }
  };
  return { busy, send };
}

/** @param {{record: Record}} props */
export function Correct({ record }) {
  const before = { name: record.name, phone: record.phone ?? "", birth: record.birth_date ?? String(record.birth_year ?? "") };
  const [now, setNow] = useState(before);
  const [problem, setProblem] = useState("");
  const { busy, send } = useStep(setProblem);
  // An answer that comes when another record is open leaves that one alone.
  const close = () => void (correcting.peek() === record && (correcting.value = null));
  const born = birthIn(now.birth, serverNow());
  const submit = () => {
    if (!now.name.trim()) return setProblem(t("reception.wrong.name"));
    if (now.phone.trim() && now.phone !== before.phone && !PHONE.test(now.phone.trim())) return setProblem(t("reception.wrong.phone"));
    if (born === null) return setProblem(t("reception.wrong.birth"));
    /** @type {{[field: string]: any}} */
    const body = {};
    if (now.name.trim() !== before.name) body.name = now.name.trim();
    if (now.phone.trim() !== before.phone) body.phone = now.phone.trim() || null;
    if (now.birth.trim() !== before.birth) Object.assign(body, { birth_year: null, birth_date: null }, born, born.birth_date && { birth_year: Number(born.birth_date.slice(0, 4)) });
    if (Object.keys(body).length === 0) return close();
    return send(`/patients/${record.id}`, body, (saved) => {
      if (patient.peek()?.id === saved.id) patient.value = saved;
      close();
      say({ text: t("reception.corrected", { name: saved.name }), kind: "done", undo: null });
    });
  };
  /** @param {"name" | "phone" | "birth"} name @param {string} [kind] @param {string} [note] */
  const field = (name, kind = "text", note = "") => html`
    <label class="field"><span>${t(`reception.${name}`)}</span>
      <input type=${kind} id=${`correct-${name}`} value=${now[name]} maxlength="200" autocomplete="off" autofocus=${name === "name"} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setNow({ ...now, [name]: event.currentTarget.value })} />
      ${note && html`<small class="soft">${note}</small>`}
    </label>`;
  return html`
    <${Sheet} beside title=${t("reception.correct")} action=${t("console.save")} busy=${busy} problem=${problem} onClose=${close} onSubmit=${submit}>
      ${record.number && html`<p class="soft"><bdi dir="ltr">${record.number}</bdi></p>`}
      ${field("name")} ${field("phone", "tel")} ${field("birth", "text", born?.birth_date && now.birth !== before.birth ? fullDate(born.birth_date) : "")}
    <//>
  `;
}

/** @param {{queue: number}} props */
export function Decide({ queue }) {
  const column = columnOf(queue);
  const [state, setState] = useState(/** @type {QueueState} */ (column?.queue?.state ?? "open"));
  const [message, setMessage] = useState(column?.queue?.message ?? "");
  const [problem, setProblem] = useState("");
  const { busy, send } = useStep(setProblem);
  const close = () => void (deciding.peek() === queue && (deciding.value = null));
  const submit = () =>
    send(`/queues/${queue}/state`, { state, message: state === "open" ? null : message.trim() || null }, () => {
      close();
      say({ text: `${nameOf(queue)}: ${t("done.state", { state: t(`value.${state}`) })}`, kind: "done", undo: null });
    });
  return html`
    <${Sheet} beside title=${`${t("console.pause.title")}: ${nameOf(queue)}`} action=${t("console.save")} busy=${busy} problem=${problem} onClose=${close} onSubmit=${submit}>
      <fieldset class="radios">
        <legend>${t("console.state")}</legend>
        ${/** @type {const} */ (["open", "paused", "closed"]).map((one) => html`<label key=${one} class="radio"><input type="radio" name="state" value=${one} checked=${state === one} autofocus=${state === one} onChange=${() => setState(one)} /><span>${t(`console.state.${one}`)}</span></label>`)}
      </fieldset>
      ${state !== "open" &&
      html`<label class="field"><span>${t("console.pause.message")}</span>
        <input type="text" value=${message} maxlength="200" autocomplete="off" placeholder=${t("console.pause.example")} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setMessage(event.currentTarget.value)} />
      </label>`}
    <//>
  `;
}
