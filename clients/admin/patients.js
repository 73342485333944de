// @ts-check
/**
 * Owns the institution's patients in the back office: found as typed, registered, corrected, brought in.
 *
 * @import {FoundPatient} from "../shared/wire.js"
 */
import { useEffect, useState } from "preact/hooks";

import { get, request } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Import } from "./imports.js";
import { Card, Choice, Pane, Sheet, Text, ask } from "./parts.js";
import { route } from "./route.js";
import { change, chosen, retry } from "./work.js";

const GENDERS = ["", "female", "male", "diverse", "unstated"];
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
    if (!q.trim()) return setFound(null);
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
          ${(found ?? []).map((one) => html`<li key=${one.id} class="entry is-link" data-testid="admin-patient"><div class="entry-main"><a class="entry-link" href=${`#/patients/patient/${one.id}`}>${one.name}</a><bdi class="soft">${one.number}</bdi></div><div class="entry-main soft"><bdi>${one.phone ?? ""}</bdi><bdi>${one.birth_date ?? one.birth_year ?? ""}</bdi></div></li>`)}
        </ul>
      <//>
      <${Import} kinds=${["patients"]} />
    <//>
  `;
}

function Register() {
  const [name, setName] = useState("");
  const [phone, setPhone] = useState("");
  const [born, setBorn] = useState("");
  const submit = async () => {
    const body = { name: name.trim(), phone: phone.trim() || null, birth_date: born || null, institution_id: chosen.peek() };
    return Boolean(await change("doctor", "/patients", body, { name: name.trim() }));
  };
  return html`
    <${Sheet} title=${t("admin.patients.new")} action=${t("admin.add")} onSubmit=${submit}>
      <${Text} label=${t("admin.name")} value=${name} max=${200} onChange=${setName} />
      <${Text} label=${t("admin.patients.phone")} type="tel" value=${phone} max=${40} required=${false} onChange=${setPhone} />
      <${Text} label=${t("admin.patients.born")} type="date" value=${born} required=${false} onChange=${setBorn} />
    <//>
  `;
}

/** @param {{id: number}} props */
function Patient({ id }) {
  const [record, setRecord] = useState(/** @type {Record<string, any> | null} */ (null));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    get(`/patients/${id}`).then((view) => current && setRecord(view.patient), (error) => (retry(error), current && setProblem(error.message)));
    return () => void (current = false);
  }, [id]);
  const back = { href: "#/patients", text: t("admin.patients") };
  if (!record) return html`<${Pane} title=${problem ? t("admin.gone") : t("link.connecting")} back=${back}><p class="soft">${problem}</p><//>`;
  return html`<${Pane} title=${record.name} lead=${record.number} back=${back}><${Record} key=${JSON.stringify(record)} record=${record} onSaved=${setRecord} /><//>`;
}

/** @param {{record: Record<string, any>, onSaved: (record: any) => void}} props */
function Record({ record, onSaved }) {
  const contact = record.emergency_contact ?? {};
  const cover = record.insurance ?? {};
  const [form, setForm] = useState(/** @type {Record<string, string>} */ ({
    name: record.name, phone: record.phone ?? "", birth_date: record.birth_date ?? "", gender: record.gender ?? "", email: record.email ?? "", address: record.address ?? "",
    language: record.language ?? "", requirements: record.requirements.join("; "), contact_name: contact.name ?? "", contact_phone: contact.phone ?? "", contact_relation: contact.relation ?? "",
    insurer: cover.insurer ?? "", policy: cover.policy ?? "",
  }));
  /** @param {string} name @param {string} label @param {Record<string, any>} [more] */
  const field = (name, label, more = {}) => html`<${Text} label=${t(label)} name=${name} value=${form[name] ?? ""} required=${name === "name"} onChange=${(/** @type {string} */ text) => setForm({ ...form, [name]: text })} ...${more} />`;
  /** @param {string} name */
  const said = (name) => (form[name] ?? "").trim() || null;
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    const body = {
      name: said("name"), phone: said("phone"), gender: said("gender"), email: said("email"), address: said("address"), language: said("language"),
      ...(said("birth_date") !== (record.birth_date ?? null) && { birth_date: said("birth_date"), ...(!said("birth_date") && { birth_year: null }) }),
      requirements: (form.requirements ?? "").split(";").map((one) => one.trim()).filter(Boolean),
      emergency_contact: said("contact_name") ? { name: said("contact_name"), phone: said("contact_phone"), relation: said("contact_relation") } : null,
      insurance: said("insurer") ? { insurer: said("insurer"), policy: said("policy"), verified: cover.verified ?? false } : null,
    };
    const saved = await change("settings", `/patients/${record.id}`, body);
    if (saved) onSaved(saved);
  };
  return html`
    <${Card} title=${t("admin.patients.record")}>
      <form class="form" onSubmit=${submit} data-testid="admin-patient-record">
        <div class="form-row">${field("name", "admin.name", { max: 200 })}${field("birth_date", "admin.patients.born", { type: "date" })}<${Choice} label=${t("admin.patients.gender")} value=${form.gender ?? ""} options=${GENDERS.map((one) => ({ value: one, text: one ? t(`admin.patients.gender.${one}`) : "–" }))} onChange=${(/** @type {string} */ gender) => setForm({ ...form, gender })} /></div>
        <div class="form-row">${field("phone", "admin.patients.phone", { type: "tel", max: 40 })}${field("email", "console.email", { type: "email", max: 254 })}${field("language", "admin.patients.language", { max: 12 })}</div>
        <div class="form-row">${field("address", "admin.patients.address", { max: 500 })}${field("requirements", "admin.patients.requirements", { max: 1000 })}</div>
        <div class="form-row">${field("contact_name", "admin.patients.contact", { max: 200 })}${field("contact_phone", "admin.patients.contact.phone", { type: "tel", max: 40 })}${field("contact_relation", "admin.patients.contact.relation")}</div>
        <div class="form-row">${field("insurer", "admin.patients.insurer")}${field("policy", "admin.patients.policy")}</div>
        <div class="form-foot"><button class="button main" type="submit">${t("console.save")}</button></div>
      </form>
    <//>
  `;
}
