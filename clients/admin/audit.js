// @ts-check
/**
 * Owns the audit trail as an auditor reads it: who did what to whom, and who looked at whose record. It is only read.
 *
 * @typedef {{subject: string, before: Record<string, any> | null, after: Record<string, any> | null}} Change
 * @typedef {{id: number, at: string, until: string | null, actor: string, who: string | null, role: string, action: string, asked: Record<string, any>, changes: Change[], patients: number[], people: {id: number, number: string, name: string}[], viewed: boolean, address: string, agent: string, request_id: string, sealed: boolean}} Entry
 * @typedef {{id: number, number: string | null, name: string, birth_year: number | null}} Patient
 * @typedef {{from: string, to: string, actor: string, patient: Patient | null, action: string, subject: string, viewed: string}} Filters
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, get, request } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";
import { has, stamp, t, zone } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { Choice, Pane } from "./parts.js";
import { instant, midnight } from "../shared/times.js";
import { chosen, devices, nameOf, retry, users } from "./work.js";

const LIMIT = 50;
const TYPING_MS = 150;

/** @type {Filters} */
const ALL = { from: "", to: "", actor: "", patient: null, action: "", subject: "", viewed: "" };

/**
 * The question that these filters ask, as the server reads it.
 * @param {Filters} filters
 * @param {Record<string, string>} [more]
 */
function question(filters, more = {}) {
  const asked = new URLSearchParams(more);
  const [since, until] = [instant(filters.from, zone.value), instant(filters.to, zone.value)];
  if (since !== null) asked.set("since", new Date(since).toISOString());
  if (until !== null) asked.set("until", new Date(until).toISOString());
  if (filters.actor) asked.set("actor", filters.actor);
  if (filters.patient) asked.set("patient_id", String(filters.patient.id));
  if (filters.action.trim()) asked.set("action", filters.action.trim());
  if (filters.subject.trim()) asked.set("subject", filters.subject.trim());
  if (filters.viewed) asked.set("viewed", filters.viewed);
  if (user.value?.institution_id === null && chosen.value) asked.set("institution_id", String(chosen.value));
  return asked.toString();
}

export function Trail() {
  const [filters, setFilters] = useState(ALL);
  const [entries, setEntries] = useState(/** @type {Entry[] | null} */ (null));
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const turn = useRef(0);

  /** @param {string} cursor "" for the newest */
  const load = async (cursor) => {
    const mine = (turn.current += 1);
    setBusy(true);
    setProblem("");
    try {
      const page = await get(`/audit?${question(filters, { limit: String(LIMIT), ...(cursor && { cursor }) })}`);
      if (mine !== turn.current) return;
      setEntries((before) => (cursor && before ? [...before, ...page.items] : page.items));
      setNext(page.next ?? "");
    } catch (error) {
      retry(error);
      if (mine === turn.current && error instanceof Problem) setProblem(error.message);
    } finally {
      if (mine === turn.current) setBusy(false);
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => void load(""), TYPING_MS);
    return () => clearTimeout(timer);
  }, [filters]);

  const actions = html`
    <button class="button" type="button" onClick=${() => load("")}>${t("admin.audit.again")}</button>
    <a class="button" href=${`/api/v1/audit/export?${question(filters)}`} download="audit.csv" data-testid="admin-export">${t("admin.audit.export")}</a>
  `;
  return html`
    <${Pane} title=${t("admin.audit")} lead=${t("admin.audit.lead")} actions=${actions}>
      <${Asked} filters=${filters} onChange=${setFilters} />
      <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
      ${entries && html`<${Entries} entries=${entries} onFilter=${(/** @type {Partial<Filters>} */ some) => setFilters({ ...filters, ...some })} />`}
      ${entries && html`<${More} next=${next} busy=${busy} onMore=${() => load(next)} />`}
    <//>
  `;
}

