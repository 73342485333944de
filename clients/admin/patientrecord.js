// @ts-check
/**
 * Owns one patient's record in the back office: everything that is known, their visits, and who may be the same person.
 *
 * @typedef {{ticket_id: number, queue: string, location: string, doctor: string | null, token: string, state: string, joined_at: string}} Visit
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, get } from "../shared/api.js";
import { has, stamp, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { Wishes } from "../shared/wishes.js";
import { Others } from "./patientmerge.js";
import { Card, Check, Choice, Pane, Text, useForm } from "./parts.js";
import { LANGUAGES, languageName } from "./places.js";
import { change, patientTurns, retry } from "./work.js";

const AGAIN_MS = 2_000;
const GENDERS = ["", "female", "male", "diverse", "unstated"];
const CHANNELS = ["email", "sms", "whatsapp", "voice", "push"];

/** @param {{id: number}} props */
export function Patient({ id }) {
  const [record, setRecord] = useState(/** @type {Record<string, any> | null} */ (null));
  const [visits, setVisits] = useState(/** @type {Visit[]} */ ([]));
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    const load = async () => {
      try {
        const view = await get(`/patients/${id}`);
        if (!current) return;
        setRecord(view.patient);
        setVisits([...view.active, ...view.visits]);
        setNext(view.next ?? "");
      } catch (error) {
        if (!current && error instanceof Problem) return;
        if (retry(error)) setTimeout(() => current && void load(), AGAIN_MS);
        else setProblem(/** @type {Problem} */ (error).message);
      }
    };
    void load();
    return () => void (current = false);
  }, [id, patientTurns.value.get(id)]);
  const shown = useRef(visits);
  shown.current = visits;
  const busy = useRef(false);
  const more = async () => {
    if (busy.current) return;
    busy.current = true;
    try {
      const view = await get(`/patients/${id}?cursor=${encodeURIComponent(next)}`);
      // Read anew meanwhile, they go on from another place.
      if (shown.current !== visits) return;
      setVisits([...visits, ...view.visits]);
      setNext(view.next ?? "");
    } catch (error) {
      retry(error);
    } finally {
      busy.current = false;
    }
  };
  const back = { href: "#/patients", text: t("admin.patients") };
  if (!record) return html`<${Pane} title=${problem ? t("admin.gone") : t("link.connecting")} back=${back}><p class="soft">${problem}</p><//>`;
  return html`
    <${Pane} title=${record.name} lead=${record.number} back=${back}>
      <${Record} record=${record} onSaved=${setRecord} />
      <${Others} record=${record} />
      <${Card} title=${t("admin.patients.wishes")} note=${t("admin.patients.wishes.text")}><${Wishes} path=${`/patients/${id}/preferences`} onGone=${() => (user.value = null)} /><//>
      <${Card} title=${t("admin.patients.visits")}>
        ${visits.length === 0 && html`<p class="list-empty">${t("admin.patients.visits.none")}</p>`}
        <ul class="entries">${visits.map((one) => html`<li key=${one.ticket_id} class="entry"><div class="entry-main"><time datetime=${one.joined_at}>${stamp(Date.parse(one.joined_at))}</time><code>${one.token}</code></div><div class="entry-main"><span dir="auto">${[one.queue, one.doctor].filter(Boolean).join(" · ")}</span><span class="soft" dir="auto">${one.location}</span></div><div class="entry-steps"><span class="badge">${has(`value.${one.state}`) ? t(`value.${one.state}`) : one.state}</span></div></li>`)}</ul>
        ${next && html`<div class="form-foot"><button class="button" type="button" onClick=${more}>${t("admin.patients.visits.more")}</button></div>`}
      <//>
    <//>
  `;
}

