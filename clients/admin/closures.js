// @ts-check
/**
 * Owns the days on which the institution or a location takes nobody: holidays, and whatever closes a house.
 *
 * @typedef {{id: number, doctor_id: number | null, location_id: number | null, kind: string, reason: string | null, starts_at: string, ends_at: string, whole_days: boolean}} Block
 */
import { useEffect, useState } from "preact/hooks";

import { get } from "../shared/api.js";
import { BlockSheet } from "../shared/block.js";
import { serverNow } from "../shared/clock.js";
import { clockTime, fullDate, t, zone } from "../shared/i18n.js";
import { dayOf } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Card, Confirm, ask, close } from "./parts.js";
import { change, chosen, doctors, institution, locations, retry } from "./work.js";

const LOOK_MS = 20_000;

/** From when to when, in whole days where it is whole days. @param {Block} one */
function span(one) {
  const [from, to] = [Date.parse(one.starts_at), Date.parse(one.ends_at)];
  const days = [fullDate(one.starts_at), fullDate(new Date(to - 1).toISOString())];
  if (one.whole_days) return [...new Set(days)].join(" – ");
  return days[0] === days[1] ? `${days[0]} ${clockTime(from)} – ${clockTime(to)}` : `${days[0]} ${clockTime(from)} – ${days[1]} ${clockTime(to)}`;
}

/** @param {Block} one */
const whose = (one) =>
  (one.doctor_id !== null && doctors.value.find((each) => each.doctor === one.doctor_id)?.name) || (one.location_id !== null && locations.value.find((each) => each.location === one.location_id)?.name) || institution.value?.name || "";

export function Closures() {
  const [blocks, setBlocks] = useState(/** @type {Block[] | null} */ (null));
  const [turn, setTurn] = useState(0);
  const id = chosen.value;
  useEffect(() => {
    let current = true;
    const look = () => !document.hidden && get(`/blocks?institution_id=${id}`).then((found) => current && setBlocks(found.items), (error) => void (current && retry(error)));
    void look();
    const timer = setInterval(look, LOOK_MS);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [id, turn]);
  const again = () => setTurn((now) => now + 1);
  const begin = () => {
    const all = { value: "all", text: institution.value?.name ?? "", scope: { institution_id: id ?? undefined } };
    const rest = locations.value.map((one) => ({ value: `at${one.location}`, text: one.name, scope: { location_id: one.location } }));
    const own = doctors.value.map((one) => ({ value: `of${one.doctor}`, text: one.name, scope: { doctor_id: one.doctor } }));
    const done = () => (say({ text: t("schedule.block.done"), kind: "done" }), again());
    ask(() => html`<${BlockSheet} whose=${[all, ...rest, ...own]} today=${dayOf(serverNow(), zone.value)} onClose=${close} onDone=${done} />`);
  };
  /** @param {Block} one */
  const free = (one) => ask(() => html`<${Confirm} title=${t("schedule.unblock")} text=${t("schedule.unblock.text")} action=${t("schedule.unblock")} onSubmit=${async () => Boolean(await change("unblocked", `/blocks/${one.id}/end`)) && (again(), true)} />`);
  const add = html`<button class="button" type="button" onClick=${begin}>${t("schedule.block")}</button>`;
  return html`
    <${Card} title=${t("admin.closures")} note=${t("admin.closures.text")} actions=${add}>
      ${blocks?.length === 0 && html`<p class="list-empty">${t("admin.closures.none")}</p>`}
      <ul class="entries">
        ${(blocks ?? []).map((one) => html`<li key=${one.id} class="entry" data-testid="admin-closure"><div class="entry-main"><strong dir="auto">${whose(one)}</strong><span class="soft">${t(`schedule.kind.${one.kind}`)}</span></div><div class="entry-main"><span>${span(one)}</span>${one.reason && html`<span class="soft" dir="auto">${one.reason}</span>`}</div><div class="entry-steps"><button class="button" type="button" onClick=${() => free(one)}>${t("schedule.unblock")}</button></div></li>`)}
      </ul>
    <//>
  `;
}
