// @ts-check
/**
 * Owns what the institution offers: specialties, visit types, and its doctors with everything that patients choose by.
 *
 * @import {AdminDoctor, AdminSpecialty, AdminVisitType} from "../shared/events.js"
 */
import { useRef, useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { Problem, get, request } from "../shared/api.js";
import { number, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Closures } from "./closures.js";
import { Import } from "./imports.js";
import { Card, Check, Choice, Confirm, Pane, Several, Sheet, Text, ask, useForm } from "./parts.js";
import { route } from "./route.js";
import { change, chosen, doctors, institution, locations, named, pending, retry, row, settingsTurn } from "./work.js";

const MODES = ["both", "in_person", "online"];

const specialties = () => /** @type {AdminSpecialty[]} */ (named("specialty"));
const visitTypes = () => /** @type {AdminVisitType[]} */ (named("visit-type"));

export function Catalogue() {
  const { of, id } = route.value;
  if (of === "doctor" && id) return html`<${Doctor} key=${id} doctor=${row(`doctor:${id}`)} />`;
  const add = html`<button class="button main" type="button" onClick=${() => ask(() => html`<${NewDoctor} />`)}>${t("admin.doctors.new")}</button>`;
  return html`
    <${Pane} title=${t("admin.catalogue")} lead=${t("admin.catalogue.lead")} actions=${add}>
      <${Doctors} />
      <div class="two"><${Specialties} /><${VisitTypes} /></div>
      <${Card} title=${t("admin.booking")} note=${t("admin.booking.institution")}><${Booking} path=${`/institutions/${chosen.value}/booking`} /><//>
      <${Closures} />
      <${Import} kinds=${["doctors", "specialties", "visit-types"]} />
    <//>
  `;
}

/** @param {number | null | undefined} id */
const specialtyName = (id) => specialties().find((one) => one.specialty === id)?.name ?? "";

/** More than fit at a glance are found as one types. */
const FEW = 5;

function Doctors() {
  const [q, setQ] = useState("");
  const many = doctors.value.length > FEW;
  const shown = doctors.value.filter((one) => meant(one, q));
  return html`
    <${Card} title=${t("admin.doctors")}>
      ${many && html`<${Text} label=${t("bookings.find")} type="search" value=${q} required=${false} max=${120} onChange=${setQ} />`}
      <ul class="entries">${shown.map((one) => html`<${DoctorEntry} key=${one.doctor} doctor=${one} />`)}</ul>
    <//>
  `;
}

/** Whether what is typed stands in a doctor's name, specialty or licence. @param {AdminDoctor} one @param {string} q */
const meant = (one, q) => q.toLocaleLowerCase().split(/\s+/).every((word) => `${one.name} ${specialtyName(one.specialty)} ${one.licence ?? ""}`.toLocaleLowerCase().includes(word));

/** @param {string | null | undefined} amount */
const money = (amount) => (amount ? `${number(Number(amount))} ${institution.value?.currency ?? ""}` : "");

/** @param {{doctor: AdminDoctor}} props */
const DoctorEntry = ({ doctor: one }) => html`
  <li class="entry is-link" data-testid="admin-doctor">
    <div class="entry-main"><a class="entry-link" href=${`#/catalogue/doctor/${one.doctor}`}>${one.name}</a><span class="soft">${specialtyName(one.specialty) || t("admin.specialty.none")}</span></div>
    <div class="entry-main"><span class="soft">${money(one.fee)}</span></div>
    <div class="entry-steps">${one.active === false && html`<span class="badge is-inactive">${t("admin.doctor.inactive")}</span>`}</div>
  </li>
`;

function NewDoctor() {
  const [name, setName] = useState("");
  const submit = async () => Boolean(await change("doctor", "/doctors", { name: name.trim(), institution_id: chosen.peek() }, { name: name.trim() }));
  return html`<${Sheet} title=${t("admin.doctors.new")} action=${t("admin.add")} onSubmit=${submit}><${Text} label=${t("admin.name")} value=${name} onChange=${setName} /><//>`;
}

// Specialties and visit types

function Specialties() {
  /** @param {AdminSpecialty | null} one */
  const open = (one) => ask(() => html`<${EditSpecialty} specialty=${one} />`);
  const add = html`<button class="button" type="button" onClick=${() => open(null)}>${t("admin.add")}</button>`;
  return html`
    <${Card} title=${t("admin.specialties")} actions=${add}>
      <ul class="chips">${specialties().map((one) => html`<li key=${one.specialty}><button class="button" type="button" aria-label=${t("admin.rename.name", { name: one.name })} onClick=${() => open(one)}>${one.name}</button></li>`)}</ul>
    <//>
  `;
}

