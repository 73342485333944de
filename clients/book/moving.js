// @ts-check
/**
 * Owns the appointment that somebody came to move: read once, named in the address, so that a reload knows it, too.
 *
 * @import {DoctorAppointment, Mode, PatientAppointment} from "../shared/wire.js"
 * @typedef {{id: number, stands: boolean, start: number, end: number, doctor: number | null, specialty: number | null, who: string, type: number | null, mode: Mode, location: number, patient: string}} Moving
 */
import { signal } from "@preact/signals";

import { Problem, get } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { catalogue } from "./catalogue.js";

export const moving = signal(/** @type {Moving | null} */ (null));
/** Why it cannot be moved, in words. */
export const immovable = signal("");
/** Whether it is yet to be read: until then nobody can tell a move from a new appointment. */
export const reading = signal(false);

/** The one that the address names. */
export const asked = () => Number(new URLSearchParams(location.search).get("move")) || null;

/** Read it. @param {number} id */
export async function load(id) {
  immovable.value = "";
  reading.value = true;
  const who = user.peek();
  try {
    const found = who?.role === "patient" ? await ofPatient(id) : await ofStaff(id);
    if (user.peek()?.id !== who?.id) return;
    moving.value = found;
    if (!found) immovable.value = t("book.move.gone");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (user.peek()?.id !== who?.id) return;
    if (error.code === "not-authenticated") user.value = null;
    immovable.value = error.code === "not-found" ? t("book.move.gone") : error.message;
  } finally {
    if (user.peek()?.id === who?.id) reading.value = false;
  }
}

/** Forget it, and its name in the address. */
export function leave() {
  moving.value = null;
  immovable.value = "";
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);
}

/** @param {number} id @returns {Promise<Moving | null>} */
async function ofPatient(id) {
  const { items } = await get("/appointments/mine?when=upcoming");
  const one = /** @type {PatientAppointment[]} */ (items).find((each) => each.appointment === id);
  const open = one && (one.state === "pending" || (one.state === "confirmed" && Date.parse(one.change_until ?? "") > serverNow()));
  if (!one || !open) return null;
  const specialty = catalogue.peek()?.specialties.find((each) => each.name === one.specialty_name)?.id ?? null;
  return { ...common(one), specialty, who: one.doctor_name ?? t("book.any.of", { specialty: one.specialty_name ?? "" }), patient: "" };
}

/** @param {number} id @returns {Promise<Moving | null>} */
async function ofStaff(id) {
  const detail = await get(`/appointments/${id}`);
  const one = /** @type {DoctorAppointment} */ (detail.appointment);
  if (one.walk_in || (one.state !== "pending" && one.state !== "confirmed")) return null;
  return { ...common(one), specialty: one.specialty, who: detail.doctor_name ?? t("book.any.of", { specialty: detail.specialty_name ?? "" }), patient: one.patient.name };
}

/** @param {PatientAppointment | DoctorAppointment} one */
const common = (one) => ({
  id: one.appointment,
  stands: one.state === "confirmed",
  start: Date.parse(one.starts_at),
  end: Date.parse(one.ends_at ?? one.starts_at),
  doctor: one.doctor,
  type: one.visit_type?.id ?? null,
  mode: /** @type {Mode} */ (one.mode),
  location: one.location,
});
