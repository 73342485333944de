// @ts-check
/**
 * Owns how registering looks: one field, then the few that are needed, then the ticket with its code.
 *
 * @import {FoundPatient, Urgency} from "../shared/wire.js"
 */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { serverNow } from "../shared/clock.js";
import { bookFor } from "../shared/forwhom.js";
import { bornIn, clockTime, fullDate, has, t, waitRange } from "../shared/i18n.js";
import { html, titled } from "../shared/ui.js";
import { birthIn } from "./birth.js";
import { here } from "./desk.js";
import { correcting } from "./record.js";
import { NEEDS, PAPERS, active, asked, back, choose, fill, form, fresh, holding, known, looked, paper, patient, phase, problem, restart, results, searchFailed, slip, submit, take, text, toggle, twins, type, usePaper, working } from "./registration.js";

/** @typedef {{currentTarget: HTMLInputElement}} Typed */

export function Registration() {
  const now = phase.value;
  return html`
    <section class="register" aria-labelledby="register-title" data-phase=${now}>
      ${now === "find" && html`<${Find} />`}
      ${now === "details" && html`<${Details} />`}
      ${now === "twins" && html`<${Twins} />`}
      ${now === "slip" && html`<${Done} />`}
    </section>
  `;
}

/** The focus goes where the next key is meant for, before anybody can press it. @param {readonly unknown[]} deps */
function useFocus(deps = []) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => ref.current?.focus(), deps);
  return ref;
}

function Find() {
  const ref = useFocus();
  const shown = text.value.trim() !== "";
  const searched = asked.value === text.value.trim();
  const count = results.value.length;
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") choose(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter") void take();
    else if (event.key === "Escape" && text.value) type("");
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <h2 id="register-title">${t("reception.register")}</h2>
    <div class="find">
      <label class="field">
        <span>${t("reception.find")}<kbd aria-hidden="true">N</kbd></span>
        <input ref=${ref} id="find" type="text" role="combobox" autocomplete="off" autocapitalize="words" spellcheck="false" maxlength="200"
          aria-expanded=${shown} aria-controls="found" aria-autocomplete="list" aria-activedescendant=${shown ? `found-${active.value}` : undefined}
          placeholder=${t("reception.find.hint")} value=${text.value}
          onInput=${(/** @type {Typed} */ event) => type(event.currentTarget.value)} onKeyDown=${onKey} />
      </label>
      ${shown &&
      html`<ul id="found" class="options" role="listbox" aria-label=${t("reception.found")}>
        ${results.value.map((one, at) => html`<${Found} key=${one.id} id=${`found-${at}`} found=${one} selected=${active.value === at} onPick=${() => known(one)} />`)}
        <li id=${`found-${count}`} class="option is-new" role="option" aria-selected=${active.value === count} data-testid="reception-new" onClick=${() => fresh()}>
          <span class="option-plus" aria-hidden="true">+</span><span><strong>${t("reception.new")}</strong><small><bdi>${text.value.trim()}</bdi></small></span>
        </li>
      </ul>`}
      <p class="aside" role="status">${shown && searched ? t("reception.found.n", { n: count }) : ""}</p>
      ${searchFailed.value && html`<p class="problem" role="alert">${searchFailed.value}</p>`}
      ${!shown && html`<p class="soft">${t("reception.find.text")}</p>`}
    </div>
  `;
}

/** What tells one person from another of the same name. @param {{found: Pick<FoundPatient, "number" | "phone" | "birth_date" | "birth_year">}} props */
function Facts({ found }) {
  const born = bornIn(found);
  return html`<small class="facts">
    ${born && html`<span>${t("console.born", { year: born })}</span>`}
    ${found.phone && html`<bdi dir="ltr">${found.phone}</bdi>`}
    ${found.number && html`<bdi dir="ltr">${found.number}</bdi>`}
  </small>`;
}

/** @param {{id: string, found: FoundPatient, selected: boolean, onPick: () => void}} props */
function Found({ id, found, selected, onPick }) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => void (selected && ref.current?.scrollIntoView({ block: "nearest" })), [selected]);
  return html`
    <li ref=${ref} id=${id} class="option" role="option" aria-selected=${selected} data-testid="reception-found" data-patient=${found.id} onClick=${onPick}>
      <span><strong><bdi>${found.name}</bdi></strong><${Facts} found=${found} /></span>
    </li>
  `;
}

function Details() {
  const who = patient.value;
  const now = form.value;
  const ref = useFocus([who?.id]);
  const born = birthIn(now.birth, serverNow());
  const field = problem.value?.field ?? "";
  /** @param {Event} event */
  const onSubmit = (event) => {
    event.preventDefault();
    void submit();
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    // A closed list of choices opens on Enter in some browsers; here Enter is always "done".
    if (event.key === "Enter" && event.target instanceof HTMLSelectElement && !event.isComposing) {
      event.preventDefault();
      void submit();
    }
  };
  return html`
    <form class="details" onSubmit=${onSubmit} onKeyDown=${onKey} novalidate>
      <h2 id="register-title">${who ? t("reception.known") : t("reception.new")}</h2>
      ${who
        ? html`<div class="who" data-testid="reception-patient" data-patient=${who.id}><strong><bdi>${who.name}</bdi></strong><${Facts} found=${who} />${holding.value.map((one) => html`<small key=${one.token}>${t("reception.already", one)}</small>`)}<button class="button quiet" type="button" onClick=${() => (correcting.value = who)}>${t("reception.correct")}</button><a class="button quiet" href="/book" data-testid="reception-book" onClick=${() => bookFor(who)}>${t("bookings.new")}</a></div>`
        : html`
            <${Field} name="name" label=${t("reception.name")} value=${now.name} wrong=${field === "name"} inputRef=${now.name ? undefined : ref} onChange=${(/** @type {string} */ name) => fill({ name })} />
            <div class="pair">
              <${Field} name="phone" label=${t("reception.phone")} kind="tel" value=${now.phone} wrong=${field === "phone"} inputRef=${now.name ? ref : undefined} onChange=${(/** @type {string} */ phone) => fill({ phone })} />
              <${Field} name="birth" label=${t("reception.birth")} value=${now.birth} wrong=${field === "birth"} hint=${t("reception.birth.hint")} onChange=${(/** @type {string} */ birth) => fill({ birth })}
                note=${born?.birth_date ? fullDate(born.birth_date) : ""} />
            </div>
          `}
      <${Urgencies} focus=${who ? ref : undefined} />
      <${Needs} />
      <${Field} name="reason" label=${t("console.reason.optional")} value=${now.reason} onChange=${(/** @type {string} */ reason) => fill({ reason })} max=${500} />
      <label class="field"><span>${t("console.queue")}</span>
        <select id="queue" value=${String(now.queue ?? "")} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => fill({ queue: Number(event.currentTarget.value) })}>
          ${here.value.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === now.queue}>${[...titled(one.name, one.doctor)].filter(Boolean).join(" · ")}</option>`)}
        </select>
      </label>
      <div role="alert">${problem.value && html`<p class="problem">${problem.value.text}</p>`}</div>
      <div class="foot">
        <button class="button" type="button" onClick=${back}>${t("console.cancel")} <kbd aria-hidden="true">${t("reception.key.esc")}</kbd></button>
        <button class="button main" type="submit" disabled=${working.value || now.queue === null} aria-busy=${working.value}>${working.value ? t("console.working") : t("reception.give")}</button>
      </div>
    </form>
  `;
}