/** @param {{specialty: AdminSpecialty | null}} props */
function EditSpecialty({ specialty: one }) {
  const [name, setName] = useState(one?.name ?? "");
  const values = { name: name.trim() };
  const submit = async () => Boolean(await change("settings", one ? `/specialties/${one.specialty}` : "/specialties", { ...values, ...(!one && { institution_id: chosen.peek() }) }, values));
  return html`
    <${Sheet} title=${t("admin.specialty")} action=${t("console.save")} onSubmit=${submit}>
      <${Text} label=${t("admin.name")} value=${name} max=${60} onChange=${setName} />
      ${one && html`<${Retire} path=${`/specialties/${one.specialty}/retire`} name=${one.name} />`}
    <//>
  `;
}

/** @param {{path: string, name: string}} props */
function Retire({ path, name }) {
  const retire = async () => Boolean(await change("retire", path, {}, { name }));
  const sure = () => ask(() => html`<${Confirm} key="retire" title=${t("admin.retire.title", { name })} text=${t("admin.retire.text")} action=${t("admin.retire")} onSubmit=${retire} />`);
  return html`<button class="button" type="button" onClick=${sure}>${t("admin.retire")}</button>`;
}

function VisitTypes() {
  /** @param {AdminVisitType | null} one */
  const open = (one) => ask(() => html`<${EditVisitType} type=${one} />`);
  const add = html`<button class="button" type="button" onClick=${() => open(null)}>${t("admin.add")}</button>`;
  return html`
    <${Card} title=${t("admin.visit-types")} actions=${add}>
      <ul class="chips">${visitTypes().map((one) => html`<li key=${one.visit_type}><button class="button" type="button" aria-label=${t("admin.rename.name", { name: one.name })} onClick=${() => open(one)}>${one.name} · ${t("time.minutes", { n: one.minutes })}</button></li>`)}</ul>
    <//>
  `;
}

/** @param {{type: AdminVisitType | null}} props */
function EditVisitType({ type: one }) {
  const [name, setName] = useState(one?.name ?? "");
  const [minutes, setMinutes] = useState(String(one?.minutes ?? 30));
  const [fee, setFee] = useState(one?.fee ?? "");
  const [colour, setColour] = useState(one?.colour ?? "#3d6fd1");
  const [mode, setMode] = useState(/** @type {string} */ (one?.mode ?? "both"));
  const body = { name: name.trim(), minutes: Number(minutes), fee: fee.trim() || null, colour, mode };
  const submit = async () => Boolean(await change("settings", one ? `/visit-types/${one.visit_type}` : "/visit-types", { ...body, ...(!one && { institution_id: chosen.peek() }) }, { name: body.name }));
  return html`
    <${Sheet} title=${t("admin.visit-type")} action=${t("console.save")} onSubmit=${submit}>
      <${Text} label=${t("admin.name")} value=${name} max=${60} onChange=${setName} />
      <${Text} label=${t("admin.minutes")} type="number" value=${minutes} onChange=${setMinutes} />
      <${Text} label=${t("admin.fee")} value=${fee} required=${false} pattern="[0-9]{1,8}([.][0-9]{1,2})?" note=${t("admin.fee.doctor")} onChange=${setFee} />
      <${Text} label=${t("admin.colour")} type="color" value=${colour} onChange=${setColour} />
      <${Choice} label=${t("admin.mode")} value=${mode} options=${MODES.map((each) => ({ value: each, text: t(`admin.mode.${each}`) }))} onChange=${setMode} />
      ${one && html`<${Retire} path=${`/visit-types/${one.visit_type}/retire`} name=${one.name} />`}
    <//>
  `;
}

// One doctor

/** @param {{doctor: AdminDoctor | null}} props */
function Doctor({ doctor: one }) {
  const back = { href: "#/catalogue", text: t("admin.catalogue") };
  if (!one) return html`<${Pane} title=${t("admin.gone")} back=${back}><p class="soft">${t("admin.gone.text")}</p><//>`;
  return html`
    <${Pane} title=${one.name} lead=${specialtyName(one.specialty)} back=${back}>
      <${Photo} doctor=${one} />
      <${About} doctor=${one} />
      <${Card} title=${t("admin.booking")} note=${t("admin.booking.doctor")}><${Booking} path=${`/doctors/${one.doctor}/booking`} /><//>
    <//>
  `;
}

/** The picture, no larger than it is shown. @param {File} file @returns {Promise<string>} in base64 */
async function shrunk(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, 512 / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.85).split(",")[1] ?? "";
}

/** @param {{doctor: AdminDoctor}} props */
function Photo({ doctor: one }) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const upload = async (event) => {
    const file = event.currentTarget.files?.[0];
    event.currentTarget.value = "";
    if (!file) return;
    try {
      await change("settings", `/doctors/${one.doctor}/photo`, { content: await shrunk(file) });
    } catch {
      say({ text: t("admin.photo.unreadable"), kind: "problem" });
    }
  };
  const remove = async () => {
    if (pending.peek()) return;
    pending.value = "photo";
    try {
      await request("DELETE", `/doctors/${one.doctor}/photo`);
    } catch (error) {
      retry(error);
      if (user.peek()) say({ text: /** @type {Problem} */ (error).message, kind: "problem" });
    } finally {
      pending.value = "";
    }
  };
  return html`
    <${Card} title=${t("admin.photo")}>
      <div class="photo">
        ${one.photo ? html`<img src=${one.photo} alt=${t("admin.photo.of", { name: one.name })} width="96" height="96" />` : html`<p class="soft">${t("admin.photo.none")}</p>`}
        <label class="field"><span>${t("admin.photo.choose")}</span><input type="file" accept="image/png,image/jpeg,image/webp" onChange=${upload} /></label>
        ${one.photo && html`<button class="button" type="button" onClick=${remove}>${t("admin.photo.remove")}</button>`}
      </div>
    <//>
  `;
}

