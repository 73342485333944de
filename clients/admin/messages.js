// @ts-check
/**
 * Owns what the institution tells its patients: the words, the settings, what could not be sent, what visits were like.
 *
 * @typedef {{kind: string, channel: string, subject: string | null, body: string, own: boolean, facts: string[]}} Text
 * @typedef {{subject: string | null, body: string, html: string | null, segments: number | null}} Shown
 * @typedef {{part: string, line: number, why: string, what: string}} Fault
 * @typedef {{id: number, kind: string, channel: string, patient: string | null, number: string | null, error: string | null, attempts: number, due_at: string, instead_by: string | null, may_resend: boolean}} FailedNotice
 * @typedef {{doctor_id: number | null, doctor: string | null, answers: number, scores: number[], mean: number | null, satisfied: number | null}} Figure
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { Problem, get, request } from "../shared/api.js";
import { has, language, number, stamp, t, written } from "../shared/i18n.js";
import { Paper } from "../shared/paper.js";
import { html } from "../shared/ui.js";
import { NoticeSettings } from "./noticesettings.js";
import { Card, Choice, Confirm, Pane, Text as Field, ask } from "./parts.js";
import { route } from "./route.js";
import { change, chosen, doctors, institution, pending, retry, settingsTurn } from "./work.js";

const PARTS = ["texts", "settings", "failed", "satisfaction"];
const TITLED = new Set(["email", "push", "app"]);
const SPOKEN = new Set(["sms", "whatsapp", "voice"]);
const CHECK_MS = 400;

export function Messages() {
  const part = PARTS.includes(route.value.of) ? route.value.of : "texts";
  const Part = { texts: Texts, settings: Settings, failed: Failed, satisfaction: Satisfaction }[part];
  return html`
    <${Pane} title=${t("admin.messages")} lead=${t("admin.messages.lead")}>
      <nav class="tabs" aria-label=${t("admin.messages")}>${PARTS.map((one) => html`<a key=${one} href=${`#/messages/${one}`} aria-current=${one === part ? "true" : null}>${t(`admin.messages.${one}`)}</a>`)}</nav>
      <${Part} />
    <//>
  `;
}

// The words

function Texts() {
  const [tag, setTag] = useState(() => written().find((one) => one === language.peek()) ?? "en");
  const [key, setKey] = useState("booking-confirmed/email");
  const turn = settingsTurn.value;
  const [answer] = useAnswer(() => get(`/institutions/${chosen.peek()}/texts?language=${tag}`), [tag, turn], retry);
  if (!answer) return html`<p class="soft">${t("link.connecting")}</p>`;
  const items = /** @type {Text[]} */ (answer.items);
  const one = items.find((item) => `${item.kind}/${item.channel}` === key) ?? /** @type {Text} */ (items[0]);
  const kinds = [...new Set(items.map((item) => item.kind))];
  const channels = items.filter((item) => item.kind === one.kind);
  const names = new Intl.DisplayNames([language.value], { type: "language" });
  /** @param {string} kind */
  const choose = (kind) => setKey(`${kind}/${(items.find((item) => item.kind === kind && item.channel === one.channel) ?? items.find((item) => item.kind === kind))?.channel}`);
  return html`
    <div class="words-choice">
      <${Choice} label=${t("admin.messages.kind")} value=${one.kind} options=${kinds.map((kind) => ({ value: kind, text: `${t(`notice.${kind}`)}${items.some((item) => item.kind === kind && item.own) ? " •" : ""}` }))} onChange=${choose} />
      <${Choice} label=${t("admin.messages.channel")} value=${one.channel} options=${channels.map((item) => ({ value: item.channel, text: `${t(`channel.${item.channel}`)}${item.own ? " •" : ""}` }))} onChange=${(/** @type {string} */ channel) => setKey(`${one.kind}/${channel}`)} />
      <${Choice} label=${t("admin.messages.language")} value=${tag} options=${written().map((each) => ({ value: each, text: names.of(each) ?? each }))} onChange=${setTag} />
    </div>
    <${Editor} key=${`${key} ${tag} ${one.own} ${one.body} ${one.subject}`} one=${one} tag=${tag} />
  `;
}