/** @param {{name: string, label: string, value: string, onChange: (text: string) => void, kind?: string, hint?: string, note?: string, wrong?: boolean, max?: number, inputRef?: any}} props */
function Field({ name, label, value, onChange, kind = "text", hint = "", note = "", wrong = false, max = 200, inputRef }) {
  return html`
    <label class="field">
      <span>${label}</span>
      <input ref=${inputRef} id=${`field-${name}`} type=${kind} value=${value} placeholder=${hint} maxlength=${max} autocomplete="off" aria-invalid=${wrong} onInput=${(/** @type {Typed} */ event) => onChange(event.currentTarget.value)} />
      ${note && html`<small class="soft">${note}</small>`}
    </label>
  `;
}

/** @param {{focus: any}} props */
function Urgencies({ focus }) {
  const levels = /** @type {Urgency[]} */ (["routine", "urgent", "emergency"]);
  return html`
    <fieldset class="radios urgencies">
      <legend>${t("console.prioritize.urgency")}</legend>
      ${levels.map(
        (one, at) => html`
          <label key=${one} class=${`radio is-${one}`}>
            <input ref=${form.value.urgency === one ? focus : undefined} type="radio" name="urgency" value=${one} checked=${form.value.urgency === one} onChange=${() => fill({ urgency: one })} />
            <span>${t(`urgency.${one}`)}</span><kbd aria-hidden="true">${at + 1}</kbd>
          </label>
        `,
      )}
    </fieldset>
  `;
}

