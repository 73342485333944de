// @ts-check
/**
 * Owns the first step: what for, and with whom.
 *
 * @import {CatalogueDoctor} from "../shared/wire.js"
 */
import { signal } from "@preact/signals";

import { locale, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { catalogue, feesOf, locationBy, specialtyBy } from "./catalogue.js";
import { moving } from "./moving.js";
import { go } from "./route.js";

const MANY = 8;
const only = signal(/** @type {number | null} */ (null));
const sought = signal("");

export function Choose() {
  const { specialties, doctors } = /** @type {import("../shared/wire.js").Catalogue} */ (catalogue.value);
  const words = sought.value.trim().toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const one = moving.value;
  // An appointment moves to a doctor who takes such visits.
  const takes = one?.type ? doctors.filter(({ visit_type_ids: kinds }) => kinds.length === 0 || kinds.includes(one.type ?? 0)) : doctors;
  const fits = takes.filter((one) => words.every((word) => `${one.name} ${specialtyBy(one.specialty_id)?.name ?? ""}`.toLocaleLowerCase().includes(word)));
  const offered = specialties.filter((one) => doctors.some((doctor) => doctor.specialty_id === one.id));
  const general = fits.filter((one) => !specialtyBy(one.specialty_id));
  const shown = offered.filter((one) => only.value === null || only.value === one.id);
  return html`
    <section class="choose" aria-labelledby="choose-title">
      <h1 id="choose-title">${one ? t("mine.move.title") : t("book.title")}</h1>
      ${doctors.length > MANY && html`<label class="field choose-find"><span>${t("book.find")}</span><input type="search" autocomplete="off" value=${sought.value} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => (sought.value = event.currentTarget.value)} /></label>`}
      ${offered.length > 1 &&
      html`<fieldset class="chips">
        <legend class="aside">${t("book.specialty")}</legend>
        <${Chip} id=${null} name=${t("book.specialty.all")} />
        ${offered.map((one) => html`<${Chip} key=${one.id} id=${one.id} name=${one.name} />`)}
      </fieldset>`}
      ${doctors.length === 0 && html`<p class="nothing">${t("book.nobody")}</p>`}
      ${doctors.length > 0 && fits.length === 0 && html`<p class="nothing" role="status">${t("book.find.none")}</p>`}
      ${shown.map((one) => html`<${Specialty} key=${one.id} id=${one.id} name=${one.name} doctors=${fits.filter((doctor) => doctor.specialty_id === one.id)} />`)}
      ${only.value === null && general.length > 0 && html`<${Group} name=${offered.length > 0 ? t("book.specialty.none") : ""} doctors=${general} />`}
    </section>
  `;
}

/** @param {{id: number | null, name: string}} props */
const Chip = ({ id, name }) => html`
  <label class="chip-choice"><input type="radio" name="specialty" checked=${only.value === id} onChange=${() => (only.value = id)} /><span>${name}</span></label>
`;

/** @param {{id: number, name: string, doctors: readonly CatalogueDoctor[]}} props */
const Specialty = ({ id, name, doctors }) => (doctors.length === 0 ? null : html`<${Group} id=${id} name=${name} doctors=${doctors} />`);

/** @param {{id?: number, name: string, doctors: readonly CatalogueDoctor[]}} props */
const Group = ({ id, name, doctors }) => html`
  <section class="specialty" aria-label=${name || t("book.title")}>
    ${name && html`<h2>${name}</h2>`}
    <ul class="people">
      ${id && doctors.length > 1 && !moving.value && html`<li><button class="person is-any" type="button" data-testid="choose-any" data-specialty=${id} onClick=${() => go({ step: "times", specialty: id })}><span class="face" aria-hidden="true">✦</span><span class="person-text"><strong>${t("book.any")}</strong><small>${t("book.any.text")}</small></span></button></li>`}
      ${doctors.map((one) => html`<li key=${one.id}><${Doctor} doctor=${one} /></li>`)}
    </ul>
  </section>
`;

/** @param {{doctor: CatalogueDoctor}} props */
function Doctor({ doctor }) {
  const fee = feesOf(doctor);
  const places = (catalogue.value?.locations.length ?? 0) > 1 ? doctor.location_ids.map((id) => locationBy(id)?.name).filter(Boolean).join(" · ") : "";
  return html`
    <button class="person" type="button" data-testid="choose-doctor" data-doctor=${doctor.id} onClick=${() => go({ step: "times", doctor: doctor.id })}>
      <${Face} doctor=${doctor} />
      <span class="person-text">
        <strong><bdi>${doctor.name}</bdi></strong>
        ${doctor.languages.length > 0 && html`<small>${t("book.speaks", { languages: spoken(doctor.languages) })}</small>`}
        ${places && html`<small>${places}</small>`}
      </span>
      ${fee && html`<span class="person-fee">${fee}</span>`}
    </button>
  `;
}

/** @param {readonly string[]} tags */
function spoken(tags) {
  const names = new Intl.DisplayNames([locale.value], { type: "language" });
  return new Intl.ListFormat(locale.value, { type: "conjunction" }).format(tags.map((tag) => named(names, tag)));
}

/** @param {Intl.DisplayNames} names @param {string} tag */
function named(names, tag) {
  try {
    return names.of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** A doctor's picture, or the letters they are known by. @param {{doctor: Pick<CatalogueDoctor, "name" | "photo">}} props */
export function Face({ doctor }) {
  if (doctor.photo) return html`<img class="face" src=${doctor.photo} alt="" width="56" height="56" loading="lazy" />`;
  const letters = doctor.name.replace(/^\p{L}{1,4}\.\s*/u, "").split(/\s+/).map((part) => [...part][0] ?? "");
  return html`<span class="face" aria-hidden="true">${[letters[0], letters.length > 1 ? letters.at(-1) : ""].join("")}</span>`;
}
