// @ts-check
/**
 * Owns who is signed in at this page.
 *
 * @import {User} from "./wire.js"
 */
import { signal } from "@preact/signals";

import { Problem, get, pause, request, setCsrf } from "./api.js";

/** undefined: not known yet; null: nobody. */
export const user = signal(/** @type {User | null | undefined} */ (undefined));
/** Who has signed in but owes a second factor: until it is set up, they are nobody to the page. */
export const owing = signal(/** @type {User | null} */ (null));

/** Counts who came and went: an answer on who is here that was asked for before says nothing any more. */
let turn = 0;

/** Find out who is signed in; waits for the server as long as it takes. */
export async function resume() {
  const mine = (turn += 1);
  for (let attempt = 0; mine === turn; attempt += 1) {
    try {
      const reply = await get("/session");
      if (mine === turn) become(reply);
      return;
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof Problem && !error.retryable) return nobody();
      await pause(attempt);
    }
  }
}

/**
 * What whoever is signed in is answered, asked for as long as it takes and as long as they are here; nothing where they
 * have gone, or are refused.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(refusal: Problem) => void} [refused]
 * @returns {Promise<T | undefined>}
 */
export async function whileHere(ask, refused) {
  const id = user.peek()?.id;
  const gone = () => id === undefined || user.peek()?.id !== id;
  for (let attempt = 0; !gone(); attempt += 1) {
    try {
      const found = await ask();
      return gone() ? undefined : found;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (gone()) return undefined;
      if (error.code === "not-authenticated") return void (user.value = null);
      if (!error.retryable) return void refused?.(error);
      await pause(attempt);
    }
  }
  return undefined;
}

/**
 * Throws `second-factor-needed` where a code is needed, too.
 * @param {string} email
 * @param {string} password
 * @param {string} [code] of the authenticator app, or a recovery code
 */
export async function signIn(email, password, code) {
  become(await request("POST", "/session", { body: { email, password, ...(code && { code }) } }));
}

/** Throws what may be asked next: `choose-patient`, `unknown-contact`. @param {Record<string, any>} body */
export async function signInByCode(body) {
  become(await request("POST", "/session/code/verify", { body }));
}

export async function signOut() {
  try {
    await request("DELETE", "/session");
  } catch (error) {
    // Whoever leaves must see the sign-in page; the session ends on its own if the server didn't hear.
    if (!(error instanceof Problem)) throw error;
  }
  nobody();
}

function nobody() {
  turn += 1;
  owing.value = null;
  user.value = null;
}

/** @param {{csrf?: string, user: User}} reply */
function become(reply) {
  turn += 1;
  setCsrf(reply.csrf ?? "");
  owing.value = reply.user.owes_second_factor ? reply.user : null;
  user.value = owing.value ? null : reply.user;
}