/** One stop for the Tab key; the arrows go along. */
function Needs() {
  /** @param {KeyboardEvent & {currentTarget: HTMLElement}} event */
  const onKey = (event) => {
    const all = /** @type {HTMLElement[]} */ ([...event.currentTarget.querySelectorAll("input")]);
    const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    if (at < 0 || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const by = event.key === forward || event.key === "ArrowDown" ? 1 : -1;
    for (const one of all) one.tabIndex = -1;
    const next = /** @type {HTMLElement} */ (all[(at + by + all.length) % all.length]);
    next.tabIndex = 0;
    next.focus();
  };
  return html`
    <fieldset class="radios needs" onKeyDown=${onKey}>
      <legend>${t("reception.needs")}</legend>
      ${NEEDS.map((one, at) => html`<label key=${one} class="radio"><input type="checkbox" name="needs" value=${one} tabindex=${at === 0 ? 0 : -1} checked=${form.value.needs.includes(one)} onChange=${() => toggle(one)} /><span>${needText(one)}</span></label>`)}
    </fieldset>
  `;
}

/** A requirement as people read it; one written freely stays as it is. @param {string} need */
export const needText = (need) => (has(`need.${need}`) ? t(`need.${need}`) : need);

function Twins() {
  const all = twins.value;
  const ref = useFocus([all]);
  /** @param {KeyboardEvent & {currentTarget: HTMLElement}} event */
  const onKey = (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const buttons = /** @type {HTMLElement[]} */ ([...event.currentTarget.querySelectorAll("button.option")]);
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    buttons[(at + (event.key === "ArrowDown" ? 1 : -1) + buttons.length) % buttons.length]?.focus();
  };
  return html`
    <div class="twins" onKeyDown=${onKey} data-testid="reception-twins">
      <h2 id="register-title">${t("reception.twins")}</h2>
      <p>${t("reception.twins.text", { name: form.value.name })}</p>
      <ul class="options is-still">
        ${all.map((one, at) => html`<li key=${one.id}><button ref=${at === 0 ? ref : undefined} class="option" type="button" data-patient=${one.id} onClick=${() => known(one)}><span><strong><bdi>${one.name}</bdi></strong><${Facts} found=${one} /></span></button></li>`)}
        <li><button class="option is-new" type="button" data-testid="reception-new-all-the-same" disabled=${working.value} onClick=${() => void submit(true)}><span class="option-plus" aria-hidden="true">+</span><span><strong>${t("reception.twins.new")}</strong><small><bdi>${form.value.name}</bdi></small></span></button></li>
      </ul>
      <div class="foot"><button class="button" type="button" onClick=${back}>${t("console.cancel")} <kbd aria-hidden="true">${t("reception.key.esc")}</kbd></button></div>
    </div>
  `;
}

/** An SVG as an image: whatever were in it, an image runs nothing and shows only itself. @param {string} svg */
export const picture = (svg) => `data:image/svg+xml,${encodeURIComponent(svg.includes("xmlns=") ? svg : svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"'))}`;

function Done() {
  const given = slip.value;
  const ref = useFocus([given]);
  if (!given) return null;
  const wait = given.wait ? waitRange(given.wait[0], given.wait[1]) : "";
  return html`
    <div ref=${ref} class="done" tabindex="-1" data-testid="reception-slip" data-token=${given.token} data-ticket=${given.ticket_id}>
      <h2 id="register-title" class="done-token token">${given.token}</h2>
      <p class="done-who"><strong><bdi>${given.name}</bdi></strong><span>${[given.queue, given.doctor].filter(Boolean).join(" · ")}</span></p>
      <img class="qr" src=${picture(given.qr_svg)} alt=${t("reception.slip.qr")} width="220" height="220" />
      <p class="done-facts" role="status">${[given.place ? t("console.place", { n: given.place }) : "", wait].filter(Boolean).join(" · ")}</p>
      <button class="button main" type="button" onClick=${() => print()}>${t("reception.print")} <kbd aria-hidden="true">P</kbd></button>
      <fieldset class="radios papers">
        <legend>${t("reception.paper")}</legend>
        ${PAPERS.map((one) => html`<label key=${one} class="radio"><input type="radio" name="paper" value=${one} checked=${paper.value === one} onChange=${() => usePaper(one)} /><span>${t("reception.paper.mm", { n: Number(one) })}</span></label>`)}
      </fieldset>
      <button class="button" type="button" onClick=${restart}>${t("reception.next")} <kbd aria-hidden="true">${t("reception.key.esc")}</kbd></button>
    </div>
  `;
}

/** What the printer gets, and nothing else. */
export function Paper() {
  const given = looked.value ?? slip.value;
  if (!given) return null;
  const wait = given.wait ? waitRange(given.wait[0], given.wait[1]) : "";
  return html`
    <section class=${`paper is-${paper.value}`} aria-hidden="true" data-testid="reception-paper">
      <p class="paper-house">${given.institution}</p>
      <p>${given.location}</p>
      <p class="paper-token token">${given.token}</p>
      <p class="paper-queue">${[given.queue, given.doctor].filter(Boolean).join(" · ")}</p>
      <p>${t("ticket.since", { time: clockTime(Date.parse(given.joined_at)) })}${given.place ? ` · ${t("console.place", { n: given.place })}` : ""}</p>
      ${wait && html`<p>${wait}</p>`}
      <img class="paper-qr" src=${picture(given.qr_svg)} alt="" />
      <p>${t("reception.paper.scan")}</p>
      <p class="paper-small">${fullDate(given.joined_at)}</p>
    </section>
  `;
}

