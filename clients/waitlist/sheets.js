// @ts-check
/**
 * Owns the sheets over the waitlist: one place with its story and its steps, another priority, and somebody new in line.
 *
 * @import {FoundPatient} from "../shared/wire.js"
 * @import {Listed} from "./work.js"
 * @typedef {{code: string, priority?: number, at?: string, entry?: number}} Why
 * @typedef {{offer: number, doctor_name: string, starts_at: string, state: string, offered_at: string, expires_at: string, ended_at: string | null, why: Why[]}} Told
 * @typedef {{currentTarget: HTMLInputElement | HTMLSelectElement}} Typed
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, get, request } from "../shared/api.js";
import { Asked as Plain, Reason, ask } from "../shared/asked.js";
import { bornIn, clockTime, longDate, number, stamp, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { plusDays } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { called, fact } from "../shared/visit.js";
import { atParts, besides, likely, onDays, placeName, withWhom } from "../shared/waits.js";
import { catalogue, filters, found, moved, pending, step, today } from "./work.js";

const PAUSE_MS = 200;
const RESULTS = 6;
const PARTS = ["morning", "afternoon", "evening"];
const USUAL = 5;

/** @param {{title: string, action?: string, danger?: boolean, disabled?: boolean, children?: any, onSubmit?: () => Promise<boolean>}} props */
const Asked = (props) => html`<${Plain} ...${props} busy=${pending.value !== ""} />`;

// One place

/** @param {{id: number}} props */
export function Detail({ id }) {
  const [read, setRead] = useState(/** @type {(Listed & {offers: Told[]}) | null} */ (null));
  const [problem, setProblem] = useState("");
  const change = moved.value;
  useEffect(() => {
    let stale = false;
    get(`/waitlist/${id}`).then((one) => stale || setRead(one), (error) => {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "not-authenticated") user.value = null;
      if (!stale) setProblem(error.message);
    });
    return () => void (stale = true);
  }, [id, change]);
  const one = read?.entry === id ? read : found(id);
  if (!one) return html`<${Asked} title=${placeName(id)}><p role="status">${problem || t("link.connecting")}</p><//>`;
  const live = one.state === "waiting" || one.state === "offered";
  const busy = pending.value !== "";
  return html`
    <${Asked} key=${id} title=${one.patient.name}>
      <p><span class=${`badge wait-${one.state}`}>${t(`waitlist.state.${one.state}`)}</span> <span class="soft">${placeName(id)}</span></p>
      <dl class="detail">
        ${fact(t("waitlist.for"), [withWhom(one), ...besides(one)].join(" · "))}
        ${fact(t("waitlist.when"), `${onDays(one)} · ${atParts(one.parts)}`)}
        ${fact(t("waitlist.since"), stamp(Date.parse(one.joined_at)))}
        ${fact(t("waitlist.priority"), [number(one.priority), one.priority_reason].filter(Boolean).join(" · "))}
        ${fact(t("waitlist.place"), one.standing && t("waitlist.place.n", { n: one.standing.position }))}
        ${fact(t("waitlist.chance"), one.standing && one.state === "waiting" && likely(one.standing))}
        ${fact(t("agenda.phone"), called(one.patient.phone))}
        ${fact(t("agenda.birth"), bornIn(one.patient))}
      </dl>
      ${live &&
      html`<div class="detail-steps">
        ${one.offer && html`<button class="button main" type="button" disabled=${busy} onClick=${() => step("accept", `/offers/${one.offer?.offer}/accept`)}>${t("waitlist.accept")}</button>
        <button class="button" type="button" disabled=${busy} onClick=${() => step("decline", `/offers/${one.offer?.offer}/decline`)}>${t("waitlist.decline")}</button>`}
        <button class="button" type="button" disabled=${busy} data-step="priority" onClick=${() => ask(() => html`<${Priority} id=${id} name=${one.patient.name} now=${one.priority} />`)}>${t("waitlist.reprioritize")}</button>
        <button class="button" type="button" disabled=${busy} data-step="leave" onClick=${() => ask(() => html`<${Leave} id=${id} name=${one.patient.name} />`)}>${t("waitlist.remove")}</button>
      </div>`}
      ${read && html`<${Story} offers=${read.offers} />`}
    <//>
  `;
}

