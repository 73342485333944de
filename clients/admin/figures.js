// @ts-check
/**
 * Owns what ended days came to: people and waits of each day, by place or by doctor, and how satisfied they were.
 *
 * @typedef {{day: string, location_id: number, location: string, doctor_id: number | null, doctor: string | null, tickets: number, completed: number, no_shows: number, cancelled: number, wait_p50: number | null, wait_p90: number | null, consultation_p50: number | null, appointments: Record<string, number>}} Day
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, get } from "../shared/api.js";
import { dayName, number, span, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Satisfaction, iso } from "./messages.js";
import { Card, Choice, Pane } from "./parts.js";
import { chosen, locations, retry } from "./work.js";

const COLUMNS = ["day", "whose", "came", "seen", "missed", "left", "wait", "longest", "took", "booked"];
const HIGH = 60;
const WIDE = 10;

export function Figures() {
  const [first, setFirst] = useState(() => iso(new Date(Date.now() - 13 * 86_400_000)));
  const [last, setLast] = useState(() => iso(new Date()));
  const [by, setBy] = useState("location");
  const [place, setPlace] = useState("");
  const [days, setDays] = useState(/** @type {readonly Day[] | null} */ (null));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    const load = async () => {
      try {
        const found = await get(`/figures?from=${first}&to=${last}&by=${by}&institution_id=${chosen.peek()}${place && `&location_id=${place}`}`);
        if (!current) return;
        setProblem("");
        setDays(found.items);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!current) return;
        if (retry(error)) return void setTimeout(load, 2_000);
        setProblem(error.message);
      }
    };
    void load();
    return () => void (current = false);
  }, [first, last, by, place]);
  /** @param {string} label @param {string} value @param {(day: string) => void} set */
  const day = (label, value, set) => html`<label class="field"><span>${label}</span><input type="date" value=${value} required onChange=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => event.currentTarget.value && set(event.currentTarget.value)} /></label>`;
  const ways = ["location", "doctor"].map((one) => ({ value: one, text: t(`admin.figures.by.${one}`) }));
  const places = [{ value: "", text: t("admin.figures.all") }, ...locations.value.map((one) => ({ value: String(one.location), text: one.name }))];
  return html`
    <${Pane} title=${t("admin.figures")} lead=${t("admin.figures.lead")}>
      <${Card} title=${t("admin.figures.days")} note=${t("admin.figures.days.text")}>
        <div class="words-choice">
          ${day(t("admin.satisfaction.from"), first, setFirst)}${day(t("admin.satisfaction.to"), last, setLast)}
          <${Choice} label=${t("admin.figures.by")} value=${by} options=${ways} onChange=${setBy} />
          <${Choice} label=${t("admin.figures.place")} value=${place} options=${places} onChange=${setPlace} />
        </div>
        <div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>
        ${days === null ? html`<p class="soft">${t("link.connecting")}</p>` : days.length === 0 ? html`<p class="list-empty" data-testid="figures-none">${t("admin.figures.none")}</p>` : html`<${Chart} days=${days} /><${Table} days=${days} />`}
      <//>
      <${Satisfaction} />
    <//>
  `;
}

/** Whoever came on each day, and was seen; the table says the same in numbers. @param {{days: readonly Day[]}} props */
function Chart({ days }) {
  const sums = new Map(/** @type {[string, {came: number, seen: number}][]} */ ([]));
  for (const one of days) {
    const sum = sums.get(one.day) ?? { came: 0, seen: 0 };
    sums.set(one.day, { came: sum.came + one.tickets, seen: sum.seen + one.completed });
  }
  const most = Math.max(1, ...[...sums.values()].map((one) => one.came));
  /** @param {number} count */
  const high = (count) => (HIGH * count) / most;
  const bars = [...sums].map(
    ([day, { came, seen }], nth) => html`<g key=${day} transform=${`translate(${nth * WIDE} 0)`}>
      <title>${dayName(day)}: ${t("admin.figures.came")} ${number(came)}, ${t("admin.figures.seen")} ${number(seen)}</title>
      <rect class="bar-came" x="1" width=${WIDE - 2} y=${HIGH - high(came)} height=${high(came)} />
      <rect class="bar-seen" x="1" width=${WIDE - 2} y=${HIGH - high(seen)} height=${high(seen)} />
    </g>`,
  );
  return html`
    <figure class="day-chart" aria-hidden="true">
      <svg viewBox=${`0 0 ${Math.max(sums.size, 7) * WIDE} ${HIGH}`} preserveAspectRatio="none">${bars}</svg>
      <figcaption class="soft"><span class="key-seen"></span> ${t("admin.figures.seen")} <span class="key-came"></span> ${t("admin.figures.unseen")}</figcaption>
    </figure>
  `;
}

/** @param {{days: readonly Day[]}} props */
const Table = ({ days }) => html`
  <div class="table-scroll" role="region" tabindex="0" aria-label=${t("admin.figures.days")}>
    <table class="counts" data-testid="figures">
      <thead><tr>${COLUMNS.map((one) => html`<th key=${one} scope="col" class=${one === "whose" ? "is-name" : ""}>${t(`admin.figures.${one}`)}</th>`)}</tr></thead>
      <tbody>${[...days].reverse().map((one) => html`<${Row} key=${`${one.day} ${one.location_id} ${one.doctor_id}`} day=${one} />`)}</tbody>
    </table>
  </div>
`;

/** @param {{day: Day}} props */
function Row({ day: one }) {
  const booked = Object.values(one.appointments).reduce((sum, count) => sum + count, 0);
  const times = [one.wait_p50, one.wait_p90, one.consultation_p50];
  return html`
    <tr>
      <th scope="row">${dayName(one.day)}</th>
      <td class="is-name"><bdi>${one.doctor ?? one.location}</bdi></td>
      ${[one.tickets, one.completed, one.no_shows, one.cancelled].map((count) => html`<td>${number(count)}</td>`)}
      ${times.map((seconds) => html`<td>${seconds === null ? "–" : span(seconds)}</td>`)}
      <td>${number(booked)}</td>
    </tr>
  `;
}