/** @param {{filters: Filters, onChange: (filters: Filters) => void}} props */
function Asked({ filters, onChange }) {
  /** @param {Partial<Filters>} some */
  const set = (some) => onChange({ ...filters, ...some });
  const day = (/** @type {number} */ from, /** @type {number} */ to) => ({ from: midnight(serverNow(), from, zone.value), to: to < 0 ? "" : midnight(serverNow(), to, zone.value) });
  const spans = [
    { text: t("admin.audit.today"), ...day(0, -1) },
    { text: t("admin.audit.yesterday"), ...day(1, 0) },
    { text: t("admin.audit.week"), ...day(6, -1) },
    { text: t("admin.audit.ever"), from: "", to: "" },
  ];
  const people = [
    { value: "", text: t("admin.audit.anybody") },
    ...users.value.map((one) => ({ value: `user:${one.user}`, text: `${one.name} · ${t(`role.${one.role}`)}` })),
    ...devices.value.map((one) => ({ value: `device:${one.device}`, text: one.name })),
  ];
  // Somebody whom the lists no longer hold is still on the trail.
  if (filters.actor && people.every((one) => one.value !== filters.actor)) people.push({ value: filters.actor, text: filters.actor });
  const kinds = ["", "true", "false"].map((value) => ({ value, text: t(`admin.audit.kind.${value || "all"}`) }));
  /** @param {"from" | "to"} end */
  const moment = (end) => html`
    <label class="field"><span>${t(`admin.audit.${end}`)}</span>
      <input type="datetime-local" value=${filters[end]} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => set({ [end]: event.currentTarget.value })} />
    </label>`;
  return html`
    <form class="card filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()} aria-label=${t("admin.audit.filters")}>
      <${WhichPatient} chosen=${filters.patient} onChoose=${(/** @type {Patient | null} */ patient) => set({ patient })} />
      <${Choice} label=${t("admin.audit.kind")} value=${filters.viewed} options=${kinds} onChange=${(/** @type {string} */ viewed) => set({ viewed })} />
      <div class="filters-days" role="group" aria-label=${t("admin.audit.when")}>
        ${spans.map((one) => html`<button key=${one.text} class="button" type="button" aria-pressed=${one.from === filters.from && one.to === filters.to} onClick=${() => set({ from: one.from, to: one.to })}>${one.text}</button>`)}
      </div>
      <details class="filters-more" open=${Boolean(filters.actor || filters.action || filters.subject)}>
        <summary>${t("admin.audit.more")}</summary>
        <div class="filters-grid">
          ${moment("from")} ${moment("to")}
          <${Choice} label=${t("admin.audit.who")} value=${filters.actor} options=${people} onChange=${(/** @type {string} */ actor) => set({ actor })} />
          <${Plain} label=${t("admin.audit.action")} value=${filters.action} example="call-next" onChange=${(/** @type {string} */ action) => set({ action })} />
          <${Plain} label=${t("admin.audit.subject")} value=${filters.subject} example="queue:5" onChange=${(/** @type {string} */ subject) => set({ subject })} />
        </div>
      </details>
    </form>
  `;
}

/** @param {{label: string, value: string, example: string, onChange: (text: string) => void}} props */
const Plain = ({ label, value, example, onChange }) => html`
  <label class="field"><span>${label}</span>
    <input value=${value} maxlength="60" placeholder=${example} autocomplete="off" spellcheck=${false} dir="ltr" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
  </label>
`;