/** @param {{one: Text, tag: string}} props */
function Editor({ one, tag }) {
  const [subject, setSubject] = useState(one.subject ?? "");
  const [body, setBody] = useState(one.body);
  const [contact, setContact] = useState("");
  const { shown, faults } = usePreview(one, tag, subject, body);
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const at = `/institutions/${chosen.value}/texts`;
  const of = { kind: one.kind, channel: one.channel, language: tag };
  const said = { ...of, ...(TITLED.has(one.channel) ? { subject } : {}), body };
  const dirty = body !== one.body || subject !== (one.subject ?? "");
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    await change("text", at, said);
  };
  const reset = () => ask(() => html`<${Confirm} title=${t("admin.text.reset")} text=${t("admin.text.reset.text")} action=${t("admin.text.reset")} onSubmit=${async () => (await change("text-reset", `${at}/reset`, of)) !== null} />`);
  const send = () => change("text-try", `${at}/try`, { ...said, ...(SPOKEN.has(one.channel) ? { contact: contact.replaceAll(/[^+\d]/g, "") } : {}) });
  /** Put a fact in where one is writing. @param {string} name */
  const put = (name) => {
    const field = area.current;
    if (!field) return;
    field.setRangeText(`{{ ${name} }}`, field.selectionStart, field.selectionEnd, "end");
    setBody(field.value);
    field.focus();
  };
  const direction = tag === "ar" ? "rtl" : "ltr";
  return html`
    <div class="words">
      <form class="card" data-dirty=${dirty ? "" : null} onSubmit=${submit} data-testid="text-editor">
        <p class="soft">${one.own ? t("admin.text.own") : t("admin.text.ours")}</p>
        ${TITLED.has(one.channel) && html`<label class="field"><span>${t(one.channel === "email" ? "admin.text.subject" : "admin.text.title")}</span><input value=${subject} required maxlength="300" dir=${direction} lang=${tag} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setSubject(event.currentTarget.value)} /></label>`}
        <label class="field"><span>${t("admin.text.body")}</span><textarea ref=${area} rows=${one.channel === "email" ? 9 : 5} required maxlength="5000" dir=${direction} lang=${tag} value=${body} aria-describedby="text-faults" onInput=${(/** @type {{currentTarget: HTMLTextAreaElement}} */ event) => setBody(event.currentTarget.value)}></textarea></label>
        <div class="words-facts" role="group" aria-label=${t("admin.text.facts")}>${one.facts.map((name) => html`<button key=${name} class="chip" type="button" onClick=${() => put(name)}>${t(`fact.${name}`)}</button>`)}</div>
        <ul class="words-faults" id="text-faults" role="alert">${faults.map((fault, nth) => html`<li key=${nth} class="problem">${t("admin.text.fault", { line: number(fault.line) })} ${has(`fault.${fault.why}`) ? t(`fault.${fault.why}`, { what: fault.what }) : fault.why}</li>`)}</ul>
        <div class="words-foot">
          ${one.own && html`<button class="button quiet" type="button" onClick=${reset}>${t("admin.text.reset")}</button>`}
          <button class="button main" type="submit" disabled=${!dirty || faults.length > 0} aria-busy=${pending.value === "text"}>${t("console.save")}</button>
        </div>
      </form>
      <section class="card" aria-label=${t("admin.text.preview")} data-testid="text-preview">
        <div class="card-head"><h2>${t("admin.text.preview")}</h2>${shown && shown.segments !== null && html`<span class="badge" data-testid="segments">${t("admin.text.segments", { n: shown.segments })}</span>`}</div>
        ${shown?.html ? html`<${Paper} markup=${shown.html} language=${tag} direction=${direction} />` : shown && html`<div class="bubble" dir=${direction} lang=${tag}>${shown.subject && html`<strong>${shown.subject}</strong>`}<p>${shown.body}</p></div>`}
        <div class="words-try">
          ${SPOKEN.has(one.channel) && html`<${Field} label=${t("admin.text.contact")} type="tel" value=${contact} required=${false} onChange=${setContact} />`}
          <button class="button" type="button" disabled=${faults.length > 0 || (SPOKEN.has(one.channel) && !contact.trim())} aria-busy=${pending.value === "text-try"} onClick=${send}>${t("admin.text.try")}</button>
        </div>
      </section>
    </div>
  `;
}

/**
 * What a draft would look like, a moment after it was typed; or why it cannot be used.
 * @param {Text} one @param {string} tag @param {string} subject @param {string} body
 * @returns {{shown: Shown | null, faults: Fault[]}}
 */
function usePreview(one, tag, subject, body) {
  const [shown, setShown] = useState(/** @type {Shown | null} */ (null));
  const [faults, setFaults] = useState(/** @type {Fault[]} */ ([]));
  useEffect(() => {
    let current = true;
    const look = async () => {
      const draft = { kind: one.kind, channel: one.channel, language: tag, ...(TITLED.has(one.channel) ? { subject } : {}), body };
      try {
        const found = await request("POST", `/institutions/${chosen.peek()}/texts/preview`, { body: draft });
        if (!current) return;
        setShown(found);
        setFaults([]);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!current) return;
        if (error.code === "bad-template") setFaults(error.body.problems);
        else if (error.code === "invalid-request") setFaults([{ part: "body", line: 1, why: "empty", what: "" }]);
        else if (retry(error)) setTimeout(() => current && void look(), 2_000);
      }
    };
    const timer = setTimeout(look, shown ? CHECK_MS : 0);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [subject, body]);
  return { shown, faults };
}

// The settings

