// @ts-check
/**
 * Owns the institution, its locations with their desks, its doctors and its queues: made, changed, and closed for good.
 *
 * @import {AdminDoctor, AdminInstitution, AdminLocation, AdminQueue} from "../shared/events.js"
 */
import { useState } from "preact/hooks";

import { language, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { later } from "./later.js";
import { Card, Choice, Confirm, Pane, Several, Sheet, Text, ask, useForm } from "./parts.js";
import { go, route } from "./route.js";
import { Settings } from "./settings.js";
import { change, chosen, doctors, institution, locations, nameOf, queues, row } from "./work.js";

/** Languages offered for announcements: those of the pages first, then what hospitals ask for most. */
export const LANGUAGES = ["en", "ar", "hi", "bn", "de", "el", "es", "fa", "fr", "id", "it", "ja", "ko", "nl", "pa", "pl", "ps", "pt", "ro", "ru", "so", "sv", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "zh"];

/** @param {string} tag */
export const languageName = (tag) => new Intl.DisplayNames([language.value], { type: "language" }).of(tag) ?? tag;

const zones = () => (Intl.supportedValuesOf ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : ["UTC"]);

const LETTERS = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];

/** Every country that has a name, in the page's language. */
function regions() {
  const names = new Intl.DisplayNames([language.value], { type: "region", fallback: "none" });
  const found = LETTERS.flatMap((one) => LETTERS.map((other) => ({ value: one + other, text: names.of(one + other) ?? "" }))).filter((one) => one.text);
  return found.sort((a, b) => a.text.localeCompare(b.text, language.value));
}

/** Every currency, by its code and name. */
function currencies() {
  const names = new Intl.DisplayNames([language.value], { type: "currency" });
  return (Intl.supportedValuesOf ? Intl.supportedValuesOf("currency") : ["USD", "EUR", "GBP"]).map((value) => ({ value, text: `${value} · ${names.of(value)}` }));
}

export function Places() {
  const { of, id } = route.value;
  if (of === "location" && id) return html`<${Location} key=${id} location=${row(`location:${id}`)} />`;
  if (of === "queue" && id) return html`<${Queue} key=${id} queue=${row(`queue:${id}`)} />`;
  return html`<${Institution} institution=${institution.value} />`;
}

/** Whether somebody still looks at this one. @param {string} of @param {number} id */
const at = (of, id) => route.peek().of === of && route.peek().id === id;

/** What has gone, or never was. */
const Gone = () => html`<${Pane} title=${t("admin.gone")} back=${{ href: "#/places", text: t("admin.places") }}><p class="soft">${t("admin.gone.text")}</p><//>`;

// The institution

/** @param {{institution: AdminInstitution}} props */
function Institution({ institution: one }) {
  const [name, setName] = useState("");
  const add = () => change("location", "/locations", { name: name.trim(), institution_id: chosen.peek() }, { name: name.trim() });
  return html`
    <${Pane} title=${t("admin.places")} lead=${t("admin.places.lead")}>
      <${Card} title=${t("admin.locations")}>
        <ul class="entries">${locations.value.map((at) => html`<${Branch} key=${at.location} location=${at} />`)}</ul>
        <${Add} label=${t("admin.locations.new")} value=${name} onChange=${setName} onAdd=${add} />
      <//>
      <${Doctors} />
      <${About} institution=${one} />
      <${Card} title=${t("admin.set.title")} note=${t("admin.set.institution")}><${Settings} level="institution" id=${one.institution} above=${null} /><//>
      <${Forgetting} institution=${one.institution} />
    <//>
  `;
}

/** What is forgotten, which few look at. */
const Forgetting = later(() => import("./retention.js").then((made) => made.Forgetting));

