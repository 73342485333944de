// @ts-check
/**
 * Owns the form in which somebody says what they are told, over which channels, when they are reminded, and which hours
 * are quiet: by the patient, or by the desk for them. Each answer is sent at once.
 *
 * @typedef {{topic: string, kind: string, channel: string, allowed: boolean, said: boolean | null, source: string | null, at: string | null}} Item
 * @typedef {{channel: string, there: boolean, offered: boolean, stopped: boolean}} Way
 * @typedef {{channel: string, minutes: number}} Reminder
 * @typedef {{patient_id: number, ways: Way[], items: Item[], reminders: Reminder[], quiet_from: string, quiet_to: string, zone: string, language: string | null, own: string[]}} Wishes
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { useAnswer } from "./answer.js";
import { Problem, act, get } from "./api.js";
import { t } from "./i18n.js";
import { html } from "./ui.js";

const TOPICS = ["appointments", "reminders", "queue", "waitlist", "afterwards"];
/** How long before an appointment one may be reminded of it, in minutes, as it is offered. */
const BEFORE = [15, 30, 60, 90, 120, 180, 360, 720, 1440, 2880, 4320, 10_080];
const LANGUAGES = ["en", "ar", "hi"];

/** A length of time before an appointment. @param {number} minutes */
const before = (minutes) => (minutes % 1440 === 0 ? t("wishes.days", { n: minutes / 1440 }) : minutes % 60 === 0 ? t("wishes.hours", { n: minutes / 60 }) : t("wishes.minutes", { n: minutes }));

/** @param {{path: string, onGone?: () => void}} props */
export function Wishes({ path, onGone = () => undefined }) {
  const [problem, setProblem] = useState("");
  const [kept, setKept] = useState(false);
  /** @param {unknown} error */
  const refused = (error) => {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") onGone();
    else if (!error.retryable) setProblem(error.message);
    return error.retryable;
  };
  const [wishes, setWishes] = useAnswer(() => /** @type {Promise<Wishes>} */ (get(path)), [path], refused);
  // One after the other, and the last one's answer is shown: an older one doesn't know of what was said since.
  const last = useRef({ turn: 0, sent: /** @type {Promise<unknown>} */ (Promise.resolve()), known: /** @type {Wishes | null} */ (null) });
  /** @param {Record<string, any>} change */
  const say = async (change) => {
    const turn = (last.current.turn += 1);
    last.current.known ??= wishes;
    setKept(false);
    setProblem("");
    // What is said next goes on from these.
    if (change.reminders) setWishes((was) => was && { ...was, reminders: change.reminders });
    const sent = last.current.sent.then(() => act(path, change));
    last.current.sent = sent.catch(() => undefined);
    try {
      const kept = (last.current.known = await sent);
      if (turn !== last.current.turn) return;
      setWishes(kept);
      setKept(true);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "not-authenticated") onGone();
      setProblem(error.message);
      // What was pressed and not taken shows again as it is.
      if (turn === last.current.turn) setWishes(last.current.known && { ...last.current.known });
    }
  };
  if (!wishes) return html`<p class="soft" role="status">${problem || t("link.connecting")}</p>`;
  return html`
    <div class="wishes" data-testid="wishes">
      <${Matrix} wishes=${wishes} onSay=${say} />
      <${Reminders} wishes=${wishes} onSay=${say} />
      <${Quiet} wishes=${wishes} onSay=${say} />
      <p class="wishes-said" role="status" data-testid="wishes-said">${kept ? t("wishes.kept") : ""}</p>
      <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
    </div>
  `;
}

/** @param {{wishes: Wishes, onSay: (change: Record<string, any>) => void}} props */
function Matrix({ wishes, onSay }) {
  const ways = wishes.ways.filter((one) => one.offered && (one.there || one.stopped));
  if (ways.length === 0) return html`<p class="soft">${t("wishes.nowhere")}</p>`;
  const stopped = ways.filter((one) => one.stopped);
  return html`
    <div class="wishes-scroll">
      <table>
        <caption>${t("wishes.what")}</caption>
        <thead><tr><th scope="col"><span class="unseen">${t("wishes.topic")}</span></th>${ways.map((one) => html`<th key=${one.channel} scope="col">${t(`channel.${one.channel}`)}</th>`)}</tr></thead>
        <tbody>
          ${TOPICS.map((topic) => html`<tr key=${topic}><th scope="row">${t(`topic.${topic}`)}</th>${ways.map((way) => html`<td key=${way.channel}><${Cell} topic=${topic} way=${way} items=${wishes.items} onSay=${onSay} /></td>`)}</tr>`)}
        </tbody>
      </table>
    </div>
    ${stopped.length > 0 && html`<p class="soft">${t("wishes.stopped", { channels: stopped.map((one) => t(`channel.${one.channel}`)).join(", "), stop: "STOP", start: "START" })}</p>`}
  `;
}

