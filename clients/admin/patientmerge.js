// @ts-check
/**
 * Owns making one of two records: who may be the same person, both side by side, which one stays, and what it then says.
 *
 * Invariant: nothing is merged that was not looked at side by side; it cannot be taken back.
 *
 * @import {FoundPatient} from "../shared/wire.js"
 * @typedef {Record<string, any>} Kept
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, act, get, request } from "../shared/api.js";
import { fullDate, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Card, Sheet, Text, ask } from "./parts.js";
import { go } from "./route.js";
import { chosen, pending, retry } from "./work.js";

/** The fields of a record that are compared, with the texts that name them. */
const FIELDS = [["name", "admin.name"], ["number", "agenda.number"], ["phone", "admin.patients.phone"], ["birth", "admin.patients.born"], ["gender", "admin.patients.gender"], ["email", "console.email"], ["address", "admin.patients.address"], ["language", "admin.patients.language"], ["contact", "admin.patients.contact"], ["insurance", "admin.patients.insurer"], ["requirements", "agenda.needs"]];

/** Who may be the same person as this one. @param {{record: Kept}} props */
export function Others({ record }) {
  const [found, setFound] = useState(/** @type {FoundPatient[] | null} */ (null));
  const [q, setQ] = useState("");
  const [typed, setTyped] = useState(/** @type {FoundPatient[]} */ ([]));
  useEffect(() => {
    let current = true;
    get(`/patients/${record.id}/duplicates`).then((page) => current && setFound(page.items), retry);
    return () => void (current = false);
  }, [record.id]);
  useEffect(() => {
    if (!q.trim()) return setTyped([]);
    let current = true;
    const timer = setTimeout(() => request("POST", "/patients/search", { body: { q, limit: 5, institution_id: chosen.peek() } }).then((page) => current && setTyped(page.items), retry), 120);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [q]);
  const likely = new Set((found ?? []).map((one) => one.id));
  const list = [...(found ?? []), ...typed.filter((one) => !likely.has(one.id) && one.id !== record.id)];
  return html`
    <${Card} title=${t("admin.merge")} note=${t("admin.merge.text")}>
      <ul class="entries">
        ${list.map((one) => html`<li key=${one.id} class="entry is-link" data-testid="admin-duplicate"><div class="entry-main"><strong><bdi>${one.name}</bdi></strong><bdi class="soft">${one.number}</bdi></div><div class="entry-main soft"><bdi dir="ltr">${one.phone ?? ""}</bdi><span>${one.birth_date ? fullDate(one.birth_date) : (one.birth_year ?? "")}</span></div><div class="entry-steps"><button class="button" type="button" onClick=${() => ask(() => html`<${Compare} record=${record} id=${one.id} />`)}>${t("admin.merge.compare")}</button></div></li>`)}
      </ul>
      ${found?.length === 0 && html`<p class="list-empty">${t("admin.merge.none")}</p>`}
      <${Text} label=${t("admin.merge.other")} type="search" value=${q} required=${false} max=${200} onChange=${setQ} />
    <//>
  `;
}

/** A field of a record in words. @param {Kept} one @param {string} name @returns {string} */
function words(one, name) {
  if (name === "birth") return one.birth_date ? fullDate(one.birth_date) : String(one.birth_year ?? "");
  if (name === "gender") return one.gender ? t(`admin.patients.gender.${one.gender}`) : "";
  if (name === "contact") return [one.emergency_contact?.name, one.emergency_contact?.phone].filter(Boolean).join(" · ");
  if (name === "insurance") return [one.insurance?.insurer, one.insurance?.policy].filter(Boolean).join(" · ");
  if (name === "requirements") return one.requirements.join("; ");
  return String(one[name] ?? "");
}

/** What the record that stays will say: its own, and of the other's what it does not say. @param {Kept} stays @param {Kept} goes @param {string} name */
function after(stays, goes, name) {
  if (name === "requirements") return [...new Set([...stays.requirements, ...goes.requirements])].join("; ");
  if (name === "birth" && stays.birth_year && goes.birth_year !== stays.birth_year) return words(stays, name);
  if (name === "birth") return words(stays.birth_date ? stays : goes.birth_date ? goes : stays.birth_year ? stays : goes, name);
  return words(stays, name) || words(goes, name);
}

/** @param {{record: Kept, id: number}} props */
function Compare({ record, id }) {
  const [other, setOther] = useState(/** @type {Kept | null} */ (null));
  const [stays, setStays] = useState(record.id);
  const [collisions, setCollisions] = useState(/** @type {Record<string, any>[]} */ ([]));
  useEffect(() => {
    get(`/patients/${id}`).then((view) => setOther(view.patient), (error) => (retry(error), say({ text: error.message, kind: "problem" })));
  }, [id]);
  if (!other) return html`<${Sheet} title=${t("admin.merge.title")}><p class="soft">${t("link.connecting")}</p><//>`;
  const [kept, gone] = stays === record.id ? [record, other] : [other, record];
  const submit = async () => {
    if (pending.peek()) return false;
    pending.value = "merge";
    try {
      const reply = await act(`/patients/${gone.id}/merge`, { into: kept.id });
      say({ text: t("admin.merge.done", { tickets: reply.tickets, appointments: reply.appointments }), kind: "done" });
      go(`#/patients/patient/${kept.id}?of=${gone.id}`);
      return true;
    } catch (error) {
      retry(error);
      const problem = /** @type {Problem} */ (error);
      setCollisions(problem.body.collisions ?? []);
      say({ text: problem.message, kind: "problem" });
      return false;
    } finally {
      pending.value = "";
    }
  };
  return html`
    <${Sheet} title=${t("admin.merge.title")} action=${t("admin.merge.go")} danger onSubmit=${submit}>
      <p class="sheet-note">${t("admin.merge.sure")}</p>
      <fieldset class="radios"><legend>${t("admin.merge.stays")}</legend>
        ${[record, other].map((one) => html`<label key=${one.id} class="radio"><input type="radio" name="stays" checked=${stays === one.id} onChange=${() => setStays(one.id)} /><span><bdi>${one.name}</bdi> <small class="soft"><bdi>${one.number}</bdi></small></span></label>`)}
      </fieldset>
      <div class="merge-frame" role="region" tabindex="0" aria-label=${t("admin.merge.title")}>
        <table class="merge"><thead><tr><th scope="col"><span class="aside">${t("admin.merge.field")}</span></th><th scope="col">${t("admin.merge.before")}</th><th scope="col">${t("admin.merge.goes")}</th><th scope="col">${t("admin.merge.after")}</th></tr></thead>
          <tbody>${FIELDS.filter(([name = ""]) => words(kept, name) || words(gone, name)).map(([name = "", text = ""]) => html`<tr key=${name}><th scope="row">${t(text)}</th><td dir="auto">${words(kept, name) || "–"}</td><td dir="auto">${words(gone, name) || "–"}</td><td dir="auto" class=${after(kept, gone, name) === words(kept, name) ? "" : "is-filled"}>${after(kept, gone, name)}</td></tr>`)}</tbody>
        </table>
      </div>
      ${collisions.length > 0 && html`<ul class="block-booked">${collisions.map((one, nth) => html`<li key=${nth}><bdi>${[one.number, one.other, one.token, one.queue].filter(Boolean).join(" · ")}</bdi></li>`)}</ul>`}
    <//>
  `;
}