/** @param {{location: AdminLocation}} props */
function Branch({ location: at }) {
  const names = queues.value.filter((queue) => queue.location === at.location).map((queue) => queue.name);
  return html`
    <li class="entry is-link">
      <a class="entry-link" href=${`#/places/location/${at.location}`}>${at.name}</a>
      <span class="soft">${names.join(", ") || t("admin.locations.noqueues")}</span>
      <span class="soft">${t("admin.desks.n", { n: at.desks.length })}</span>
    </li>
  `;
}

/** A name, and a button that adds it. @param {{label: string, value: string, max?: number, onChange: (text: string | ((was: string) => string)) => void, onAdd: () => Promise<any>}} props */
function Add({ label, value, max = 120, onChange, onAdd }) {
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    // The next one may have been begun meanwhile.
    if (await onAdd()) onChange((was) => (was === value ? "" : was));
  };
  return html`<form class="inline-form" onSubmit=${submit} data-dirty=${value ? "" : null}><${Text} label=${label} value=${value} max=${max} onChange=${onChange} /><button class="button" type="submit">${t("admin.add")}</button></form>`;
}

/** @param {{institution: AdminInstitution}} props */
function About({ institution: one }) {
  const { form, set, after } = useForm({ name: one.name, zone: one.zone, spoken: one.languages, country: one.country ?? "", currency: one.currency ?? "" });
  const { name, zone, spoken, country, currency } = form;
  const setSpoken = set("spoken");
  const dirty = name !== one.name || zone !== one.zone || String(spoken) !== String(one.languages) || country !== (one.country ?? "") || currency !== (one.currency ?? "");
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void after(change("institution", `/institutions/${one.institution}`, { name: name.trim(), zone, languages: spoken, country: country || null, ...(currency && { currency }) }));
  };
  /** @param {number} at */
  const earlier = (at) => setSpoken(spoken.map((tag, index) => spoken[index === at ? at - 1 : index === at - 1 ? at : index] ?? tag));
  const others = [{ value: "", text: "–" }, ...LANGUAGES.filter((tag) => !spoken.includes(tag)).map((tag) => ({ value: tag, text: languageName(tag) }))];
  /** @param {string} tag @param {number} at */
  const line = (tag, at) => {
    const name = languageName(tag);
    return html`<li key=${tag}>
      <span>${name}</span>
      <button class="button quiet" type="button" disabled=${at === 0} aria-label=${t("admin.languages.earlier", { name })} onClick=${() => earlier(at)}>↑</button>
      <button class="button quiet" type="button" disabled=${spoken.length === 1} aria-label=${t("admin.languages.remove", { name })} onClick=${() => setSpoken(spoken.filter((other) => other !== tag))}>×</button>
    </li>`;
  };
  return html`
    <${Card} title=${t("admin.institution.about")}>
      <form class="form" onSubmit=${submit} data-dirty=${dirty ? "" : null} data-testid="admin-institution">
        <div class="form-row">
          <${Text} label=${t("admin.name")} value=${name} onChange=${set("name")} />
          <${Zone} value=${zone} onChange=${set("zone")} />
        </div>
        <div class="form-row">
          <${Choice} label=${t("admin.institution.country")} value=${country} options=${[{ value: "", text: "–" }, ...regions()]} onChange=${set("country")} />
          <${Choice} label=${t("admin.institution.currency")} value=${currency} options=${currencies()} onChange=${set("currency")} />
        </div>
        <fieldset class="languages">
          <legend>${t("admin.languages")}</legend>
          <small class="soft">${t("admin.languages.text")}</small>
          <ol>${spoken.map(line)}</ol>
          ${spoken.length < 5 && html`<${Choice} label=${t("admin.languages.add")} value="" options=${others} onChange=${(/** @type {string} */ tag) => tag && setSpoken([...spoken, tag])} />`}
        </fieldset>
        <div class="form-foot"><button class="button main" type="submit" disabled=${!dirty}>${t("console.save")}</button></div>
      </form>
    <//>
  `;
}

/** A time zone; empty for the one above, where there is one. @param {{value: string, onChange: (zone: string) => void, above?: string}} props */
export function Zone({ value, onChange, above = "" }) {
  const known = zones();
  const options = (known.includes(value) || !value ? known : [value, ...known]).map((one) => ({ value: one, text: one.replaceAll("_", " ") }));
  return html`<${Choice} label=${t("admin.zone")} value=${value} options=${above ? [{ value: "", text: t("admin.zone.above", { zone: above.replaceAll("_", " ") }) }, ...options] : options} onChange=${onChange} />`;
}

function Doctors() {
  const [name, setName] = useState("");
  /** @param {AdminDoctor} one */
  const rename = (one) => ask(() => html`<${Named} title=${t("admin.doctors.rename")} name=${one.name} path=${`/doctors/${one.doctor}`} />`);
  return html`
    <${Card} title=${t("admin.doctors")} note=${t("admin.doctors.text")}>
      <ul class="chips">${doctors.value.map((one) => html`<li key=${one.doctor}><button class="button" type="button" aria-label=${t("admin.rename.name", { name: one.name })} onClick=${() => rename(one)}>${one.name}</button></li>`)}</ul>
      <${Add} label=${t("admin.doctors.new")} value=${name} onChange=${setName} onAdd=${() => change("doctor", "/doctors", { name: name.trim(), institution_id: chosen.peek() }, { name: name.trim() })} />
    <//>
  `;
}

/** @param {{title: string, name: string, path: string, max?: number, children?: any}} props */
function Named({ title, name: before, path, max = 120, children }) {
  const [name, setName] = useState(before);
  const submit = async () => Boolean(await change("rename", path, { name: name.trim() }, { name: name.trim() }));
  return html`<${Sheet} title=${title} action=${t("console.save")} onSubmit=${submit}><${Text} label=${t("admin.name")} value=${name} max=${max} onChange=${setName} />${children}<//>`;
}