/** Finds a patient as their name is typed. @param {{chosen: Patient | null, onChoose: (patient: Patient | null) => void}} props */
function WhichPatient({ chosen, onChoose }) {
  const [typed, setTyped] = useState("");
  const [found, setFound] = useState(/** @type {Patient[]} */ ([]));
  useEffect(() => {
    if (!typed.trim()) return void setFound([]);
    let current = true;
    const timer = setTimeout(async () => {
      try {
        const page = await request("POST", "/patients/search", { body: { q: typed.trim(), limit: 6 } });
        if (current) setFound(page.items);
      } catch (error) {
        retry(error);
      }
    }, TYPING_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [typed]);
  /** @param {Patient} one */
  const told = (one) => [one.name, one.number, one.birth_year].filter(Boolean).join(" · ");
  if (chosen)
    return html`<div class="field"><span>${t("admin.audit.patient")}</span><p class="picked"><bdi>${told(chosen)}</bdi><button class="button quiet" type="button" onClick=${() => (setTyped(""), onChoose(null))}>${t("admin.audit.patient.all")}</button></p></div>`;
  return html`
    <div class="finder">
      <label class="field"><span>${t("admin.audit.patient")}</span>
        <input type="search" value=${typed} maxlength="100" autocomplete="off" spellcheck=${false} placeholder=${t("admin.audit.patient.hint")} data-testid="admin-patient" onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setTyped(event.currentTarget.value)} />
      </label>
      <span class="aside" role="status">${typed.trim() ? t("admin.audit.patient.n", { n: found.length }) : ""}</span>
      ${found.length > 0 && html`<ul class="found">${found.map((one) => html`<li key=${one.id}><button class="button" type="button" onClick=${() => onChoose(one)}><bdi>${told(one)}</bdi></button></li>`)}</ul>`}
    </div>
  `;
}

/** @param {{entries: Entry[], onFilter: (some: Partial<Filters>) => void}} props */
function Entries({ entries, onFilter }) {
  const [opened, setOpened] = useState(/** @type {number | null} */ (null));
  if (entries.length === 0) return html`<p class="card list-empty" data-testid="admin-audit-empty">${t("admin.audit.none")}</p>`;
  return html`
    <div class="table-frame" role="region" aria-label=${t("admin.audit")} tabindex="0">
      <table class="table" data-testid="admin-audit">
        <thead><tr><th scope="col">${t("admin.audit.at")}</th><th scope="col">${t("admin.audit.who")}</th><th scope="col">${t("admin.audit.did")}</th><th scope="col">${t("admin.audit.changed")}</th><th scope="col"><span class="aside">${t("admin.audit.detail")}</span></th></tr></thead>
        <tbody>
          ${entries.map((one) => html`<${Line} key=${one.id} entry=${one} opened=${opened === one.id} onToggle=${() => setOpened(opened === one.id ? null : one.id)} onFilter=${onFilter} />`)}
        </tbody>
      </table>
    </div>
  `;
}

/** @param {{entry: Entry, opened: boolean, onToggle: () => void, onFilter: (some: Partial<Filters>) => void}} props */
function Line({ entry, opened, onToggle, onFilter }) {
  const text = `act.${entry.action}`;
  return html`
    <tr class=${opened ? "is-open" : ""} data-action=${entry.action} data-actor=${entry.actor}>
      <td class="table-at"><time datetime=${entry.at}>${stamp(Date.parse(entry.at))}</time>${entry.until && html` <small class="soft">${t("admin.audit.followed", { time: stamp(Date.parse(entry.until)) })}</small>`}</td>
      <td><strong>${entry.who ?? (has(`role.${entry.actor}`) ? t(`role.${entry.actor}`) : entry.actor)}</strong> ${entry.role !== entry.actor && html`<small class="soft">${has(`role.${entry.role}`) ? t(`role.${entry.role}`) : entry.role}</small>`}</td>
      <td>${entry.viewed && html`<span class="chip">${t("admin.audit.looked")}</span> `}${has(text) ? t(text) : entry.action}${entry.people.length > 0 && html` <small class="soft"><bdi>${entry.people[0]?.name}</bdi>${entry.patients.length > 1 && ` ${t("admin.audit.others", { n: entry.patients.length - 1 })}`}</small>`}</td>
      <td>${entry.changes.length > 0 ? html`<${Changes} entry=${entry} changes=${entry.changes.slice(0, opened ? undefined : 2)} />` : ""}${!opened && entry.changes.length > 2 && html`<small class="soft">${t("admin.audit.others", { n: entry.changes.length - 2 })}</small>`}</td>
      <td><button class="button quiet" type="button" aria-expanded=${opened} onClick=${onToggle}>${t("admin.audit.detail")}</button></td>
    </tr>
    ${opened &&
    html`<tr class="table-more"><td colspan="5">
      <dl class="facts">
        <div><dt>${t("admin.audit.action")}</dt><dd><button class="as-link" type="button" onClick=${() => onFilter({ action: entry.action })}>${entry.action}</button></dd></div>
        <div><dt>${t("admin.audit.who")}</dt><dd><button class="as-link" type="button" onClick=${() => onFilter({ actor: entry.actor })}>${entry.actor}</button></dd></div>
        <div><dt>${t("admin.audit.address")}</dt><dd dir="ltr">${entry.address || "–"}</dd></div>
        <div><dt>${t("admin.audit.agent")}</dt><dd>${entry.agent || "–"}</dd></div>
        <div><dt>${t("admin.audit.request")}</dt><dd><code>${entry.request_id || "–"}</code></dd></div>
        <div><dt>${t("admin.audit.seal")}</dt><dd>${entry.sealed ? t("admin.audit.sealed") : t("admin.audit.unsealed")}</dd></div>
        ${entry.patients.length > 0 && html`<div><dt>${t("admin.audit.patients")}</dt><dd>${entry.patients.map((id) => html`<${Subject} key=${id} id=${id} entry=${entry} onFilter=${onFilter} />`)}</dd></div>`}
        ${Object.keys(entry.asked).length > 0 && html`<div class="facts-wide"><dt>${t("admin.audit.asked")}</dt><dd>${Object.entries(entry.asked).map(([name, value]) => html`<span key=${name} class="said"><span class="soft">${name}</span> ${written(value)}</span>`)}</dd></div>`}
      </dl>
    </td></tr>`}
  `;
}

/** A patient by number and name; pressed, the trail is theirs alone. @param {{id: number, entry: Entry, onFilter: (some: Partial<Filters>) => void}} props */
function Subject({ id, entry, onFilter }) {
  const found = entry.people.find((one) => one.id === id);
  if (!found) return html`<span class="said">${String(id)}</span>`;
  return html`<button class="as-link said" type="button" onClick=${() => onFilter({ patient: { ...found, birth_year: null } })}><bdi dir="ltr">${found.number}</bdi> <bdi>${found.name}</bdi></button>`;
}

/** @param {any} value */
function written(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "string" && has(`value.${value}`)) return t(`value.${value}`);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** @param {{entry: Entry, changes: Change[]}} props */
const Changes = ({ entry, changes }) => html`<ul class="changes">${changes.map((one, at) => html`<li key=${at}><span class="soft"><bdi>${subjectName(one.subject, entry)}</bdi></span> ${one.before === null ? t("admin.audit.made") : one.after === null ? t("admin.audit.removed") : html`<${Fields} before=${one.before} after=${one.after} />`}</li>`)}</ul>`;

/** @param {{before: Record<string, any>, after: Record<string, any>}} props */
const Fields = ({ before, after }) =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].map(
    (name) => html`<span key=${name} class="said"><span class="soft">${name}</span> <del><bdi>${written(before[name])}</bdi></del> <span class="arrow" aria-hidden="true">→</span><span class="aside">${t("admin.audit.became")}</span> <ins><bdi>${written(after[name])}</bdi></ins></span>`,
  );

/** @param {string} subject @param {Entry} entry */
function subjectName(subject, entry) {
  const [kind = "", id = ""] = subject.split(":");
  const name = kind === "patient" ? entry.people.find((one) => String(one.id) === id)?.name : nameOf(subject);
  return `${has(`subject.${kind}`) ? t(`subject.${kind}`) : kind} ${name ?? id}`;
}

/** Loads the next page when it comes near; the button is for whoever has no scrolling. @param {{next: string, busy: boolean, onMore: () => void}} props */
function More({ next, busy, onMore }) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!next || busy || !ref.current) return undefined;
    const watch = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && onMore(), { rootMargin: "200px" });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, [next, busy]);
  if (!next) return null;
  return html`<p class="more-line" ref=${ref}><button class="button" type="button" aria-busy=${busy} onClick=${onMore}>${busy ? t("console.working") : t("admin.audit.older")}</button></p>`;
}