/** @param {{record: Record<string, any>, onSaved: (record: any) => void}} props */
function Record({ record, onSaved }) {
  const contact = record.emergency_contact ?? {};
  const cover = record.insurance ?? {};
  const { form, set, after } = useForm(/** @type {Record<string, any>} */ ({
    name: record.name, phone: record.phone ?? "", birth_date: record.birth_date ?? "", birth_year: String(record.birth_year ?? ""), gender: record.gender ?? "", email: record.email ?? "", address: record.address ?? "",
    language: record.language ?? "", requirements: record.requirements.join("; "), contact_name: contact.name ?? "", contact_phone: contact.phone ?? "", contact_relation: contact.relation ?? "",
    insurer: cover.insurer ?? "", policy: cover.policy ?? "", channels: record.channels, verified: cover.verified === true,
  }));
  const channels = /** @type {string[]} */ (form.channels);
  /** @param {string} name @param {string} label @param {Record<string, any>} [more] */
  const field = (name, label, more = {}) => html`<${Text} label=${t(label)} name=${name} value=${form[name] ?? ""} required=${name === "name"} onChange=${set(name)} ...${more} />`;
  /** @param {string} name */
  const said = (name) => (form[name] ?? "").trim() || null;
  const born = () => {
    const date = said("birth_date");
    if (date !== (record.birth_date ?? null)) return { birth_date: date, ...(!date && { birth_year: said("birth_year") && Number(said("birth_year")) }) };
    return !date && String(record.birth_year ?? "") !== (form.birth_year ?? "").trim() ? { birth_year: said("birth_year") && Number(said("birth_year")) } : {};
  };
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    const body = {
      name: said("name"), phone: said("phone"), gender: said("gender"), email: said("email"), address: said("address"), language: said("language"), ...born(), channels,
      requirements: (form.requirements ?? "").split(";").map((/** @type {string} */ one) => one.trim()).filter(Boolean),
      emergency_contact: said("contact_name") ? { name: said("contact_name"), phone: said("contact_phone"), relation: said("contact_relation") } : null,
      insurance: said("insurer") ? { insurer: said("insurer"), policy: said("policy"), verified: form.verified } : null,
    };
    const saved = change("settings", `/patients/${record.id}`, body);
    await after(saved.then((found) => (found && onSaved(found), found)));
  };
  /** @param {string} one @param {boolean} on */
  const channel = (one, on) => set("channels")(on ? [...channels, one] : channels.filter((/** @type {string} */ each) => each !== one));
  const tags = [...new Set([...LANGUAGES, ...(record.language ? [record.language] : [])])];
  return html`
    <${Card} title=${t("admin.patients.record")}>
      <form class="form" onSubmit=${submit} data-testid="admin-patient-record">
        <div class="form-row">${field("name", "admin.name", { max: 200 })}<${Choice} label=${t("admin.patients.gender")} value=${form.gender ?? ""} options=${GENDERS.map((one) => ({ value: one, text: one ? t(`admin.patients.gender.${one}`) : "–" }))} onChange=${set("gender")} /></div>
        <div class="form-row">${field("birth_date", "admin.patients.born", { type: "date" })}${!form.birth_date && field("birth_year", "admin.patients.year", { max: 4, pattern: "(1[89]|2[01])[0-9]{2}", note: t("admin.patients.year.text") })}</div>
        <div class="form-row">${field("phone", "admin.patients.phone", { type: "tel", max: 40 })}${field("email", "console.email", { type: "email", max: 254 })}</div>
        <div class="form-row"><${Choice} label=${t("admin.patients.language")} value=${form.language ?? ""} options=${[{ value: "", text: "–" }, ...tags.map((tag) => ({ value: tag, text: languageName(tag) }))]} onChange=${set("language")} />${field("address", "admin.patients.address", { max: 500 })}</div>
        <fieldset class="several"><legend>${t("admin.patients.channels")}</legend>
          ${CHANNELS.map((one) => html`<${Check} key=${one} label=${channels.includes(one) && channels.length > 1 ? t("admin.patients.channel.nth", { n: channels.indexOf(one) + 1, channel: t(`admin.patients.channel.${one}`) }) : t(`admin.patients.channel.${one}`)} checked=${channels.includes(one)} onChange=${(/** @type {boolean} */ on) => channel(one, on)} />`)}
          <small class="soft">${t("admin.patients.channels.text")}</small>
        </fieldset>
        ${field("requirements", "admin.patients.requirements", { max: 1000 })}
        <div class="form-row">${field("contact_name", "admin.patients.contact", { max: 200 })}${field("contact_phone", "admin.patients.contact.phone", { type: "tel", max: 40 })}${field("contact_relation", "admin.patients.contact.relation")}</div>
        <div class="form-row">${field("insurer", "admin.patients.insurer")}${field("policy", "admin.patients.policy")}</div>
        ${(form.insurer ?? "").trim() && html`<${Check} label=${t("bookings.insurance")} checked=${form.verified} onChange=${set("verified")} />`}
        <div class="form-foot"><button class="button main" type="submit">${t("console.save")}</button></div>
      </form>
    <//>
  `;
}