/** Every offer that came of a place, and why it went to them. @param {{offers: Told[]}} props */
const Story = ({ offers }) => html`
  <section class="offers-told" aria-labelledby="told-title" data-testid="waitlist-story">
    <h3 id="told-title">${t("waitlist.story")}</h3>
    ${offers.length === 0 && html`<p class="soft">${t("waitlist.story.none")}</p>`}
    <ol>${offers.map((one) => html`<li key=${one.offer}>
      <p><strong>${longDate(Date.parse(one.starts_at))}, ${clockTime(Date.parse(one.starts_at))}</strong> · <bdi>${one.doctor_name}</bdi> <span class="badge">${t(`waitlist.offer.${one.state}`)}</span></p>
      <p class="soft">${t("waitlist.story.when", { from: stamp(Date.parse(one.offered_at)), until: clockTime(Date.parse(one.expires_at)) })}</p>
      <ul class="why">${one.why.map((why, nth) => html`<li key=${nth}><${Because} why=${why} /></li>`)}</ul>
    </li>`)}</ol>
  </section>
`;

/** @param {{why: Why}} props */
function Because({ why }) {
  const entry = why.entry;
  const said = t(`waitlist.why.${why.code}`, { priority: why.priority ?? 0, at: why.at ? stamp(Date.parse(why.at)) : "", entry: entry ? placeName(entry) : "" });
  return entry ? html`${said} <button class="as-link" type="button" onClick=${() => ask(() => html`<${Detail} id=${entry} />`)}>${t("waitlist.why.see")}</button>` : said;
}

/** @param {{value: number, onChange: (value: number) => void}} props */
const Level = ({ value, onChange }) => html`
  <label class="field"><span>${t("waitlist.priority")}</span>
    <select value=${String(value)} data-testid="waitlist-priority" onChange=${(/** @type {Typed} */ event) => onChange(Number(event.currentTarget.value))}>
      ${[10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map((one) => html`<option key=${one} value=${String(one)} selected=${one === value}>${one === 10 ? t("waitlist.priority.first", { n: one }) : one === USUAL ? t("waitlist.priority.usual", { n: one }) : number(one)}</option>`)}
    </select>
  </label>
`;

/** @param {{id: number, name: string, now: number}} props */
function Priority({ id, name, now }) {
  const [priority, setPriority] = useState(now);
  const [reason, setReason] = useState("");
  return html`
    <${Asked} title=${t("waitlist.reprioritize.of", { name })} action=${t("waitlist.reprioritize")} disabled=${reason.trim() === ""} onSubmit=${() => step("priority", `/waitlist/${id}/priority`, { priority, reason: reason.trim() })}>
      <${Level} value=${priority} onChange=${setPriority} />
      <${Reason} value=${reason} needed onChange=${setReason} />
    <//>
  `;
}

/** @param {{id: number, name: string}} props */
const Leave = ({ id, name }) => html`
  <${Asked} title=${t("waitlist.remove.of", { name })} action=${t("waitlist.remove")} danger onSubmit=${() => step("leave", `/waitlist/${id}/leave`)}>
    <p class="sheet-note">${t("waitlist.remove.text")}</p>
  <//>
`;

// Somebody new in line

/** @param {{onFound: (one: FoundPatient | null) => void, chosen: FoundPatient | null}} props */
function Find({ onFound, chosen }) {
  const [results, setResults] = useState(/** @type {readonly FoundPatient[] | null} */ (null));
  const [problem, setProblem] = useState("");
  const late = useRef({ timer: 0, turn: 0 });
  /** @param {string} q */
  const type = (q) => {
    clearTimeout(late.current.timer);
    const mine = (late.current.turn += 1);
    // That nobody was found said so of another text.
    setResults((was) => (q.trim() && was?.length ? was : null));
    if (!q.trim()) return;
    late.current.timer = setTimeout(async () => {
      try {
        const found = await request("POST", "/patients/search", { body: { q: q.trim(), limit: RESULTS, ...(user.peek()?.institution_id === null ? { institution_id: catalogue.peek()?.institution.id } : {}) } });
        if (mine !== late.current.turn) return;
        setResults(found.items);
        setProblem("");
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (mine === late.current.turn) setProblem(error.message);
      }
    }, PAUSE_MS);
  };
  if (chosen) return html`<p class="add-who" data-testid="waitlist-who"><strong><bdi>${chosen.name}</bdi></strong> <small class="soft"><bdi>${[chosen.number, chosen.phone].filter(Boolean).join(" · ")}</bdi></small> <button class="button quiet" type="button" onClick=${() => onFound(null)}>${t("book.who.change")}</button></p>`;
  return html`
    <label class="field"><span>${t("bookings.patient")}</span><input type="search" autocomplete="off" spellcheck=${false} maxlength="200" placeholder=${t("bookings.find.hint")} data-testid="waitlist-patient" onInput=${(/** @type {Typed} */ event) => type(event.currentTarget.value)} /></label>
    <div role="status">${problem && html`<p class="problem">${problem}</p>`}${results?.length === 0 && html`<p class="soft">${t("waitlist.add.nobody")}</p>`}</div>
    ${results && results.length > 0 && html`<ul class="choices" aria-label=${t("reception.found")}>${results.map((one) => html`<li key=${one.id}><button class="button choice" type="button" data-patient=${one.id} onClick=${() => onFound(one)}><bdi>${one.name}</bdi> <small class="soft"><bdi>${[one.number, bornIn(one), one.phone].filter(Boolean).join(" · ")}</bdi></small></button></li>`)}</ul>`}
  `;
}