// A location

/** @param {{location: AdminLocation | null}} props */
function Location({ location: one }) {
  const [desk, setDesk] = useState("");
  const [queue, setQueue] = useState("");
  if (!one) return html`<${Gone} />`;
  const above = institution.value;
  const here = queues.value.filter((queue) => queue.location === one.location);
  const edit = html`<button class="button" type="button" onClick=${() => ask(() => html`<${EditLocation} location=${one} />`)}>${t("admin.locations.edit")}</button>`;
  /** @param {{desk: number, name: string}} at */
  const editDesk = (at) => ask(() => html`<${EditDesk} desk=${at} />`);
  const retire = async () => {
    const done = Boolean(await change("retire", `/locations/${one.location}/retire`, {}, { name: one.name }));
    if (done && at("location", one.location)) go("/places");
    return done;
  };
  const sure = () => ask(() => html`<${Confirm} title=${t("admin.locations.retire.title", { name: one.name })} text=${t("admin.locations.retire.text")} action=${t("admin.locations.retire")} onSubmit=${retire} />`);
  const addQueue = () => change("queue", "/queues", { location_id: one.location, name: queue.trim() }, { name: queue.trim() });
  const addDesk = () => change("desk", "/desks", { location_id: one.location, name: desk.trim() }, { name: desk.trim() });
  return html`
    <${Pane} title=${one.name} back=${{ href: "#/places", text: t("admin.places") }} actions=${edit}>
      <div class="two">
        <${Card} title=${t("admin.queues")}>
          <ul class="entries">${here.map((queue) => html`<li key=${queue.queue} class="entry is-link"><a class="entry-link" href=${`#/places/queue/${queue.queue}`}>${queue.name}</a><span class="soft">${served(queue)}</span></li>`)}</ul>
          <${Add} label=${t("admin.queues.new")} value=${queue} max=${60} onChange=${setQueue} onAdd=${addQueue} />
        <//>
        <${Card} title=${t("admin.desks")}>
          <ul class="chips">${one.desks.map((at) => html`<li key=${at.desk}><button class="button" type="button" aria-label=${t("admin.rename.name", { name: at.name })} onClick=${() => editDesk(at)}>${at.name}</button></li>`)}</ul>
          <${Add} label=${t("admin.desks.new")} value=${desk} max=${60} onChange=${setDesk} onAdd=${addDesk} />
        <//>
      </div>
      <${Card} title=${t("admin.set.title")} note=${t("admin.set.location")}><${Settings} level="location" id=${one.location} above=${above ? { level: "institution", id: above.institution } : null} /><//>
      <${Card} title=${t("admin.locations.retire")} note=${t("admin.locations.retire.text")}>
        <div><button class="button danger" type="button" onClick=${sure}>${t("admin.locations.retire")}</button></div>
      <//>
    <//>
  `;
}

/** Who serves a queue. @param {AdminQueue} queue */
const served = (queue) => (queue.owner ? nameOf(`doctor:${queue.owner}`) : queue.doctors.map((id) => nameOf(`doctor:${id}`)).filter(Boolean).join(", ")) || t("admin.queues.nobody");