/** @param {{doctor: AdminDoctor}} props */
function About({ doctor: one }) {
  const { form, set, after } = useForm({
    name: one.name, specialty: String(one.specialty ?? ""), licence: one.licence ?? "", fee: one.fee ?? "", languages: (one.languages ?? []).join(", "),
    active: one.active !== false, at: one.locations ?? [], types: one.visit_types ?? [],
  });
  const { name, specialty, licence, fee, languages, active, at, types } = form;
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const spoken = languages.split(/[,;\s]+/).filter(Boolean);
    const body = { name: name.trim(), specialty_id: specialty ? Number(specialty) : null, licence: licence.trim() || null, fee: fee.trim() || null, languages: spoken, active, location_ids: at, visit_type_ids: types };
    void after(change("settings", `/doctors/${one.doctor}`, body, { name: name.trim() }));
  };
  const chosenFrom = [{ value: "", text: t("admin.specialty.none") }, ...specialties().map((each) => ({ value: String(each.specialty), text: each.name }))];
  return html`
    <${Card} title=${t("admin.doctor.about")}>
      <form class="form" onSubmit=${submit}>
        <div class="form-row">
          <${Text} label=${t("admin.name")} name="name" value=${name} max=${200} onChange=${set("name")} />
          <${Choice} label=${t("admin.specialty")} value=${specialty} options=${chosenFrom} onChange=${set("specialty")} />
          <${Text} label=${t("admin.licence")} name="licence" value=${licence} max=${60} required=${false} onChange=${set("licence")} />
        </div>
        <div class="form-row">
          <${Text} label=${t("admin.fee")} name="fee" value=${fee} required=${false} pattern="[0-9]{1,8}([.][0-9]{1,2})?" note=${institution.value?.currency ?? ""} onChange=${set("fee")} />
          <${Text} label=${t("admin.doctor.languages")} value=${languages} required=${false} note=${t("admin.doctor.languages.text")} onChange=${set("languages")} />
        </div>
        <${Several} legend=${t("admin.locations")} options=${locations.value.map((each) => ({ id: each.location, name: each.name }))} value=${at} onChange=${set("at")} />
        <${Several} legend=${t("admin.visit-types")} options=${visitTypes().map((each) => ({ id: each.visit_type, name: each.name }))} value=${types} onChange=${set("types")} none=${t("admin.visit-types.all")} />
        <${Check} label=${t("admin.doctor.active")} checked=${active} onChange=${set("active")} />
        <div class="form-foot"><button class="button main" type="submit">${t("console.save")}</button></div>
      </form>
    <//>
  `;
}

// Booking

/** @param {{path: string}} props */
function Booking({ path }) {
  const [turn, setTurn] = useState(0);
  const [answer] = useAnswer(() => /** @type {Promise<{own: Record<string, any>, effective: Record<string, any>}>} */ (get(path)), [path, turn, settingsTurn.value], retry);
  const [undone, setUndone] = useState(0);
  // One after the other: while one is sent the next may be pressed.
  const last = useRef(/** @type {Promise<unknown>} */ (Promise.resolve()));
  /** @param {string} name @param {any} value */
  const set = (name, value) => {
    last.current = last.current.then(async () => {
      const done = await change("settings", path, { [name]: value });
      if (done) setTurn((now) => now + 1);
      // What was pressed and not taken shows again as it is.
      else setUndone((now) => now + 1);
    });
  };
  return html`<div class="booking">${Object.entries(answer?.effective ?? {}).map(([name, value]) => html`<${Setting} key=${`${name}${value}/${undone}`} name=${name} value=${value} own=${name in (answer?.own ?? {})} onSet=${set} />`)}</div>`;
}

/** @param {{name: string, value: any, own: boolean, onSet: (name: string, value: any) => void}} props */
function Setting({ name, value, own, onSet }) {
  const label = t(`admin.booking.${name}`);
  const input =
    typeof value === "boolean"
      ? html`<${Check} label=${label} checked=${value} onChange=${(/** @type {boolean} */ on) => onSet(name, on)} />`
      : html`<label class="field"><span>${label}</span><input type="number" min="0" value=${value} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => event.currentTarget.value !== "" && onSet(name, Number(event.currentTarget.value))} /></label>`;
  return html`<div class="booking-one">${input}${own && html`<button class="button quiet" type="button" onClick=${() => onSet(name, null)}>${t("admin.booking.reset")}</button>`}</div>`;
}
