// @ts-check
/**
 * Owns becoming a board: a code on the screen until an administrator enters it, then a credential that stays.
 */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { setServerTime } from "../shared/clock.js";

const POLL_MS = 2_000;

export const code = signal(/** @type {string | null} */ (null));
export const expires = signal(0);
export const unreachable = signal(false);

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Show codes, one after the other as they expire, until one has been entered.
 * @returns {Promise<string>} the credential
 */
export async function paired() {
  for (;;) {
    try {
      const credential = await oneCode();
      if (credential) return credential;
    } catch (error) {
      unreachable.value = true;
      const wait = error instanceof Problem && error.code === "too-many-requests" ? 15_000 : 3_000;
      await pause(wait + Math.random() * 2_000);
    }
  }
}

/** @returns {Promise<string | null>} the credential, or null once this code has expired */
async function oneCode() {
  const pairing = await request("POST", "/pairings", { body: {} });
  unreachable.value = false;
  code.value = pairing.code;
  expires.value = Date.parse(pairing.expires_at);
  if (pairing.server_time) setServerTime(pairing.server_time);
  for (;;) {
    await pause(POLL_MS);
    try {
      const found = await request("GET", "/pairings", { authorization: `Pairing ${pairing.secret}` });
      unreachable.value = false;
      // The secret itself is the credential from now on; it never crosses the wire again.
      if (found.state === "enrolled") return pairing.secret;
      if (found.state !== "waiting") return null;
    } catch (error) {
      if (!(error instanceof Problem) || !error.retryable) return null;
      // The code stays on the screen: it is still good when the server is back.
      unreachable.value = true;
      await pause(POLL_MS);
    }
  }
}