/** @param {{location: AdminLocation}} props */
function EditLocation({ location: one }) {
  const [name, setName] = useState(one.name);
  const [zone, setZone] = useState(one.zone ?? "");
  const [phone, setPhone] = useState(one.telephone ?? "");
  const submit = async () => Boolean(await change("rename", `/locations/${one.location}`, { name: name.trim(), zone: zone || null, telephone: phone.trim() || null }, { name: name.trim() }));
  return html`<${Sheet} title=${t("admin.locations.edit")} action=${t("console.save")} onSubmit=${submit}><${Text} label=${t("admin.name")} value=${name} onChange=${setName} /><${Zone} value=${zone} onChange=${setZone} above=${institution.value?.zone ?? "UTC"} /><${Text} label=${t("admin.phone")} value=${phone} type="tel" required=${false} max=${40} note=${t("admin.phone.text")} onChange=${setPhone} /><//>`;
}

/** @param {{desk: {desk: number, name: string}}} props */
function EditDesk({ desk }) {
  const retire = async () => Boolean(await change("retire", `/desks/${desk.desk}`, { retired: true }, { name: desk.name }));
  const sure = () => ask(() => html`<${Confirm} key="down" title=${t("admin.desks.retire.title", { name: desk.name })} text=${t("admin.desks.retire.text")} action=${t("admin.desks.retire")} onSubmit=${retire} />`);
  return html`
    <${Named} title=${t("admin.desks.edit")} name=${desk.name} path=${`/desks/${desk.desk}`} max=${60}>
      <button class="button" type="button" onClick=${sure}>${t("admin.desks.retire")}</button>
    <//>
  `;
}

// A queue

/** @param {{queue: AdminQueue | null}} props */
function Queue({ queue: one }) {
  if (!one) return html`<${Gone} />`;
  const retire = async () => {
    const done = Boolean(await change("retire", `/queues/${one.queue}/retire`, {}, { name: one.name }));
    if (done && at("queue", one.queue)) go(`/places/location/${one.location}`);
    return done;
  };
  const sure = () => ask(() => html`<${Confirm} title=${t("admin.queues.retire.title", { name: one.name })} text=${t("admin.queues.retire.text")} action=${t("admin.queues.retire")} onSubmit=${retire} />`);
  return html`
    <${Pane} title=${one.name} lead=${served(one)} back=${{ href: `#/places/location/${one.location}`, text: nameOf(`location:${one.location}`) ?? t("admin.location") }}>
      <${Serving} queue=${one} />
      <${Card} title=${t("admin.set.title")} note=${t("admin.set.queue")}><${Settings} level="queue" id=${one.queue} above=${{ level: "location", id: one.location }} /><//>
      <${Card} title=${t("admin.queues.retire")} note=${t("admin.queues.retire.text")}>
        <div><button class="button danger" type="button" onClick=${sure}>${t("admin.queues.retire")}</button></div>
      <//>
    <//>
  `;
}

/** @param {{queue: AdminQueue}} props */
function Serving({ queue: one }) {
  const { form, set, after } = useForm({ name: one.name, owner: String(one.owner ?? ""), serving: one.doctors, department: one.department ?? "" });
  const { name, owner, serving, department } = form;
  const dirty = name !== one.name || department !== (one.department ?? "") || owner !== String(one.owner ?? "") || String([...serving].sort()) !== String([...one.doctors].sort());
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const doctors = owner ? [...new Set([...serving, Number(owner)])] : serving;
    void after(change("rename", `/queues/${one.queue}`, { name: name.trim(), department: department.trim() || null, owner: owner ? Number(owner) : null, doctors }, { name: name.trim() }));
  };
  const named = doctors.value.map((/** @type {AdminDoctor} */ doctor) => ({ id: doctor.doctor, name: doctor.name }));
  return html`
    <${Card} title=${t("admin.queues.about")}>
      <form class="form" onSubmit=${submit} data-dirty=${dirty ? "" : null}>
        <div class="form-row">
          <${Text} label=${t("admin.name")} value=${name} max=${60} onChange=${set("name")} />
          <${Choice} label=${t("admin.queues.owner")} value=${owner} options=${[{ value: "", text: t("admin.queues.pool") }, ...named.map((each) => ({ value: String(each.id), text: each.name }))]} onChange=${set("owner")} />
          <${Text} label=${t("admin.queues.department")} value=${department} max=${60} required=${false} onChange=${set("department")} />
        </div>
        <${Several} legend=${t("admin.queues.doctors")} options=${named} value=${serving} onChange=${set("serving")} none=${t("admin.queues.nobody")} />
        <div class="form-foot"><button class="button main" type="submit" disabled=${!dirty}>${t("console.save")}</button></div>
      </form>
    <//>
  `;
}
