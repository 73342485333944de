// @ts-check
/**
 * Owns what an institution offers: its specialties, doctors, visit types and locations, read once and kept.
 *
 * @import {Catalogue, CatalogueDoctor, Mode, SlotMode} from "../shared/wire.js"
 */
import { signal } from "@preact/signals";

import { readCatalogue } from "../shared/catalogue.js";
import { money, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";

export const catalogue = signal(/** @type {Catalogue | null} */ (null));
/** Why there is none, in words. */
export const missing = signal("");

/** What somebody may need when they come; kept as these words in every language. */
export const NEEDS = ["wheelchair", "hearing", "sight", "interpreter", "companion"];

/** Read it, for as long as it takes. */
export async function loadCatalogue() {
  missing.value = "";
  const found = /** @type {Catalogue | undefined} */ (await readCatalogue((why) => (missing.value = why)));
  if (found) catalogue.value = found;
}

/** What the page begins with, which whoever was refused may ask for again. */
let known = loadCatalogue;

/** Begin once it is known what can be booked, if whoever signed in is still there. @param {() => void} begin */
export const whenKnown = (begin) =>
  (known = async () => {
    const id = user.peek()?.id;
    await loadCatalogue();
    if (catalogue.peek() && user.peek()?.id === id) begin();
  });

/** Ask again, once for every refusal. */
export const again = () => void (missing.peek() && known());

/** @param {number | null} id */
export const doctorBy = (id) => catalogue.value?.doctors.find((one) => one.id === id);
/** @param {number | null | undefined} id */
export const specialtyBy = (id) => catalogue.value?.specialties.find((one) => one.id === id);
/** @param {number | null} id */
export const locationBy = (id) => catalogue.value?.locations.find((one) => one.id === id);
/** @param {number | null} id */
export const typeBy = (id) => catalogue.value?.visit_types.find((one) => one.id === id);

/** The zone in which a location's times are told. @param {number | null} id */
export const zoneAt = (id) => locationBy(id)?.zone ?? catalogue.value?.institution.zone;

/** Whom to call about a location; about none in particular, where there is one number alone. @param {number | null} [id] */
export function phoneAt(id = null) {
  if (id !== null) return locationBy(id)?.telephone ?? null;
  const all = new Set(catalogue.value?.locations.map((one) => one.telephone).filter(Boolean));
  return all.size === 1 ? [...all][0] : null;
}

/** The doctors whom a choice is about. @param {{doctor?: number, specialty?: number}} choice */
export const doctorsOf = ({ doctor, specialty }) =>
  (catalogue.value?.doctors ?? []).filter((one) => (doctor ? one.id === doctor : one.specialty_id === specialty));

/** The visit types that all, or any, of these doctors take; a doctor without any takes them all. @param {readonly CatalogueDoctor[]} doctors */
export const typesOf = (doctors) =>
  (catalogue.value?.visit_types ?? []).filter((type) => doctors.some((one) => one.visit_type_ids.length === 0 || one.visit_type_ids.includes(type.id)));

/** @param {SlotMode} mode @returns {readonly Mode[]} */
export const modesOf = (mode) => (mode === "both" ? ["in_person", "online"] : [mode]);

/** What a doctor's visits cost, written out: "from" the least, where they differ. @param {CatalogueDoctor} doctor */
export function feesOf(doctor) {
  const kinds = typesOf([doctor]);
  const all = (kinds.length > 0 ? kinds.map((kind) => Number(kind.fee ?? doctor.fee ?? 0)) : [Number(doctor.fee ?? 0)]).sort((a, b) => a - b);
  const currency = catalogue.value?.institution.currency;
  const least = all.find((one) => one > 0);
  if (!currency || least === undefined) return "";
  const written = money(String(least), currency);
  return all[0] === all.at(-1) ? written : t("book.fee.from", { fee: written });
}

/** What a visit costs, written out; "" where nothing is said. @param {number | null} type @param {number | null} doctor */
export function feeOf(type, doctor) {
  const amount = typeBy(type)?.fee ?? doctorBy(doctor)?.fee;
  const currency = catalogue.value?.institution.currency;
  return amount && currency && Number(amount) > 0 ? money(amount, currency) : "";
}
