// @ts-check
/**
 * Owns who works at the institution: invited by a link, given a role and locations, and put out everywhere at once.
 *
 * @import {AdminUser} from "../shared/events.js"
 * @typedef {{user_id: number, link: string, qr_svg?: string, expires_at: string}} Invited
 * @typedef {{session_id: number, opened_at: string, expires_at: string, address: string | null, agent: string | null, current: boolean}} Session
 */
import { useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { get } from "../shared/api.js";
import { Copyable, Qr } from "../shared/handout.js";
import { stamp, t } from "../shared/i18n.js";

import { html } from "../shared/ui.js";
import { Card, Check, Choice, Confirm, Pane, Several, Sheet, Text, ask, sheet, tell, useForm } from "./parts.js";
import { route } from "./route.js";
import { change, chosen, doctors, institution, locations, nameOf, retry, row, users } from "./work.js";

const ROLES = ["receptionist", "doctor", "admin"];

export function People() {
  const { of, id } = route.value;
  if (of === "user" && id) {
    const one = /** @type {AdminUser | null} */ (row(`user:${id}`));
    return one ? html`<${Person} key=${id} person=${one} />` : html`<${Pane} title=${t("admin.gone")} back=${{ href: "#/people", text: t("admin.people") }} />`;
  }
  const invite = html`<button class="button main" type="button" onClick=${() => ask(() => html`<${Invite} />`)}>${t("admin.people.invite")}</button>`;
  return html`
    <${Pane} title=${t("admin.people")} lead=${t("admin.people.lead")} actions=${invite}>
      <${Card} title=${t("admin.people.list")}><ul class="entries">${users.value.map((one) => html`<${Entry} key=${one.user} person=${one} />`)}</ul><//>
      <${Required} />
    <//>
  `;
}

/** @param {AdminUser} person */
const where = (person) => (person.locations.length === 0 ? t("admin.people.everywhere") : person.locations.map((id) => nameOf(`location:${id}`)).filter(Boolean).join(", "));

/** @param {{person: AdminUser}} props */
const Entry = ({ person: one }) => html`
  <li class="entry is-link" data-testid="admin-user" data-user=${one.user} data-state=${one.state}>
    <div class="entry-main"><a class="entry-link" href=${`#/people/user/${one.user}`}>${one.name}</a><span class="soft" dir="auto">${one.email}</span></div>
    <div class="entry-main"><span>${t(`role.${one.role}`)}</span><span class="soft">${where(one)}</span></div>
    <div class="entry-steps"><${Standing} person=${one} /></div>
  </li>
`;

/** @param {{person: AdminUser}} props */
const Standing = ({ person: one }) => html`
  ${one.second_factor && html`<span class="chip">${t("admin.people.factor")}</span>`}
  <span class=${`badge is-${one.state}`}>${t(`admin.people.${one.state}`)}</span>
`;

/** Whether everybody who works here needs a second factor. */
function Required() {
  const required = institution.value?.require_totp ?? false;
  const without = users.value.filter((one) => one.state === "active" && !one.second_factor).length;
  const set = async () => Boolean(await change(required ? "optional" : "required", `/institutions/${chosen.peek()}`, { require_totp: !required }));
  const sure = () => ask(() => html`<${Confirm} title=${t("admin.factor.require")} text=${t("admin.factor.require.sure", { n: without })} action=${t("admin.factor.require.go")} onSubmit=${set} />`);
  return html`
    <${Card} title=${t("admin.factor")} note=${t("admin.factor.require.text")}>
      <${Check} label=${t("admin.factor.require")} checked=${required} onChange=${() => (required ? set() : sure())} />
    <//>
  `;
}

// Inviting

function Invite() {
  const [email, setEmail] = useState("");
  const [name, setName] = useState("");
  const [role, setRole] = useState("receptionist");
  const [at, setAt] = useState(/** @type {number[]} */ ([]));
  const [doctor, setDoctor] = useState("");
  const submit = async () => {
    const mine = sheet.peek();
    const body = { email: email.trim(), name: name.trim(), role, institution_id: chosen.peek(), ...(role !== "admin" && { location_ids: at }), ...(role === "doctor" && doctor && { doctor_id: Number(doctor) }) };
    const made = await change("invite", "/users", body, { name: name.trim() }, true);
    if (made) tell(() => html`<${LinkOnce} key=${made.link} made=${made} name=${name.trim()} />`, mine);
    return Boolean(made);
  };
  return html`
    <${Sheet} title=${t("admin.people.invite")} action=${t("admin.people.invite.go")} onSubmit=${submit}>
      <${Text} label=${t("admin.name")} name="name" value=${name} onChange=${setName} />
      <${Text} label=${t("console.email")} name="email" type="email" max=${254} value=${email} onChange=${setEmail} />
      <${Part} role=${role} onRole=${setRole} doctor=${doctor} onDoctor=${setDoctor} at=${at} onAt=${setAt} />
    <//>
  `;
}

/** Role, and what goes with it. @param {{role: string, onRole: (role: string) => void, doctor: string, onDoctor: (id: string) => void, at: number[], onAt: (ids: number[]) => void, own?: number | null}} props */
function Part({ role, onRole, doctor, onDoctor, at, onAt, own = null }) {
  const taken = new Set(users.value.map((one) => one.doctor));
  const free = doctors.value.filter((one) => one.doctor === own || !taken.has(one.doctor));
  const which = [...(own ? [] : [{ value: "", text: t("admin.people.doctor.new") }]), ...free.map((one) => ({ value: String(one.doctor), text: one.name }))];
  const places = locations.value.map((one) => ({ id: one.location, name: one.name }));
  return html`
    <${Choice} label=${t("admin.people.role")} value=${role} options=${ROLES.map((one) => ({ value: one, text: t(`role.${one}`) }))} onChange=${onRole} note=${t(`admin.people.role.${role}`)} />
    ${role === "doctor" && html`<${Choice} label=${t("admin.people.doctor")} value=${doctor} options=${which} onChange=${onDoctor} />`}
    ${role !== "admin" && html`<${Several} legend=${t("admin.people.locations")} options=${places} value=${at} onChange=${onAt} none=${t("admin.people.everywhere")} />`}
  `;
}

/** @param {{made: Invited, name: string}} props */
const LinkOnce = ({ made, name }) => html`
  <${Sheet} title=${t("admin.people.link.title", { name })}>
    <p>${t("admin.people.link.text", { until: stamp(Date.parse(made.expires_at)) })}</p>
    ${made.qr_svg && html`<${Qr} svg=${made.qr_svg} alt=${t("admin.people.link.qr")} />`}
    <${Copyable} label=${t("admin.people.link")} text=${made.link} />
  <//>
`;

// One person

/** @param {{person: AdminUser}} props */
function Person({ person: one }) {
  const active = one.state !== "inactive";
  const values = { name: one.name };
  const deactivate = async () => Boolean(await change("deactivate", `/users/${one.user}/deactivate`, {}, values));
  const reset = async () => {
    const mine = sheet.peek();
    const made = await change("link", `/users/${one.user}/reset`, {}, values, true);
    if (made) tell(() => html`<${LinkOnce} key=${made.link} made=${made} name=${one.name} />`, mine);
    return Boolean(made);
  };
  const sureOut = () => ask(() => html`<${Confirm} title=${t("admin.people.deactivate.title", values)} text=${t("admin.people.deactivate.text")} action=${t("admin.people.deactivate")} onSubmit=${deactivate} />`);
  const sureReset = () => ask(() => html`<${Confirm} title=${t("admin.people.reset.title", values)} text=${t("admin.people.reset.text")} action=${t("admin.people.reset")} onSubmit=${reset} />`);
  const steps = active
    ? html`<button class="button" type="button" onClick=${sureReset}>${t("admin.people.reset")}</button><button class="button danger" type="button" onClick=${sureOut}>${t("admin.people.deactivate")}</button>`
    : html`<button class="button main" type="button" onClick=${() => change("activate", `/users/${one.user}/activate`, {}, values)}>${t("admin.people.activate")}</button>`;
  return html`
    <${Pane} title=${one.name} lead=${one.email} back=${{ href: "#/people", text: t("admin.people") }} actions=${steps}>
      <p class="standing"><${Standing} person=${one} /></p>
      <${Edit} person=${one} />
      ${active && html`<${Sessions} path=${`/users/${one.user}/sessions`} name=${one.name} />`}
    <//>
  `;
}

/** @param {{person: AdminUser}} props */
function Edit({ person: one }) {
  const { form, set, after } = useForm({ name: one.name, role: one.role, at: one.locations, doctor: String(one.doctor ?? "") });
  const { name, role, at, doctor } = form;
  const dirty = name !== one.name || role !== one.role || String(at) !== String(one.locations) || doctor !== String(one.doctor ?? "");
  const rights = role !== one.role || String(at) !== String(one.locations);
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const body = { name: name.trim(), role, location_ids: role === "admin" ? [] : at, ...(role === "doctor" && doctor && { doctor_id: Number(doctor) }) };
    void after(change("user", `/users/${one.user}`, body, { name: name.trim() }));
  };
  return html`
    <${Card} title=${t("admin.people.account")}>
      <form class="form" onSubmit=${submit} data-dirty=${dirty ? "" : null}>
        <${Text} label=${t("admin.name")} value=${name} onChange=${set("name")} />
        <${Part} role=${role} onRole=${set("role")} doctor=${doctor} onDoctor=${set("doctor")} at=${at} onAt=${set("at")} own=${one.doctor} />
        <div class="form-foot">${rights && html`<small class="soft">${t("admin.people.rights")}</small>`}<button class="button main" type="submit" disabled=${!dirty}>${t("console.save")}</button></div>
      </form>
    <//>
  `;
}

/** What a browser that calls itself by many names is, in two words. @param {string} agent */
function browserIn(agent) {
  const browser = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Safari", "Safari"]].find(([mark = ""]) => agent.includes(mark))?.[1];
  const system = [["iPhone", "iPhone"], ["iPad", "iPad"], ["Android", "Android"], ["Windows", "Windows"], ["Mac OS", "Mac"], ["Linux", "Linux"]].find(([mark = ""]) => agent.includes(mark))?.[1];
  return browser ? [browser, system].filter(Boolean).join(" · ") : agent;
}

/** Where somebody is signed in; each place can be ended. @param {{path: string, name: string}} props */
export function Sessions({ path, name }) {
  const [turn, setTurn] = useState(0);
  const [answer] = useAnswer(() => get(path), [path, turn], retry);
  const found = /** @type {Session[] | undefined} */ (answer?.items);
  /** @param {Session} one */
  const end = async (one) => {
    if (await change("session", `/sessions/${one.session_id}/end`)) setTurn((now) => now + 1);
  };
  const again = html`<button class="button quiet" type="button" onClick=${() => setTurn(turn + 1)}>${t("admin.audit.again")}</button>`;
  return html`
    <${Card} title=${t("admin.sessions")} actions=${again}>
      ${found?.length === 0 && html`<p class="list-empty">${t("admin.sessions.none")}</p>`}
      <ul class="entries">${(found ?? []).map((one) => html`<${Seat} key=${one.session_id} session=${one} name=${name} onEnd=${() => end(one)} />`)}</ul>
    <//>
  `;
}

/** @param {{session: Session, name: string, onEnd: () => void}} props */
const Seat = ({ session: one, onEnd }) => html`
  <li class="entry is-link" data-testid="admin-session">
    <div class="entry-main"><span>${t("admin.sessions.since", { at: stamp(Date.parse(one.opened_at)) })}</span><span class="soft">${t("admin.sessions.until", { at: stamp(Date.parse(one.expires_at)) })}</span></div>
    <div class="entry-main soft"><bdi>${one.address ?? ""}</bdi><span title=${one.agent ?? ""}>${browserIn(one.agent ?? "")}</span></div>
    <div class="entry-steps">${one.current ? html`<span class="chip">${t("admin.sessions.this")}</span>` : html`<button class="button" type="button" onClick=${onEnd}>${t("admin.sessions.end")}</button>`}</div>
  </li>
`;

