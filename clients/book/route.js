// @ts-check
/**
 * Owns where in the booking somebody is, kept in the address: so "back" goes one step back, and a link leads to a doctor.
 *
 * @typedef {{step: "choose"} | {step: "times" | "form", doctor?: number, specialty?: number}} Place
 */
import { signal } from "@preact/signals";

/** @returns {Place} */
function read() {
  const [, kind, id, step] = /^#\/(doctor|specialty)\/(\d{1,15})(\/book)?$/.exec(location.hash) ?? [];
  if (!kind) return { step: "choose" };
  return { step: step ? "form" : "times", [kind]: Number(id) };
}

export const place = signal(read());
addEventListener("hashchange", () => (place.value = read()));

/** @param {Place} to */
const written = (to) => (to.step === "choose" ? "#/" : `#/${to.doctor ? `doctor/${to.doctor}` : `specialty/${to.specialty}`}${to.step === "form" ? "/book" : ""}`);

/** @param {Place} to @param {{replace?: boolean}} [how] */
export function go(to, { replace = false } = {}) {
  const hash = written(to);
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    place.value = read();
  } else location.hash = hash;
}
