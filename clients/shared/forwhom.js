// @ts-check
/**
 * Owns whom somebody who works here is about to book for, from the page on which they were found to the one that books.
 *
 * Invariant: it goes by this tab alone, to be read once; no address and no history names a patient.
 *
 * @typedef {{id: number, name: string, number: string | null, phone: string | null, birth_date: string | null, birth_year: number | null}} Whom
 */
import { store } from "./ui.js";

const KEY = "callboard.book-for";
const brief = store("sessionStorage");

/** @param {Whom} whom */
export const bookFor = ({ id, name, number, phone, birth_date, birth_year }) => brief.set(KEY, JSON.stringify({ id, name, number, phone, birth_date, birth_year }));

/** Whom to book for, once. @returns {any} */
export function whomFor() {
  const kept = JSON.parse(brief.get(KEY) ?? "null");
  brief.set(KEY, null);
  return kept;
}