export function Add() {
  const own = user.value?.role === "doctor" ? String(user.value.doctor_id ?? "") : "";
  const [who, setWho] = useState(/** @type {FoundPatient | null} */ (null));
  const [wish, setWish] = useState({ doctor: own || filters.value.doctor, specialty: filters.value.specialty, visit: "", mode: "both", from: filters.value.day || today(), to: filters.value.day || plusDays(today(), 6), parts: /** @type {string[]} */ ([]), priority: USUAL, reason: "" });
  /** @param {Partial<typeof wish>} some */
  const change = (some) => setWish({ ...wish, ...some });
  const all = /** @type {import("../shared/wire.js").Catalogue} */ (catalogue.value);
  const whole = who !== null && (wish.doctor || wish.specialty || wish.visit) && wish.from <= wish.to;
  const body = () => ({
    patient_id: who?.id,
    ...(wish.doctor && { doctor_id: Number(wish.doctor) }),
    ...(wish.specialty && !wish.doctor && { specialty_id: Number(wish.specialty) }),
    ...(wish.visit && { visit_type_id: Number(wish.visit) }),
    mode: wish.mode,
    first_day: wish.from,
    last_day: wish.to,
    parts: wish.parts,
    priority: wish.priority,
    ...(wish.reason.trim() && { reason: wish.reason.trim() }),
  });
  /** @param {string} label @param {"doctor" | "specialty" | "visit"} name @param {readonly {id: number, name: string}[]} of */
  const choice = (label, name, of) => html`<label class="field"><span>${label}</span><select data-testid=${`add-${name}`} onChange=${(/** @type {Typed} */ event) => change({ [name]: event.currentTarget.value })}><option value="" selected=${wish[name] === ""}>${t("bookings.any")}</option>${of.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${wish[name] === String(one.id)}>${one.name}</option>`)}</select></label>`;
  /** @param {string} label @param {"from" | "to"} name @param {string} least */
  const day = (label, name, least) => html`<label class="field"><span>${label}</span><input type="date" required min=${least} value=${wish[name]} onChange=${(/** @type {Typed} */ event) => change(name === "from" && event.currentTarget.value > wish.to ? { from: event.currentTarget.value, to: event.currentTarget.value } : { [name]: event.currentTarget.value })} /></label>`;
  return html`
    <${Asked} title=${t("waitlist.add")} action=${t("waitlist.add.yes")} disabled=${!whole} onSubmit=${() => step("join", "/waitlist", body())}>
      <${Find} chosen=${who} onFound=${setWho} />
      <div class="pair">${!own && choice(t("agenda.doctor"), "doctor", all.doctors)}${!own && !wish.doctor && all.specialties.length > 0 && choice(t("waitlist.specialty"), "specialty", all.specialties)}${choice(t("bookings.visit"), "visit", all.visit_types)}</div>
      <div class="pair">${day(t("bookings.from"), "from", today())}${day(t("bookings.to"), "to", wish.from)}</div>
      <fieldset class="radios"><legend>${t("waitlist.ask.parts")}</legend>${PARTS.map((one) => html`<label key=${one} class="check"><input type="checkbox" checked=${wish.parts.includes(one)} onChange=${() => change({ parts: wish.parts.includes(one) ? wish.parts.filter((each) => each !== one) : [...wish.parts, one] })} /><span>${t(`book.part.${one}`)}</span></label>`)}</fieldset>
      <div class="pair">
        <label class="field"><span>${t("bookings.mode")}</span><select onChange=${(/** @type {Typed} */ event) => change({ mode: event.currentTarget.value })}><option value="both" selected=${wish.mode === "both"}>${t("bookings.any")}</option>${["in_person", "online"].map((one) => html`<option key=${one} value=${one} selected=${wish.mode === one}>${t(`bookings.mode.${one}`)}</option>`)}</select></label>
        <${Level} value=${wish.priority} onChange=${(/** @type {number} */ priority) => change({ priority })} />
      </div>
      ${wish.priority !== USUAL && html`<${Reason} value=${wish.reason} onChange=${(/** @type {string} */ reason) => change({ reason })} />`}
    <//>
  `;
}
