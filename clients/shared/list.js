// @ts-check
/**
 * Owns a list that staff look through: page by page, and by filters that stand in the address.
 *
 * Invariant: the answer that is shown is the one to what was asked last.
 */
import { signal } from "@preact/signals";

import { Problem } from "./api.js";
import { user } from "./session.js";

/** So many rows are a page. */
export const LIMIT = 50;
const MOST = 200;

/**
 * Filters as the address says them.
 * @template {Record<string, any>} Filters
 * @param {(fragment: string) => Filters} parse
 * @param {string} [usual] what goes without saying
 */
export function inAddress(parse, usual = "") {
  const filters = signal(parse(location.hash));
  addEventListener("hashchange", () => (filters.value = parse(location.hash)));
  /** @param {Filters} all */
  const written = (all) => {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries(all)) if (String(value) && value !== usual) asked.set(name, String(value));
    return asked.size > 0 ? `#/?${asked}` : "#/";
  };
  /** @param {Partial<Filters>} some */
  const set = (some) => void (location.hash = written({ ...parse(location.hash), ...some }));
  return { filters, set };
}

/**
 * @template {{items: readonly any[], next: string | null}} Page
 * @param {(page: {limit: number, cursor?: string}) => Promise<Page>} ask with a cursor, for the next page
 * @param {number} soonMs how long to wait for more of what makes the list be asked for anew
 * @param {(page: Page) => void} [shown] what else is done with a page that is shown
 */
export function paged(ask, soonMs, shown) {
  const listed = signal(/** @type {readonly Page["items"][number][] | null} */ (null));
  const next = signal("");
  const busy = signal(false);
  const problem = signal("");
  let turn = 0;
  let soon = 0;
  /** @param {boolean} [more] the next page, instead of the list anew */
  async function load(more = false) {
    const mine = (turn += 1);
    busy.value = true;
    try {
      // Anew, as much is fetched as stands there already: a list must not grow short under somebody's eyes.
      const limit = more ? LIMIT : Math.min(MOST, Math.max(LIMIT, listed.peek()?.length ?? 0));
      const page = await ask({ limit, ...(more && { cursor: next.peek() }) });
      if (mine !== turn) return;
      listed.value = more ? [...(listed.peek() ?? []), ...page.items] : page.items;
      next.value = page.next ?? "";
      problem.value = "";
      shown?.(page);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (mine !== turn) return;
      if (error.code === "not-authenticated") user.value = null;
      problem.value = error.message;
    } finally {
      if (mine === turn) busy.value = false;
    }
  }
  const loadSoon = () => {
    clearTimeout(soon);
    soon = setTimeout(load, soonMs);
  };
  /** Somebody else may sit down here: no answer to what was asked before them is shown. */
  const forget = () => {
    clearTimeout(soon);
    turn += 1;
    listed.value = null;
    next.value = problem.value = "";
    busy.value = false;
  };
  return { listed, next, busy, problem, load, loadSoon, forget };
}

/** One more of several that are chosen, or one less. @param {readonly string[]} all @param {string} one */
export const toggled = (all, one) => (all.includes(one) ? all.filter((each) => each !== one) : [...all, one]);
