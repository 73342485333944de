// @ts-check
/**
 * Owns the institution's patients in the back office: found as typed, registered, brought in.
 *
 * @import {FoundPatient} from "../shared/wire.js"
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, act, request } from "../shared/api.js";
import { fullDate, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Import } from "./imports.js";
import { Card, Pane, Sheet, Text, ask, close } from "./parts.js";
import { Patient } from "./patientrecord.js";
import { go, route } from "./route.js";
import { chosen, pending, retry } from "./work.js";

/** After so long without a further key, what is typed is looked for. */
const PAUSE_MS = 120;

export function Patients() {
  const { of, id } = route.value;
  return of === "patient" && id ? html`<${Patient} key=${id} id=${id} />` : html`<${Search} />`;
}

function Search() {
  const [q, setQ] = useState("");
  const [found, setFound] = useState(/** @type {FoundPatient[] | null} */ (null));
  useEffect(() => {
    // That nobody was found said so of another text.
    setFound((was) => (q.trim() && was?.length ? was : null));
    if (!q.trim()) return undefined;
    let current = true;
    const timer = setTimeout(async () => {
      try {
        const page = await request("POST", "/patients/search", { body: { q, limit: 30, institution_id: chosen.peek() } });
        if (current) setFound(page.items);
      } catch (error) {
        retry(error);
      }
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [q]);
  const add = html`<button class="button main" type="button" onClick=${() => ask(() => html`<${Register} />`)}>${t("admin.patients.new")}</button>`;
  return html`
    <${Pane} title=${t("admin.patients")} lead=${t("admin.patients.lead")} actions=${add}>
      <${Card} title=${t("admin.patients.find")}>
        <${Text} label=${t("admin.patients.search")} type="search" value=${q} required=${false} max=${200} onChange=${setQ} />
        <div role="status">${found?.length === 0 && html`<p class="list-empty">${t("admin.patients.nobody")}</p>`}</div>
        <ul class="entries">
          ${(found ?? []).map((one) => html`<${FoundEntry} key=${one.id} one=${one} />`)}
        </ul>
      <//>
      <${Import} kinds=${["patients"]} />
    <//>
  `;
}

/** A new patient; whoever may be the same person is shown first, and said once more that they are not. */
function Register() {
  const [name, setName] = useState("");
  const [phone, setPhone] = useState("");
  const [born, setBorn] = useState("");
  const [twins, setTwins] = useState(/** @type {FoundPatient[]} */ ([]));
  const submit = async () => {
    const body = { name: name.trim(), phone: phone.trim() || null, birth_date: born || null, institution_id: chosen.peek(), ...(twins.length > 0 && { confirm_new: true }) };
    if (pending.peek()) return false;
    pending.value = "patient";
    try {
      const reply = await act("/patients", body);
      say({ text: t("admin.done.doctor", { name: name.trim() }), kind: "done" });
      go(`#/patients/patient/${reply.patient.id}`);
      return true;
    } catch (error) {
      retry(error);
      const problem = /** @type {Problem} */ (error);
      if (problem.code === "possible-duplicate") setTwins(problem.body.candidates ?? []);
      else say({ text: problem.message, kind: "problem" });
      return false;
    } finally {
      pending.value = "";
    }
  };
  /** @param {(text: string) => void} set */
  const anew = (set) => (/** @type {string} */ text) => (set(text), setTwins([]));
  return html`
    <${Sheet} title=${t("admin.patients.new")} action=${t(twins.length > 0 ? "admin.patients.new.sure" : "admin.add")} onSubmit=${submit}>
      <${Text} label=${t("admin.name")} value=${name} max=${200} onChange=${anew(setName)} />
      <${Text} label=${t("admin.patients.phone")} type="tel" value=${phone} max=${40} required=${false} onChange=${anew(setPhone)} />
      <${Text} label=${t("admin.patients.born")} type="date" value=${born} required=${false} onChange=${anew(setBorn)} />
      <div role="status">${twins.length > 0 && html`<p class="sheet-note">${t("admin.patients.twins")}</p><ul class="entries">${twins.map((one) => html`<${FoundEntry} key=${one.id} one=${one} onClick=${close} />`)}</ul>`}</div>
    <//>
  `;
}

/** Somebody found, with what tells them from another. @param {{one: FoundPatient, onClick?: () => void, children?: any}} props */
export const FoundEntry = ({ one, onClick, children }) => html`<li class="entry is-link" data-testid="admin-patient"><div class="entry-main"><a class="entry-link" href=${`#/patients/patient/${one.id}`} onClick=${onClick}><bdi>${one.name}</bdi></a><bdi class="soft">${one.number}</bdi></div><div class="entry-main soft"><bdi dir="ltr">${one.phone ?? ""}</bdi><span>${one.birth_date ? fullDate(one.birth_date) : (one.birth_year ?? "")}</span></div><div class="entry-steps">${children}</div></li>`;
