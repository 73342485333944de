// @ts-check
/**
 * Owns the pages' HTTP: who we are, one key per thing a person does, and refusals as sentences.
 *
 * Invariant: an action keeps its Idempotency-Key over every retry, so a cut connection never does it twice.
 *
 * @import {ProblemBody} from "./wire.js"
 */
import { has, t } from "./i18n.js";

const BASE = "/api/v1";
const TIMEOUT_MS = 8_000;
const PATIENCE_MS = 20_000;

let csrf = "";
let authorization = "";

/** @param {string} value the session's token against forged requests */
export const setCsrf = (value) => void (csrf = value);
/** @param {string} value the whole Authorization header, or "" */
export const setAuthorization = (value) => void (authorization = value);

/** A refusal, or no answer (`code` "network"). `message` is for people. */
export class Problem extends Error {
  /** @param {ProblemBody} body */
  constructor(body) {
    super(sentence(body));
    this.body = body;
    this.code = body.code;
    this.status = body.status;
  }

  get retryable() {
    return this.body.retryable === true || this.code === "network" || this.status === 502 || this.status === 504;
  }
}

/**
 * What is wrong with one thing that was filled in, in the page's language where it has words for it.
 * @param {string | null | undefined} code @param {string} detail
 */
export const wordFor = (code, detail) => (has(`wrong.${code}`) ? t(`wrong.${code}`) : has(`problem.${code}`) ? t(`problem.${code}`) : detail);

/**
 * What a refusal means, in the page's language.
 * @param {ProblemBody} body
 */
export function sentence(body) {
  const wrong = body.code === "invalid-request" && body.errors?.find((/** @type {{code?: string}} */ one) => one.code && has(`wrong.${one.code}`));
  if (wrong) return t(`wrong.${wrong.code}`);
  const key = `problem.${body.code}`;
  if (!has(key)) return body.detail || body.title || t("problem.unknown");
  /** @type {Record<string, string | number>} */
  const values = {};
  for (const [name, value] of Object.entries(body))
    if (typeof value === "string" || typeof value === "number") values[name] = has(`value.${value}`) ? t(`value.${value}`) : value;
  return t(key, values);
}

/**
 * @param {string} method
 * @param {string} path below /api/v1
 * @param {{body?: any, key?: string, authorization?: string, file?: boolean, patience?: number}} [options] `file`: the
 *   answer is a file; `patience`: how long it may take, for what takes long
 * @returns {Promise<any>}
 */
export async function request(method, path, { body, key, authorization: own, file = false, patience = TIMEOUT_MS } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const who = own ?? authorization;
  if (who) headers.Authorization = who;
  else if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), patience);
  try {
    const reply = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: stop.signal,
      credentials: "same-origin",
      cache: "no-store",
    });
    if (reply.ok && file) return await reply.blob();
    const text = await reply.text();
    if (reply.ok) return text ? JSON.parse(text) : null;
    throw new Problem(problemIn(text, reply.status));
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem({ code: "network", status: 0, retryable: true });
  } finally {
    clearTimeout(late);
  }
}

/**
 * @param {string} text
 * @param {number} status
 * @returns {ProblemBody}
 */
function problemIn(text, status) {
  try {
    const body = JSON.parse(text);
    if (typeof body?.code === "string") return { status, ...body };
  } catch {
    // A proxy's page, not ours.
  }
  return { code: status >= 500 ? "unavailable" : "unknown", status, retryable: status === 503 };
}

/** Wait before asking anew, longer each time. @param {number} attempt how often it was asked anew before */
export const pause = (attempt) => new Promise((done) => setTimeout(done, Math.min(8_000, 500 * 2 ** attempt)));

/** @param {string} path */
export const get = (path) => request("GET", path);

/** @returns {string} a key for one action; needs no secure context */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Do one thing, once: retried under the same key while there is no answer, for up to twenty seconds.
 * @param {string} path
 * @param {Record<string, any>} [body]
 * @param {string} [key] where the same thing may be asked for again by hand, after no answer came
 * @returns {Promise<any>}
 */
export async function act(path, body = {}, key = newKey()) {
  const until = Date.now() + PATIENCE_MS;
  const asking = csrf;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await request("POST", path, { body, key });
    } catch (error) {
      if (!(error instanceof Problem) || !error.retryable || Date.now() > until) throw error;
      await new Promise((done) => setTimeout(done, Math.min(4_000, 250 * 2 ** attempt) * (0.75 + Math.random() / 2)));
      // Whoever has signed in meanwhile did not ask for it.
      if (csrf !== asking) throw error;
    }
  }
}
