// @ts-check
/**
 * Owns the code of the place, which a board shows where a setting says so: patients check themselves in with it.
 */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";

const REFRESH_MS = 10 * 60_000;
const RETRY_MS = 30_000;

/** Empty where boards are not to show it, or it is not known: that of the hour before proves nothing. */
export const arrivalCode = signal("");

let timer = 0;

/**
 * Show the code of a location from now on, and the next as soon as it changes.
 * @param {number} location
 * @param {string} credential
 */
export async function showArrivalCode(location, credential) {
  hideArrivalCode();
  let wait = RETRY_MS;
  try {
    const told = /** @type {{code: string, until: string, on_boards: boolean}} */ (await request("GET", `/locations/${location}/arrival-code`, { authorization: `Device ${credential}` }));
    arrivalCode.value = told.on_boards ? told.code : "";
    wait = Math.min(REFRESH_MS, Date.parse(told.until) - serverNow() + 500);
  } catch (error) {
    arrivalCode.value = "";
    if (!(error instanceof Problem)) throw error;
  }
  clearTimeout(timer);
  timer = window.setTimeout(() => void showArrivalCode(location, credential), Math.max(1_000, wait));
}

/** Ask for it no more. */
export function hideArrivalCode() {
  clearTimeout(timer);
}