function Settings() {
  const [whose, setWhose] = useState("");
  const options = [{ value: "", text: institution.value?.name ?? "" }, ...doctors.value.map((one) => ({ value: String(one.doctor), text: one.name }))];
  return html`
    <${Card} title=${t("admin.messages.settings")} note=${t("admin.messages.settings.text")}>
      <div class="words-choice"><${Choice} label=${t("admin.messages.whose")} value=${whose} options=${options} onChange=${setWhose} /></div>
      <${NoticeSettings} key=${whose} level=${whose ? "doctor" : "institution"} id=${whose ? Number(whose) : chosen.value} />
    <//>
  `;
}

// What could not be sent

function Failed() {
  const [turn, setTurn] = useState(0);
  const [answer] = useAnswer(() => request("POST", "/notices/failed", { body: { institution_id: chosen.peek() } }), [turn], retry);
  if (!answer) return html`<p class="soft">${t("link.connecting")}</p>`;
  const items = /** @type {FailedNotice[]} */ (answer.items);
  /** @param {number} id */
  const resend = async (id) => {
    await change("resend", `/notices/${id}/resend`);
    setTurn(turn + 1);
  };
  return html`
    <${Card} title=${t("admin.messages.failed")} note=${t("admin.messages.failed.text")} actions=${html`<button class="button" type="button" onClick=${() => setTurn(turn + 1)}>${t("admin.failed.again")}</button>`}>
      ${items.length === 0
        ? html`<p class="list-empty" data-testid="failed-none">${t("admin.failed.none")}</p>`
        : html`<ul class="entries" data-testid="failed">${items.map((one) => html`<li key=${one.id} class="entry"><div class="entry-main"><strong>${t(`notice.${one.kind}`)}</strong><span class="soft">${[t(`channel.${one.channel}`), one.number].filter(Boolean).join(" · ")}</span></div><div class="entry-main"><bdi>${one.patient ?? ""}</bdi><span class="soft">${stamp(Date.parse(one.due_at))} · ${t("admin.failed.tries", { n: one.attempts })}</span><span class="soft" dir="ltr">${one.error ?? ""}</span>${one.instead_by && html`<span class="soft">${t("admin.failed.instead", { channel: t(`channel.${one.instead_by}`) })}</span>`}</div><div class="entry-steps"><button class="button" type="button" disabled=${!one.may_resend} onClick=${() => resend(one.id)}>${t("admin.failed.resend")}</button></div></li>`)}</ul>`}
    <//>
  `;
}

// What visits were like

/** @param {Date} day */
export const iso = (day) => `${day.getFullYear()}-${String(day.getMonth() + 1).padStart(2, "0")}-${String(day.getDate()).padStart(2, "0")}`;

export function Satisfaction() {
  const [first, setFirst] = useState(() => iso(new Date(Date.now() - 29 * 86_400_000)));
  const [last, setLast] = useState(() => iso(new Date()));
  const [answer] = useAnswer(() => (first <= last ? get(`/institutions/${chosen.peek()}/satisfaction?first_day=${first}&last_day=${last}`) : Promise.resolve(null)), [first, last], retry);
  /** @param {string} label @param {string} value @param {(day: string) => void} set */
  const day = (label, value, set) => html`<label class="field"><span>${label}</span><input type="date" value=${value} required onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => event.currentTarget.value && set(event.currentTarget.value)} /></label>`;
  const each = /** @type {Figure[]} */ (answer?.doctors ?? []);
  return html`
    <${Card} title=${t("admin.messages.satisfaction")} note=${t("admin.satisfaction.text")}>
      <div class="words-choice">${day(t("admin.satisfaction.from"), first, setFirst)}${day(t("admin.satisfaction.to"), last, setLast)}</div>
      ${answer && html`<p class="satisfaction" data-testid="satisfaction">${answer.all.answers ? html`<strong>${new Intl.NumberFormat(language.value, { style: "percent" }).format(answer.all.satisfied)}</strong> ${t("admin.satisfaction.share", { mean: number(answer.all.mean), answers: answer.all.answers, asked: number(answer.asked) })}` : t("admin.satisfaction.none")}</p>`}
      ${each.length > 0 && html`<ul class="entries">${each.map((one) => html`<li key=${one.doctor_id} class="entry"><div class="entry-main"><strong>${one.doctor ?? t("admin.satisfaction.nobody")}</strong></div><div class="entry-main"><${Bars} scores=${one.scores} answers=${one.answers} /></div><span>${number(one.mean ?? 0)}</span></li>`)}</ul>`}
    <//>
  `;
}

/** How often each answer was given. @param {{scores: number[], answers: number}} props */
const Bars = ({ scores, answers }) => html`<span class="bars">${scores.map((times, nth) => html`<span key=${nth}><meter min="0" max=${answers} value=${times} aria-label=${t(`feedback.score.${nth + 1}`)}></meter><small>${nth + 1}: ${number(times)}</small></span>`)}</span>`;
