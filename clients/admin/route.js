// @ts-check
/**
 * Owns where in the back office somebody is: the address's fragment, so that every place has a link and "back" works.
 *
 * @typedef {{section: string, of: string, id: number | null, query: URLSearchParams}} Route
 */
import { signal } from "@preact/signals";

/** @param {string} fragment @returns {Route} */
function parse(fragment) {
  const [path = "", query = ""] = fragment.replace(/^#?\/?/, "").split("?");
  const [section = "", of = "", id = ""] = path.split("/");
  return { section, of, id: /^\d+$/.test(id) ? Number(id) : null, query: new URLSearchParams(query) };
}

export const route = signal(parse(location.hash));

addEventListener("hashchange", () => (route.value = parse(location.hash)));

/** @param {string} to */
export const go = (to) => void (location.hash = to);