/** @param {{topic: string, way: Way, items: Item[], onSay: (change: Record<string, any>) => void}} props */
function Cell({ topic, way, items, onSay }) {
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  const mine = items.filter((one) => one.topic === topic && one.channel === way.channel);
  const on = mine.filter((one) => one.allowed).length;
  const some = on > 0 && on < mine.length;
  useEffect(() => {
    if (box.current) box.current.indeterminate = some;
  });
  if (mine.length === 0) return html`<span class="soft" aria-label=${t("wishes.never")}>–</span>`;
  const change = () => onSay({ choices: mine.map((one) => ({ kind: one.kind, channel: one.channel, allowed: on === 0 })) });
  return html`<label class="wishes-cell"><input ref=${box} type="checkbox" checked=${on === mine.length} disabled=${way.stopped} data-topic=${topic} data-channel=${way.channel} aria-label=${`${t(`topic.${topic}`)}: ${t(`channel.${way.channel}`)}`} onChange=${change} /></label>`;
}

/** @param {{wishes: Wishes, onSay: (change: Record<string, any>) => void}} props */
function Reminders({ wishes, onSay }) {
  const channels = wishes.ways.filter((one) => one.offered && one.there && one.channel !== "app").map((one) => one.channel);
  const own = wishes.own.includes("reminders");
  /** @param {Reminder[]} reminders */
  const keep = (reminders) => onSay({ reminders });
  /** @param {number} at @param {Partial<Reminder>} some */
  const edit = (at, some) => keep(wishes.reminders.map((one, nth) => (nth === at ? { ...one, ...some } : one)));
  return html`
    <fieldset class="wishes-part">
      <legend>${t("wishes.reminders")}</legend>
      <ul class="wishes-list">
        ${wishes.reminders.map((one, at) => html`<li key=${at}>
          <${Reminding} one=${one} channels=${[...new Set([one.channel, ...channels])]} onChange=${(/** @type {Partial<Reminder>} */ some) => edit(at, some)} onRemove=${() => keep(wishes.reminders.filter((_, nth) => nth !== at))} />
        </li>`)}
      </ul>
      <p class="wishes-foot">
        ${channels.length > 0 && wishes.reminders.length < 12 && html`<button class="button" type="button" data-testid="add-reminder" onClick=${() => keep([...wishes.reminders, { channel: channels[0] ?? "email", minutes: 180 }])}>${t("wishes.add")}</button>`}
        ${own && html`<button class="button quiet" type="button" onClick=${() => onSay({ reminders: null })}>${t("wishes.reset")}</button>`}
      </p>
    </fieldset>
  `;
}

/** One reminder: over which channel, how long before, or none of it. @param {{one: Reminder, channels: readonly string[], onChange: (some: Partial<Reminder>) => void, onRemove: () => void}} props */
export const Reminding = ({ one, channels, onChange, onRemove }) => html`
  <select aria-label=${t("wishes.channel")} value=${one.channel} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onChange({ channel: event.currentTarget.value })}>${channels.map((channel) => html`<option key=${channel} value=${channel} selected=${channel === one.channel}>${t(`channel.${channel}`)}</option>`)}</select>
  <select aria-label=${t("wishes.before")} value=${one.minutes} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onChange({ minutes: Number(event.currentTarget.value) })}>${[...new Set([...BEFORE, one.minutes])].sort((a, b) => a - b).map((minutes) => html`<option key=${minutes} value=${minutes} selected=${minutes === one.minutes}>${before(minutes)}</option>`)}</select>
  <button class="button quiet" type="button" aria-label=${t("wishes.remove")} onClick=${onRemove}>×</button>
`;

/** @param {{wishes: Wishes, onSay: (change: Record<string, any>) => void}} props */
function Quiet({ wishes, onSay }) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set([wishes.zone, here])];
  /** @param {"quiet_from" | "quiet_to"} name */
  const clock = (name) => html`<label class="field"><span>${t(`wishes.${name}`)}</span><input type="time" required value=${wishes[name].slice(0, 5)} onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => event.currentTarget.value && onSay({ [name]: event.currentTarget.value })} /></label>`;
  const names = new Map(LANGUAGES.map((tag) => [tag, new Intl.DisplayNames([tag], { type: "language" }).of(tag) ?? tag]));
  return html`
    <fieldset class="wishes-part">
      <legend>${t("wishes.quiet")}</legend>
      <p class="soft">${t("wishes.quiet.text")}</p>
      <div class="wishes-row">
        ${clock("quiet_from")}${clock("quiet_to")}
        ${zones.length > 1 && html`<label class="field"><span>${t("wishes.zone")}</span><select value=${wishes.zone} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onSay({ zone: event.currentTarget.value })}>${zones.map((zone) => html`<option key=${zone} value=${zone} selected=${zone === wishes.zone}>${zone.replaceAll("_", " ")}</option>`)}</select></label>`}
        <label class="field"><span>${t("wishes.language")}</span><select value=${wishes.language ?? ""} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onSay({ language: event.currentTarget.value || null })}><option value="" selected=${!wishes.language}>${t("wishes.language.record")}</option>${LANGUAGES.map((tag) => html`<option key=${tag} value=${tag} selected=${tag === wishes.language} lang=${tag}>${names.get(tag)}</option>`)}</select></label>
      </div>
    </fieldset>
  `;
}
